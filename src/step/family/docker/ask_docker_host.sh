#!/bin/sh
# Asks for the distribution, its package manager, the versions of packages and the state of Docker's service.
#
# Variables:
#   packages  at least one
# Prints: `os ID|VERSION_ID|VERSION_CODENAME` (os-release(5)); `manager dnf`, `manager yum` or `manager apt`; for each of the
#   packages that is installed `package NAME VERSION`; LoadState, ActiveState and UnitFileState of docker.service, a line
#   `KEY=VALUE` each, or `no systemd FIRST` with the name of the first process; `mark restart` while the engine still runs
#   with older settings than its files say.
# Exit codes: 0.
# Relies on: rpm or dpkg-query, awk, systemctl.

ID='' VERSION_ID='' VERSION_CODENAME=''
# shellcheck disable=SC1091 # the host's own
[ ! -r /etc/os-release ] || . /etc/os-release
echo "os $ID|$VERSION_ID|$VERSION_CODENAME"
eval "set -- $packages"
if command -v rpm >/dev/null && { command -v dnf || command -v yum; } >/dev/null; then
  if command -v dnf >/dev/null; then echo 'manager dnf'; else echo 'manager yum'; fi
  rpm -q --qf 'package %{NAME} %{VERSION}-%{RELEASE}\n' "$@" | awk '$1 == "package" && NF == 3'
elif command -v apt-get >/dev/null; then
  echo 'manager apt'
  # shellcheck disable=SC2016 # a format of dpkg-query
  dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' "$@" 2>/dev/null |
    awk '$1 == "installed" { print "package", $2, $3 }'
fi
if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
  systemctl show -p LoadState,ActiveState,UnitFileState docker.service
else
  read -r hw_first </proc/1/comm
  echo "no systemd $hw_first"
fi
[ ! -e /run/hostwright.docker-restart ] || echo 'mark restart'
exit 0
