#!/bin/sh
# Removes a stack, waits until its tasks are gone, and forgets what was deployed.
#
# Variables:
#   name    of the stack
#   marker  of the config that remembers
# Prints: what Docker says.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: docker, timeout, date (coreutils); run.sh.

hw_run timeout -k 5 120 docker stack rm "$name"
hw_end=$(($(date +%s) + 120))
while hw_left=$(timeout -k 2 20 docker stack ps -q "$name" 2>/dev/null) && [ -n "$hw_left" ]; do
  [ "$(date +%s)" -lt "$hw_end" ] || { echo 'some of its tasks are still there' >&2; exit 1; }
  sleep 1
done
timeout -k 2 20 docker config rm "$marker" >/dev/null 2>&1 || :
