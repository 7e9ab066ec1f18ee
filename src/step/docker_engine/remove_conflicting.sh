#!/bin/sh
# Removes packages that do not get on with those of Docker.
#
# Variables:
#   manager   `dnf`, `yum` or `apt-get`
#   packages  their names
# Prints: what the package manager says.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: the package manager; run.sh.

eval "set -- $packages"
if [ "$manager" = apt-get ]; then
  export DEBIAN_FRONTEND=noninteractive
  hw_run apt-get -y -o DPkg::Lock::Timeout=300 remove "$@"
else
  hw_run "$manager" -y remove "$@"
fi
