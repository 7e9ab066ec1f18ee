#!/bin/sh
# Makes a group, unless there is one of that name.
#
# Variables:
#   name     its name
#   options  of groupadd(8)
# Prints: what the tool says.
# Exit codes: 0; that of groupadd.
# Relies on: getent (glibc), groupadd (shadow); run.sh.

if getent group -- "$name" >/dev/null; then exit 0; fi
eval "set -- $options"
hw_run groupadd "$@" -- "$name"
