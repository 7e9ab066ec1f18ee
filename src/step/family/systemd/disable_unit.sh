#!/bin/sh
# Lets a unit no longer start at boot.
#
# Variables:
#   unit     its full name
#   runtime  not empty: it was enabled until the next boot
# Prints: what systemctl says.
# Exit codes: 0; that of systemctl.
# Relies on: systemctl (systemd); run.sh.

hw_run systemctl disable ${runtime:+--runtime} -- "$unit"
