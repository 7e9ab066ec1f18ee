#!/bin/sh
# Puts right what a package manager that was cut off has left: dpkg goes on where it stopped, yum forgets a transaction
# that it cannot end, and of packages that are there in two versions the older one goes.
#
# Variables:
#   manager  `dnf`, `yum`, `apt`
#   again    apt: packages that have to be installed once more, for not all of their files are there; may be empty
# Prints: what the manager says.
# Exit codes: 0; that of the manager.
# Relies on: dnf, yum with yum-utils, or dpkg and apt-get; mktemp; run.sh, manage.sh.

case $manager in
  apt)
    export DEBIAN_FRONTEND=noninteractive
    # What is not whole stops it, and is installed once more behind it.
    if [ -n "$again" ]; then
      dpkg --force-confdef --force-confold --configure -a || :
      eval "set -- $again"
      hw_manage install --reinstall --fix-broken -- "$@" || hw_give_up $?
    fi
    hw_run dpkg --force-confdef --force-confold --configure -a ;;
  yum)
    command -v yum-complete-transaction >/dev/null || {
      echo "hint: install yum-utils, which has yum-complete-transaction and package-cleanup" >&2
      hw_run yum-complete-transaction --cleanup-only
      exit 127
    }
    hw_run yum-complete-transaction -y --cleanup-only &&
      hw_run package-cleanup -y --cleandupes ;;
  *) hw_manage remove --duplicates || hw_give_up $? ;;
esac
