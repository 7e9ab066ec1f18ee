#!/bin/sh
# Sets a switch of the SELinux policy, now and at boot.
#
# Variables:
#   name   of the boolean
#   value  `on` or `off`
# Prints: nothing.
# Exit codes: 0; that of setsebool.
# Relies on: setsebool (policycoreutils), which builds the policy anew for it; run.sh.

hw_run setsebool -P -- "$name" "$value"
