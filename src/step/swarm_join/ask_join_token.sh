#!/bin/sh
# Asks a manager for a join token.
#
# Variables:
#   role  `worker` or `manager`, as which is to be joined
# Prints: the token, which is a secret.
# Exit codes: 0; another one if it is no manager, or its swarm has no leader.
# Relies on: docker, timeout (coreutils).

timeout -k 2 30 docker swarm join-token -q "$role"
