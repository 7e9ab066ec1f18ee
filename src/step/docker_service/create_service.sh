#!/bin/sh
# Makes a service of the swarm.
#
# Variables:
#   resolved  not empty: the image gets what its registry told
# Reads: on file descriptor 3 a line DIGEST PLATFORMS if it is resolved (`-` for no digest; the platforms are JSON); the value
#   of `X-Registry-Auth`, a line that is empty for none; and a line of JSON: what is wanted, ASCII alone.
# Prints: nothing.
# Exit codes: 0; 1 with what the engine says on standard error.
# Relies on: curl or docker; api.sh, request.sh.

[ -z "$resolved" ] || IFS=' ' read -r hw_digest hw_platforms <&3
IFS= read -r hw_auth <&3
IFS= read -r hw_body <&3
[ -z "$resolved" ] || hw_fill "$hw_digest" "$hw_platforms"
hw_request 60 POST /services/create "$hw_body" >/dev/null
