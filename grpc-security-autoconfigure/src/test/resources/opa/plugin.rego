package envoy.authz

import future.keywords.if

# Written the way policies for opa-envoy-plugin are: nothing of this library in it
import input.attributes.request.http as http_request

decision := {"allowed": true} if {
	http_request.method == "POST"
	http_request.path == "/testing.Echo/Bidi"
	glob.match("127.0.0.1:*", [], http_request.host)
	input.attributes.source.address.socketAddress.address == "127.0.0.1"
	token.payload.role == "admin"
	input.attributes.request.time.seconds > 0
}

decision := {"allowed": false, "http_status": 401, "body": "c4n4ry"} if {
	not http_request.headers.authorization
}

token := {"payload": payload} if {
	[_, encoded] := split(http_request.headers.authorization, " ")
	[_, payload, _] := io.jwt.decode(encoded)
}

fails := 1 if input.version.ext_authz == "v3"

fails := 2 if input.version.encoding == "protojson"
