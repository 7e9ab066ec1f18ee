#!/bin/sh
# Crosses out a handler that has run.
#
# Variables:
#   handler  PLAYBOOK@HANDLER
# Prints: nothing.
# Exit codes: 0; another one if it cannot be.
# Relies on: id, rm (coreutils); pending.sh.

rm -f -- "$hw_folder/$handler"
