#!/bin/sh
# Asks a manager for the address of the node that runs a service.
#
# Variables:
#   service  name of the service
# Prints: the address.
# Exit codes: 0; 1 if it cannot be known, or the node is the only manager.
# Relies on: docker, timeout, head (coreutils); node_address.sh.

hw_task=$(timeout -k 2 20 docker service ps -q --no-trunc --filter desired-state=running "$service" | head -n 1)
hw_id=$(timeout -k 2 20 docker inspect --type task --format '{{.NodeID}}' "$hw_task") || exit 1
hw_role=$(timeout -k 2 20 docker node inspect --format '{{.Spec.Role}}' "$hw_id")
if [ "$hw_role" = manager ] && [ "$(timeout -k 2 20 docker info --format '{{.Swarm.Managers}}')" = 1 ]; then
  echo 'it is the only manager, without which nothing is started elsewhere: drain it, and drill again' >&2
  exit 1
fi
hw_address_of "$hw_id"
