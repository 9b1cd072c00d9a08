package envoy.authz

import rego.v1

default allow := false

caller := input.attributes.metadataContext.filterMetadata["grpc-security"]

allow if {
	input.parsed_path == ["testing.Echo", "Unary"]
	"ROLE_TELLER" in caller.authorities
}

# Small amounts for everybody who is known; one by one on a stream
allow if {
	input.parsed_path == ["testing.Echo", "ClientStream"]
	caller.authenticated
	object.get(input.parsed_body, "amount", 0) <= 1000
}
