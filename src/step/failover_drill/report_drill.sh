#!/bin/sh
# Tells how the stages of a drill went, and where the service has run.
#
# Variables:
#   service  name of the service
#   count    of the last places where it ran
#   hosts    the hosts of the inventory, address and name in turn, each quoted
# Reads: a line for each stage.
# Prints: these lines, and where the service ran, the newest first.
# Exit codes: 0; another one if what the stages said cannot be read.
# Relies on: docker, timeout, head (coreutils); names.sh, node_address.sh, whereabouts.sh.

cat <&3 || exit 1
echo 'where it ran, the newest first:'
timeout -k 2 20 docker service ps --no-trunc --format '{{.ID}} {{.CurrentState}} {{.Error}}' "$service" |
  head -n "$count" |
  while read -r hw_task hw_state; do
    echo "  $(hw_node_of "$hw_task"): $hw_state"
  done
