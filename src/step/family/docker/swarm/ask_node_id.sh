#!/bin/sh
# Asks which node of its swarm the engine is, once it is active in it.
#
# Variables:
#   seconds  how long that may take
# Prints: the node id.
# Exit codes: 0; 1 if it does not become active.
# Relies on: docker, date, timeout (coreutils); active.sh.

hw_wait_active "$seconds"
