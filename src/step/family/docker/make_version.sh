#!/bin/sh
# Makes a config or secret of a swarm. One that has the name already is ours: an earlier try made it.
#
# Variables:
#   what  `config` or `secret`
#   name  its name
# Reads: the whole request on file descriptor 3, HTTP/1.0.
# Prints: nothing.
# Exit codes: 0; 1 with what the engine says on standard error.
# Relies on: docker, timeout (coreutils); api.sh.

hw_said=$(cat <&3 | hw_send 60 2>&1) || {
  timeout -k 2 20 docker "$what" inspect "$name" >/dev/null 2>&1 || { printf '%s\n' "$hw_said" >&2; exit 1; }
}
