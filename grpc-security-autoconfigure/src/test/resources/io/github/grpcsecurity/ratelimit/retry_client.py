"""Makes two calls with a retry policy, and prints how each ended and how long it took.

Arguments: port, full name of the method, and the type of its calls.
"""
import json
import sys
import time

import grpc

POLICY = {"maxAttempts": 3, "initialBackoff": "100s", "maxBackoff": "100s", "backoffMultiplier": 1,
          "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}
MESSAGE = b"\n\x01a"


def call(channel, method, kind):
    if kind == "UNARY":
        return channel.unary_unary(method)(MESSAGE)
    if kind == "SERVER_STREAM":
        return list(channel.unary_stream(method)(MESSAGE))
    if kind == "CLIENT_STREAM":
        return channel.stream_unary(method)(iter([MESSAGE, MESSAGE]))
    return list(channel.stream_stream(method)(iter([MESSAGE, MESSAGE])))


def main():
    port, method, kind = sys.argv[1:]
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": POLICY}]})
    with grpc.insecure_channel("127.0.0.1:" + port, [("grpc.service_config", config)]) as channel:
        for _ in range(2):
            start = time.monotonic()
            try:
                call(channel, "/" + method, kind)
                status = "OK"
            except grpc.RpcError as ex:
                status = ex.code().name
            print(status, int((time.monotonic() - start) * 1000), flush=True)


main()
