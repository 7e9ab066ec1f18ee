#!/bin/sh
# Changes a user who is there.
#
# Variables:
#   name     his name
#   options  of usermod(8)
# Prints: what the tool says.
# Exit codes: 0; that of usermod.
# Relies on: usermod (shadow); run.sh, busy.sh.

eval "set -- $options"
hw_idle "$name" usermod "$@" -- "$name"
