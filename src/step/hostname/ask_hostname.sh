#!/bin/sh
# Asks what the host calls itself, now and at boot (hostname(5)). No process is started for it.
#
# Variables: none
# Prints: `now NAME`, `boot NAME` (nothing behind it if there is none); `docker` if an engine runs; `cloud-init` if that
#   may put the name back at boot.
# Exit codes: 0; 3 if the kernel does not tell.
# Relies on: nothing.

read -r hw_now </proc/sys/kernel/hostname || exit 3
hw_boot=
if [ -e /etc/hostname ]; then
  while read -r hw_l || [ "$hw_l" ]; do
    case $hw_l in ""|\#*) ;; *) hw_boot=$hw_l; break ;; esac
  done </etc/hostname
fi
echo "now $hw_now"
echo "boot $hw_boot"
[ ! -S /run/docker.sock ] || echo docker
if [ -e /etc/cloud/cloud.cfg ]; then
  hw_keeps=
  while read -r hw_l; do
    case $hw_l in "preserve_hostname: true"*) hw_keeps=1 ;; esac
  done </etc/cloud/cloud.cfg
  [ "$hw_keeps" ] || echo cloud-init
fi
exit 0
