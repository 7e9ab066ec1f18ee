#!/bin/sh
# Updates a node: never by host name, for several may have the same.
#
# Where it was seen and how it is to be is known, one request does it, if nothing has changed the node since: that is
# several times as quick as the command, which reads the node, and reads it again where another change came in between
# ("update out of sequence").
#
# Variables:
#   node   its id; empty: it is read
#   flags  what the command is given, each quoted
#   path   what the API is asked with, the version of the node in it; empty: the API is not asked
#   spec   how the node is to be, for the API, JSON
# Reads: the node id, if it is not given.
# Prints: nothing.
# Exit codes: 0; 1 with what the command says.
# Relies on: docker, timeout (coreutils), curl where it is; api.sh.

[ -n "$node" ] || IFS= read -r node <&3
if [ -n "$path" ] && hw_call 30 POST "$path" "$spec" >/dev/null 2>&1; then exit 0; fi
eval "set -- $flags"
hw_try=1
until hw_said=$(timeout -k 2 30 docker node update "$@" "$node" 2>&1); do
  case $hw_said in *'update out of sequence'*) ;; *) hw_try=5 ;; esac
  [ "$hw_try" -lt 5 ] || { printf '%s\n' "$hw_said" "command: docker node update $* $node" >&2; exit 1; }
  hw_try=$((hw_try + 1))
  sleep 1
done
