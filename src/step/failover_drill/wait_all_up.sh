#!/bin/sh
# Waits until all nodes are up and a service runs, between two stages of a drill.
#
# Variables:
#   service  name of the service
#   seconds  how long
#   hosts    the hosts of the inventory, address and name in turn, each quoted
# Prints: `now on NODE`.
# Exit codes: 0; 1 if not all is up in that time.
# Relies on: docker, date, timeout (coreutils), grep; names.sh, node_address.sh, whereabouts.sh.

hw_end=$(($(date +%s) + seconds))
while :; do
  hw_down=$(timeout -k 2 20 docker node ls --format '{{.Status}} {{.Hostname}} {{.ID}}' | grep -v '^Ready' || :)
  hw_runs=$(timeout -k 2 20 docker service ps --filter desired-state=running --format '{{.CurrentState}}' "$service" |
    grep -c '^Running' || :)
  [ -n "$hw_down" ] || [ "$hw_runs" = 0 ] || break
  [ "$(date +%s)" -lt "$hw_end" ] || { echo "not all is up again: ${hw_down:-the service does not run}" >&2; exit 1; }
  sleep 1
done
for hw_task in $(timeout -k 2 20 docker service ps -q --no-trunc --filter desired-state=running "$service"); do
  echo "now on $(hw_node_of "$hw_task")"
done
