package io.github.grpcsecurity.authorization.opa;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.TypeRegistry;
import com.google.protobuf.util.JsonFormat;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.PrototypeMarshaller;

/**
 * Writes messages as protobuf's JSON: names in camel case, fields without a value left
 * out, enums by name. Thread-safe.
 */
final class MessageJson {

	private final int maxBytes;

	private final Map<Descriptor, JsonFormat.Printer> printers = new ConcurrentHashMap<>();

	MessageJson(int maxBytes) {
		this.maxBytes = maxBytes;
	}

	/** Whether what a method receives are messages that can be written. */
	static boolean writes(MethodDescriptor<?, ?> method) {
		return method.getRequestMarshaller() instanceof PrototypeMarshaller<?> marshaller
				&& marshaller.getMessagePrototype() instanceof Message;
	}

	/** Whether a message is more than anybody should be asked about. */
	boolean tooLarge(Object message) {
		return ((Message) message).getSerializedSize() > this.maxBytes;
	}

	/**
	 * Writes a message.
	 * @param message the message
	 * @return the JSON
	 * @throws InvalidProtocolBufferException if there is something in it that has no JSON
	 * form, such as an {@code Any} of an unknown type
	 */
	String write(Object message) throws InvalidProtocolBufferException {
		Message proto = (Message) message;
		return this.printers.computeIfAbsent(proto.getDescriptorForType(), MessageJson::printer).print(proto);
	}

	private static JsonFormat.Printer printer(Descriptor descriptor) {
		return JsonFormat.printer()
			.omittingInsignificantWhitespace()
			.usingTypeRegistry(TypeRegistry.newBuilder().add(descriptor).build());
	}

}
