#!/bin/sh
# Removes a user, if there is one of that name.
#
# Variables:
#   name   his name
#   purge  not empty: with his home
# Prints: what the tool says.
# Exit codes: 0; that of userdel.
# Relies on: getent (glibc), userdel (shadow); run.sh, busy.sh.

getent passwd -- "$name" >/dev/null || exit 0
hw_idle "$name" userdel ${purge:+-r} -- "$name"
