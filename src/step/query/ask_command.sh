#!/bin/sh
# Asks what a command of the user says.
#
# Variables:
#   run  code, which changes nothing
# Prints: what the command prints, on standard error as well; `late` on standard error if it did not end within a minute.
# Exit codes: that of the command; 124 or 137 if it did not end, but that may be its own one.
# Relies on: timeout (coreutils); bounded.sh.

hw_uptime; hw_since=$hw_now
hw_bounded "$run" 2>&1
hw_code=$?
if hw_is_late "$hw_code"; then echo late >&2; fi
exit "$hw_code"
