#!/bin/sh
# Asks whether a restart is needed.
#
# Debian's packages leave a file; `needs-restarting -r` of yum-utils exits with 1 when a core library or the kernel was
# replaced since boot; `grubby --default-kernel` names the kernel that the next boot takes, and where there is no grubby
# the newest in /boot is taken.
#
# Variables: none
# Prints: `needed REASON` for each reason, then `asked`.
# Exit codes: 0.
# Relies on: uname, sort, tail (coreutils); grubby and needs-restarting where they are.

if [ -e /var/run/reboot-required ]; then
  hw_packages=
  [ ! -r /var/run/reboot-required.pkgs ] || hw_packages=$(sort -u /var/run/reboot-required.pkgs | tr '\n' ' ')
  echo "needed packages ask for it${hw_packages:+: $hw_packages}"
fi
hw_now=$(uname -r)
if command -v grubby >/dev/null; then
  hw_next=$(timeout 20 grubby --default-kernel 2>/dev/null)
else
  # shellcheck disable=SC2012 # names of kernels
  hw_next=$(ls /boot/vmlinuz-* 2>/dev/null | sort -V | tail -n 1)
fi
hw_next=${hw_next##*/vmlinuz-}
if [ -n "$hw_next" ] && [ "$hw_next" != "$hw_now" ] && [ -d "/lib/modules/$hw_next" ]; then
  echo "needed kernel $hw_next is installed, $hw_now is running"
fi
if command -v needs-restarting >/dev/null; then
  timeout 60 needs-restarting -r >/dev/null 2>&1
  [ $? != 1 ] || echo 'needed needs-restarting: core libraries or services were updated'
fi
echo asked
