#!/bin/sh
# Puts right what a dpkg that was cut off in the middle has left. Files of settings that were changed on the host stay.
#
# Variables: none
# Prints: what dpkg says.
# Exit codes: 0; that of dpkg.
# Relies on: dpkg; mktemp; manage.sh.

# shellcheck disable=SC2034 # for hw_manage
manager=dpkg
hw_manage --configure -a || hw_give_up $?
