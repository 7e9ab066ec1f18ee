#!/bin/sh
# Asks a manager for the services of a stack, and for what was deployed last: a config remembers it.
#
# Variables:
#   name    of the stack
#   marker  of the config
# Prints: nothing without an engine that runs; `marker FILE SERVICES`, digests of the compose file and of the services right
#   after it was deployed, if there is such a config; `today SERVICES`, that of the services now; for each of them
#   `service NAME RUNNING/WANTED`.
# Exit codes: 0; 1 if the services cannot be told.
# Relies on: docker, timeout, sort, sha256sum (coreutils); services.sh.

command -v docker >/dev/null && [ -r /run/docker.pid ] || exit 0
hw_pid=''
# No newline ends that file, which `read` calls a failure.
read -r hw_pid </run/docker.pid || :
[ -n "$hw_pid" ] && [ -d "/proc/$hw_pid" ] || exit 0
timeout -k 2 10 docker config inspect \
  --format 'marker {{index .Spec.Labels "hostwright.file"}} {{index .Spec.Labels "hostwright.services"}}' "$marker" 2>/dev/null
hw_today
echo "today $hw_digest"
[ -z "$hw_ids" ] || timeout -k 2 20 docker service ls --filter "$hw_filter" --format 'service {{.Name}} {{.Replicas}}'
exit 0
