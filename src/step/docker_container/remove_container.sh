#!/bin/sh
# Stops a container, in its own time, and removes it; if it is not there, that is fine.
#
# Variables:
#   name  its name
# Prints: nothing.
# Exit codes: 0; 1 with what the engine says on standard error.
# Relies on: docker, curl or docker; api.sh, container.sh.

docker stop "$name" >/dev/null 2>&1 || :
hw_said=$(hw_remove "$name" 2>&1) || case $hw_said in
  *'(status 404)') ;;
  *) printf '%s\n' "$hw_said" >&2; exit 1 ;;
esac
