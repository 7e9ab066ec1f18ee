#!/bin/sh
# Installs the packages of Docker. A conflict within the transaction (runc with containerd.io) shows in what this prints.
#
# Variables:
#   manager   `dnf`, `yum` or `apt-get`
#   packages  in any version; may be empty
#   pinned    in that version; may be empty
#   version   or the beginning of one
# Prints: what the package manager says.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: the package manager; run.sh.

eval "set -- $pinned"
for hw_name in "$@"; do
  shift
  if [ "$manager" = apt-get ]; then set -- "$@" "$hw_name=*$version*"; else set -- "$@" "$hw_name-$version*"; fi
done
eval "set -- \"\$@\" $packages"
if [ "$manager" = apt-get ]; then
  export DEBIAN_FRONTEND=noninteractive
  hw_run apt-get -q update
  hw_run apt-get -q -y -o DPkg::Lock::Timeout=300 install "$@"
else
  hw_run "$manager" -y install "$@"
fi
