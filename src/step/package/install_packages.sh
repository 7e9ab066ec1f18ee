#!/bin/sh
# Installs packages, or puts other versions in place of those that are there. Where one is not found, the lists of
# packages are fetched anew, once.
#
# Variables:
#   manager   `dnf`, `yum`, `apt`
#   packages  all of them, with their versions, as the manager takes them
#   names     the names of those that are there in another version; may be empty
#   versions  the same as `packages` has them
# Prints: what the manager says.
# Exit codes: 0; that of the manager.
# Relies on: dnf, yum (with rpm) or apt-get; mktemp; manage.sh.

hw_fail() {
  case $hw_error in
    *mirrorlist.centos.org*) echo "mirrorlist.centos.org is gone: this release is at its end; a step repository = { centos_vault = true } would choose the archive" >&2 ;;
  esac
  hw_give_up "$1"
}

hw_stale() { echo "the lists of packages may be out of date: fetching them again"; }

if [ "$manager" = apt ]; then
  eval "set -- install --no-remove ${names:+--allow-downgrades} -- $packages"
  ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || hw_manage update || hw_fail $?
  hw_manage "$@" && exit 0
  hw_rc=$?
  case $hw_error in
    *'404 '*|*'Unable to locate package'*|*'no installation candidate'*|*' was not found'*|*'Failed to fetch'*) ;;
    *) hw_fail "$hw_rc" ;;
  esac
  hw_stale
  hw_manage update || hw_fail $?
  hw_manage "$@" || hw_fail $?
  exit 0
fi

# What is installed under the names; rpm fails where one is missing.
hw_versions() { eval "rpm -q -- $names"; }

[ -z "$names" ] || hw_was=$(hw_versions)
eval "set -- $packages"
hw_manage install -- "$@" || {
  hw_rc=$?
  case $hw_error in
    *404*|*'No more mirrors'*|*'Unable to find a match'*|*'No match for argument'*|*'Nothing to do'*|*'checksum'*) ;;
    *) hw_fail "$hw_rc" ;;
  esac
  hw_stale
  hw_manage clean expire-cache
  hw_manage install -- "$@" || hw_fail $?
}
# yum does not put an older version in place of a newer one unless told so.
if [ -n "$names" ] && [ "$(hw_versions)" = "$hw_was" ]; then
  eval "set -- $versions"
  hw_manage downgrade -- "$@" || hw_fail $?
fi
