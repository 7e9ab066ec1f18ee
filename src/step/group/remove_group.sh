#!/bin/sh
# Removes a group, if there is one of that name.
#
# Variables:
#   name  its name
# Prints: what the tool says.
# Exit codes: 0; that of groupdel.
# Relies on: getent (glibc), groupdel (shadow); run.sh.

getent group -- "$name" >/dev/null || exit 0
hw_run groupdel -- "$name"
