#!/bin/sh
# Gives a group that is there another number.
#
# Variables:
#   name  its name
#   gid   the number
# Prints: what the tool says.
# Exit codes: 0; that of groupmod.
# Relies on: groupmod (shadow); run.sh.

hw_run groupmod -g "$gid" -- "$name"
