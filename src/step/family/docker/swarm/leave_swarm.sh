#!/bin/sh
# Leaves the swarm, whatever the node is in it, and waits until the engine is out of it.
#
# Variables: none
# Prints: nothing.
# Exit codes: 0, also where it was in none; 1 if it does not leave.
# Relies on: docker, date, timeout (coreutils).

hw_said=$(timeout -k 5 120 docker swarm leave --force 2>&1) || case $hw_said in
  *'not part of a swarm'*) ;;
  *) printf '%s\n' "$hw_said" 'command: docker swarm leave --force' >&2; exit 1 ;;
esac
hw_end=$(($(date +%s) + 40))
until hw_state=$(timeout -k 2 20 docker info --format '{{.Swarm.LocalNodeState}}') && [ "$hw_state" = inactive ]; do
  [ "$(date +%s)" -lt "$hw_end" ] || { echo "the engine is still $hw_state in its swarm" >&2; exit 1; }
  sleep 1
done
