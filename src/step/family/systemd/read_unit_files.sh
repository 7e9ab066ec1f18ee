#!/bin/sh
# Makes systemd, where it runs, read the files of units anew, and those that it makes units from (/etc/fstab).
#
# Variables: none
# Prints: nothing.
# Exit codes: 0; that of systemctl.
# Relies on: systemctl (systemd), if it runs; run.sh.

[ ! -d /run/systemd/system ] || hw_run systemctl daemon-reload
