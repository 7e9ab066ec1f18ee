#!/bin/sh
# Waits until nothing of the swarm runs on a node: a task counts until its container has stopped, also when the manager
# has long decided that it is to go.
#
# Variables:
#   node  its id; empty: it is read
# Reads: the node id, if it is not given.
# Prints: nothing.
# Exit codes: 0; 1 with the tasks that are still there after two and a half minutes.
# Relies on: docker, date, timeout (coreutils), grep.

[ -n "$node" ] || IFS= read -r node <&3
hw_end=$(($(date +%s) + 150))
until hw_tasks=$(timeout -k 2 20 docker node ps --format '{{.CurrentState}}' "$node") &&
  ! printf '%s\n' "$hw_tasks" | grep -q -E '^(Assigned|Accepted|Preparing|Ready|Starting|Running)'; do
  [ "$(date +%s)" -lt "$hw_end" ] || {
    echo 'tasks are still on the node:' >&2
    timeout -k 2 20 docker node ps "$node" >&2
    exit 1
  }
  sleep 1
done
