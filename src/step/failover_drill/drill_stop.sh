#!/bin/sh
# A stage of a drill: stops the container of a service where it runs, and measures until its value is read back.
#
# Variables:
#   service  name of the service
#   port     where every node publishes it
#   key      what the value is written to
#   seconds  how long the stage may take
#   nodes    addresses of the nodes that are up, each quoted
# Reads: the password of Redis, or an empty line.
# Prints: how long it took, through each node and through all.
# Exit codes: 0; another one if the value is not given back, before or after.
# Relies on: docker, bash (/dev/tcp), setsid (util-linux), timeout, mktemp, mkfifo (coreutils); redis.sh, drill.sh, run.sh.

hw_containers=$(docker ps -q --filter "label=com.docker.swarm.service.name=$service")
[ -n "$hw_containers" ] || { echo 'its container is not on this host any more: run this again' >&2; exit 1; }
eval "hw_prepare $nodes"
# shellcheck disable=SC2086 # a line each
hw_run docker stop $hw_containers >/dev/null
eval "hw_measure stop $nodes"
