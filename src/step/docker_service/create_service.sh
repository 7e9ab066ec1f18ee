#!/bin/sh
# Makes a service of the swarm.
#
# Variables:
#   resolve  image whose digest is looked up first; may be empty
# Reads: on file descriptor 3 the value of `X-Registry-Auth`, a line that is empty for none, and a line of JSON: what is
#   wanted, ASCII alone.
# Prints: nothing.
# Exit codes: 0; 1 with what the engine says on standard error.
# Relies on: curl or docker; api.sh, request.sh.

IFS= read -r hw_auth <&3
IFS= read -r hw_body <&3
[ -z "$resolve" ] || hw_look_up "$resolve"
hw_request 60 POST /services/create "$hw_body" >/dev/null
