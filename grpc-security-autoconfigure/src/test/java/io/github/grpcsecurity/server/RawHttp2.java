package io.github.grpcsecurity.server;

import java.net.InetSocketAddress;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.testing.RawCall;
import io.grpc.Metadata;
import io.grpc.Status;
import io.netty.bootstrap.Bootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http2.DefaultHttp2Headers;
import io.netty.handler.codec.http2.DefaultHttp2HeadersFrame;
import io.netty.handler.codec.http2.Http2FrameCodecBuilder;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.codec.http2.Http2HeadersFrame;
import io.netty.handler.codec.http2.Http2MultiplexHandler;
import io.netty.handler.codec.http2.Http2ResetFrame;
import io.netty.handler.codec.http2.Http2StreamChannel;
import io.netty.handler.codec.http2.Http2StreamChannelBootstrap;

/** Calls with headers that no gRPC client would send. */
final class RawHttp2 {

	private RawHttp2() {
	}

	static RawCall.Result call(int port, String path, String... namesAndValues) {
		EventLoopGroup group = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
		try {
			Channel channel = new Bootstrap().group(group)
				.channel(NioSocketChannel.class)
				.handler(new ChannelInitializer<Channel>() {
					@Override
					protected void initChannel(Channel ch) {
						ch.pipeline()
							.addLast(Http2FrameCodecBuilder.forClient().validateHeaders(false).build(),
									new Http2MultiplexHandler(new ChannelInboundHandlerAdapter()));
					}
				})
				.connect(new InetSocketAddress("127.0.0.1", port))
				.syncUninterruptibly()
				.channel();
			CompletableFuture<RawCall.Result> result = new CompletableFuture<>();
			Http2StreamChannel stream = new Http2StreamChannelBootstrap(channel)
				.handler(new ChannelInboundHandlerAdapter() {
					@Override
					public void channelRead(ChannelHandlerContext ctx, Object frame) {
						if (frame instanceof Http2HeadersFrame headers && headers.isEndStream()) {
							result.complete(result(headers.headers()));
						}
						else if (frame instanceof Http2ResetFrame reset) {
							result.completeExceptionally(new AssertionError("reset with " + reset.errorCode()));
						}
					}
				})
				.open()
				.syncUninterruptibly()
				.getNow();
			Http2Headers headers = new DefaultHttp2Headers(false).method("POST")
				.scheme("http")
				.authority("localhost")
				.path(path)
				.add("content-type", "application/grpc")
				.add("te", "trailers");
			for (int i = 0; i < namesAndValues.length; i += 2) {
				headers.add(namesAndValues[i], namesAndValues[i + 1]);
			}
			stream.writeAndFlush(new DefaultHttp2HeadersFrame(headers, false)).syncUninterruptibly();
			return result.orTimeout(10, TimeUnit.SECONDS).join();
		}
		finally {
			group.shutdownGracefully(0, 1, TimeUnit.SECONDS);
		}
	}

	private static RawCall.Result result(Http2Headers headers) {
		Metadata trailers = new Metadata();
		CharSequence message = headers.get("grpc-message");
		Status status = Status.fromCodeValue(Integer.parseInt(headers.get("grpc-status").toString()))
			.withDescription((message != null) ? message.toString() : null);
		return new RawCall.Result(status, trailers);
	}

}
