#!/bin/sh
# Asks whether a user has a home. It is not touched on a network file system: its server may be dead.
#
# Variables:
#   name  his name
#   home  where it is to be; empty: where the host has it
# Prints: `there`, `missing`, or `unknown`; nothing if there is no such user.
# Exit codes: 0; 3 if the name service does not answer.
# Relies on: getent (glibc), timeout; network.sh, escape.sh, far.sh, entries.sh.

if [ -z "$home" ]; then
  hw_entry passwd "$name"
  home=${hw_found%:*}; home=${home##*:}
  [ -n "$home" ] || exit 0
fi
if hw_far "$home"; then echo unknown; elif [ -d "$home" ]; then echo there; else echo missing; fi
