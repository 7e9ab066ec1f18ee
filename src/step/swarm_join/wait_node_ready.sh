#!/bin/sh
# Waits until this manager sees a node as ready.
#
# Variables:
#   manager  not empty: the node is a manager, which is to be reachable as well
# Reads: the node id.
# Prints: nothing.
# Exit codes: 0; 1 if it is not seen so within a minute.
# Relies on: docker, date, timeout (coreutils).

IFS= read -r hw_id <&3
hw_end=$(($(date +%s) + 60))
while :; do
  hw_node=$(timeout -k 2 10 docker node inspect \
    --format '{{.Status.State}} {{with .ManagerStatus}}{{.Reachability}}{{end}}' "$hw_id" 2>&1)
  case $hw_node in
    'ready reachable') exit 0 ;;
    'ready '*) [ -n "$manager" ] || exit 0 ;;
  esac
  [ "$(date +%s)" -lt "$hw_end" ] || break
  sleep 1
done
printf 'the manager does not see node %s as ready: %s\n' "$hw_id" "$hw_node" >&2
exit 1
