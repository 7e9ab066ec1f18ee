#!/bin/sh
# Removes packages, and these alone: what came with them stays, for the plan did not list it.
#
# Variables:
#   manager   `dnf`, `yum`, `apt`
#   packages  their names
# Prints: what the manager says.
# Exit codes: 0; that of the manager.
# Relies on: dnf, yum or apt-get; mktemp; manage.sh.

eval "set -- $packages"
case $manager in
  apt) hw_manage remove -- "$@" ;;
  *) hw_manage --setopt=clean_requirements_on_remove=0 remove -- "$@" ;;
esac || hw_give_up $?
