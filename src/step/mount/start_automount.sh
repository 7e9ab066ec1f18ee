#!/bin/sh
# Starts the automount that systemd has made from fstab, unless something is mounted there.
#
# Variables:
#   path  the mount point, absolute
# Prints: nothing.
# Exit codes: 0; that of systemctl.
# Relies on: systemctl and systemd-escape (systemd), awk; run.sh, escape.sh, mountinfo.sh, mount_point.sh.

[ -z "$(hw_mounted type "$path")" ] || exit 0
hw_run systemctl start "$(hw_automount "$path")"
