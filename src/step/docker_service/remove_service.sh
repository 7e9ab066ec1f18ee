#!/bin/sh
# Removes a service of the swarm and waits until the nodes have removed its containers: that comes later by itself, and
# what they hold (a mount, a port) is in use until then.
#
# Variables:
#   id       which one
#   seconds  for so long
# Prints: nothing.
# Exit codes: 0; 1 with what went wrong on standard error.
# Relies on: docker, curl or docker, timeout, date (coreutils); api.sh.

hw_said=$(timeout -k 5 60 docker service rm "$id" 2>&1) || case $hw_said in
  *'o such service'*|*'not found'*) ;;
  *) printf '%s\n' "$hw_said" "command: docker service rm $id" >&2; exit 1 ;;
esac
hw_end=$(($(date +%s) + seconds))
# A filter by a service that is gone is refused.
while hw_tasks=$(hw_call 20 GET /tasks) || exit 1; do
  case $hw_tasks in *'"ServiceID":"'"$id"'"'*) ;; *) exit 0 ;; esac
  [ "$(date +%s)" -lt "$hw_end" ] || break
  sleep 1
done
echo 'the service is gone, but not all of its containers: a node that is down keeps its own until it is back' >&2
exit 1
