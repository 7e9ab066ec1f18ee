#!/bin/sh
# Gives the running host the name that /etc/hostname has already.
#
# Variables:
#   name  the name
# Prints: nothing.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: hostnamectl (systemd), which tells others of the new name, but needs D-Bus, which a small host may lack;
#   without it the kernel alone is told.

if timeout 30 hostnamectl set-hostname "$name" 2>/dev/null; then
  read -r hw_now </proc/sys/kernel/hostname
  [ "$hw_now" != "$name" ] || exit 0
fi
printf '%s\n' "$name" >/proc/sys/kernel/hostname || exit 1
