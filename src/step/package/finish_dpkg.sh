#!/bin/sh
# Puts right what a dpkg that was cut off in the middle has left. Files of settings that were changed on the host stay.
#
# Variables: none
# Prints: what dpkg says.
# Exit codes: 0; that of dpkg.
# Relies on: dpkg; run.sh.

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
hw_run dpkg --force-confdef --force-confold --configure -a
