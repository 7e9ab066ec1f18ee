#!/bin/sh
# Asks what a command of the user says.
#
# Variables:
#   run  code, which changes nothing
# Prints: what the command prints, on standard error as well.
# Exit codes: that of the command; 124 or 137 if it did not end within a minute.
# Relies on: timeout (coreutils); bounded.sh.

hw_bounded "$run" 2>&1
