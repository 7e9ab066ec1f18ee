#!/bin/sh
# Makes a network or a volume of the Docker engine.
#
# Variables:
#   what  `networks` or `volumes`
#   body  what is wanted of it: JSON, ASCII alone
# Prints: nothing.
# Exit codes: 0; 1 with what the engine says on standard error.
# Relies on: curl or docker; api.sh.

hw_call 60 POST "/$what/create" "$body" >/dev/null
