#!/bin/sh
# Waits until all services of a stack have been running for 5 s.
#
# Variables:
#   name     of the stack
#   seconds  for so long
# Prints: nothing.
# Exit codes: 0; 1 with what does not run, and why, on standard error.
# Relies on: docker, timeout, date, head (coreutils), awk; run.sh.

hw_filter=label=com.docker.stack.namespace=$name hw_end=$(($(date +%s) + seconds)) hw_since=''
while :; do
  hw_list=$(hw_run timeout -k 2 20 docker service ls --filter "$hw_filter" --format '{{.Name}} {{.Replicas}}') || exit 1
  hw_short=$(printf '%s\n' "$hw_list" | awk '{ split($2, n, "/"); if (n[1] != n[2]) printf " %s (%s)", $1, $2 }')
  hw_ids=$(hw_run timeout -k 2 20 docker service ls -q --filter "$hw_filter") || exit 1
  # shellcheck disable=SC2086 # to be split
  hw_states=$(hw_run timeout -k 2 20 docker service inspect --format '{{with .UpdateStatus}}{{.State}} {{end}}' $hw_ids) || exit 1
  hw_why=''
  case $hw_states in
    *paused*) hw_why='an update came to a halt' ;;
    *rollback*) hw_why='an update was rolled back' ;;
    *updating*) hw_short="$hw_short (updating)" ;;
  esac
  hw_now=$(date +%s)
  if [ -z "$hw_short$hw_why" ]; then
    [ -n "$hw_since" ] || hw_since=$hw_now
    [ "$((hw_now - hw_since))" -lt 5 ] || exit 0
  else
    hw_since=''
  fi
  [ "$hw_now" -lt "$hw_end" ] || hw_why="not running:$hw_short"
  if [ -n "$hw_why" ]; then
    echo "$hw_why" >&2
    timeout -k 2 20 docker stack ps --no-trunc \
      --format '{{.Name}} on {{.Node}}: {{.CurrentState}} {{.Error}}' "$name" | head -n 20 >&2
    exit 1
  fi
  sleep 1
done
