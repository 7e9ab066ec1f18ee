#!/bin/sh
# Joins a swarm. The call returns when the node has joined, or after 20 s, when the attempt goes on in the background; so
# it is waited for. The token goes to the engine on standard input of a process, and shows in no process list.
#
# Variables:
#   request  what the API is asked for, JSON, without the token
# Reads: the join token.
# Prints: the node id.
# Exit codes: 0; 1 if it cannot be joined.
# Relies on: curl or docker, date, timeout (coreutils); api.sh, active.sh.

IFS= read -r hw_token <&3
if ! hw_said=$(hw_call 90 POST /swarm/join "${request%'}'},\"JoinToken\":\"$hw_token\"}" 2>&1); then
  case $hw_said in
    *'Timeout was reached'*|*'already part of a swarm'*) ;;
    *) printf '%s\n' "$hw_said" >&2; exit 1 ;;
  esac
fi
hw_wait_active 90
