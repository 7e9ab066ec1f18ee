#!/bin/sh
# Removes a node that has left from its swarm, once this manager has noticed that it is down.
#
# Variables:
#   node     its id
#   manager  not empty: it is a manager that was lost, and must be demoted first
# Prints: nothing.
# Exit codes: 0, also where it is gone already; another one if it cannot be demoted or removed.
# Relies on: docker, date, timeout (coreutils); run.sh.

[ -z "$manager" ] || hw_run timeout -k 2 30 docker node update --role worker "$node" >/dev/null
hw_end=$(($(date +%s) + 90))
while :; do
  hw_said=$(timeout -k 2 20 docker node rm "$node" 2>&1) && exit 0
  case $hw_said in
    *'not found'*|*'o such node'*) exit 0 ;;
    *'is not down'*|*'member of the raft cluster'*) ;;
    *) break ;;
  esac
  [ "$(date +%s)" -lt "$hw_end" ] || break
  sleep 2
done
printf '%s\n' "$hw_said" "command: docker node rm $node" >&2
exit 1
