#!/bin/sh
# Lets a unit start at boot. systemd reads all files of units then, also where nothing is left to enable.
#
# Variables:
#   unit  its full name
# Prints: what systemctl says.
# Exit codes: 0; that of systemctl.
# Relies on: systemctl (systemd); run.sh.

hw_run systemctl enable -- "$unit"
