#!/bin/sh
# A stage of a drill, on a manager: drains the node that runs a service, and measures until its value is read back. At
# every end the node is put back to what it was, not made active blindly.
#
# Variables:
#   service  name of the service
#   port     where every node publishes it
#   key      what the value is written to
#   seconds  how long the stage may take
#   nodes    addresses of the nodes that are up, each quoted
# Reads: the password of Redis, or an empty line.
# Prints: how long it took, through each node and through all.
# Exit codes: 0; another one if the value is not given back, before or after, or the node cannot be drained.
# Relies on: docker, bash (/dev/tcp), setsid (util-linux), timeout, mktemp, mkfifo, head (coreutils); redis.sh, drill.sh, run.sh.

hw_task=$(timeout -k 2 20 docker service ps -q --no-trunc --filter desired-state=running "$service" | head -n 1)
hw_id=$(hw_run timeout -k 2 20 docker inspect --type task --format '{{.NodeID}}' "$hw_task") || exit 1
hw_was=$(hw_run timeout -k 2 20 docker node inspect --format '{{.Spec.Availability}}' "$hw_id") || exit 1

hw_is_there() {
  while IFS='|' read -r hw_name hw_state; do
    case $hw_name in
      "$service".*|*[\ _]"$service".*)
        case $hw_state in Assigned*|Accepted*|Preparing*|Ready*|Starting*|Running*) return 0 ;; esac ;;
    esac
  done
  return 1
}

# Until its container has stopped, which is later than the manager's wish: the old one would still answer.
hw_wait_gone() {
  while timeout -k 2 20 docker node ps --format '{{.Name}}|{{.CurrentState}}' "$hw_id" | hw_is_there; do
    [ "$(($(hw_clock) - hw_start))" -lt "$seconds" ] || break
    sleep 0.5
  done
}

eval "hw_prepare $nodes"
# shellcheck disable=SC2016 # for the shell of the guard
hw_guard 'for try in 1 2 3 4 5; do
  timeout -k 2 30 docker node update --availability "$1" "$2" >/dev/null && exit 0
  sleep 1
done
echo "the node could not be made $1 again: docker node update --availability $1 $2" >&2' "$hw_was" "$hw_id"
hw_watch timeout -k 2 30 docker node update --availability drain "$hw_id" >/dev/null || {
  echo "command: docker node update --availability drain $hw_id" >&2
  exit 1
}
hw_watch hw_wait_gone
eval "hw_measure drain $nodes"
