#!/bin/sh
# Sets the labels of a config or secret of a swarm; all else of it is left as it is, which is all that the swarm allows.
#
# The swarm takes it only with the number that counts its changes, and somebody else's may come in between.
#
# Variables:
#   what  `config` or `secret`
#   id    which one
#   spec  its name and labels: JSON, ASCII alone
# Prints: nothing.
# Exit codes: 0; 1 with what the engine says on standard error.
# Relies on: curl or docker, docker, timeout (coreutils); api.sh, run.sh.

hw_try=1
while :; do
  hw_version=$(hw_run timeout -k 2 20 docker "$what" inspect --format '{{.Version.Index}}' "$id") || exit 1
  hw_said=$(hw_call 30 POST "/${what}s/$id/update?version=$hw_version" "$spec" 2>&1) && exit 0
  case $hw_said in *'out of sequence'*) ;; *) break ;; esac
  [ "$hw_try" -lt 5 ] || break
  hw_try=$((hw_try + 1))
  sleep 1
done
printf '%s\n' "$hw_said" >&2
exit 1
