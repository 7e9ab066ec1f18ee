#!/bin/sh
# Stops units.
#
# Variables:
#   units  list: their full names
# Prints: nothing.
# Exit codes: 0; that of systemctl.
# Relies on: systemctl (systemd); run.sh.

eval "set -- $units"
hw_run systemctl stop -- "$@"
