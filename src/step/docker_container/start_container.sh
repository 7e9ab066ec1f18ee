#!/bin/sh
# Starts a container that is there.
#
# Variables:
#   name  its name
# Prints: nothing.
# Exit codes: 0; 1 with what the engine says on standard error.
# Relies on: curl or docker; api.sh, container.sh.

hw_start "$name"
