#!/bin/sh
# Tells systemd of a new time zone: it makes /etc/localtime, and lets the kernel and its own timers know.
#
# Variables:
#   zone  its name
# Prints: nothing.
# Exit codes: 0, also where systemd cannot be told, as on a small host without D-Bus: the link alone tells all programs that
#   start from then on; 2 if the zone is not one for it.
# Relies on: timedatectl (systemd); timeout.

timeout 30 timedatectl set-timezone "$zone" >/dev/null 2>&1 && exit 0
[ -f "/usr/share/zoneinfo/$zone" ] || { echo "there is no time zone $zone" >&2; exit 2; }
