#!/bin/sh
# Makes a user, unless there is one of that name.
#
# Variables:
#   name       his name
#   options    of useradd(8)
#   own_group  not empty: his first group is that of his name, which is made if it is missing
# Prints: what the tool says.
# Exit codes: 0; that of useradd.
# Relies on: getent (glibc), useradd (shadow); run.sh.

if getent passwd -- "$name" >/dev/null; then exit 0; fi
eval "set -- $options"
if [ -n "$own_group" ]; then
  # Whether there is one, an earlier step may have decided.
  if getent group -- "$name" >/dev/null; then set -- "$@" -g "$name"; else set -- "$@" -U; fi
fi
hw_run useradd "$@" -- "$name"
