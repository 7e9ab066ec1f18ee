#!/bin/sh
# Asks whether a user has a home. It is not touched on a network file system: its server may be dead.
#
# Variables:
#   name  his name
#   home  where it is to be; empty: where the host has it
# Prints: `there`, `missing`, or `unknown`; nothing if there is no such user.
# Exit codes: 0; 3 if the name service does not answer.
# Relies on: getent (glibc), timeout; network.sh, entries.sh.

if [ -z "$home" ]; then
  hw_entry passwd "$name"
  home=${hw_found%:*}; home=${home##*:}
  [ -n "$home" ] || exit 0
fi
hw_type='' hw_longest=0
set -f; IFS=$hw_nl
for hw_mount in $hw_net; do
  hw_point=${hw_mount#* }; hw_point=${hw_point%/}
  case ${home%/}/ in
    "$hw_point"/*)
      [ "${#hw_point}" -lt "$hw_longest" ] || { hw_longest=${#hw_point}; hw_type=${hw_mount%% *}; } ;;
  esac
done
set +f; unset IFS
case $hw_type in
  ''|-) if [ -d "$home" ]; then echo there; else echo missing; fi ;;
  *) echo unknown ;;
esac
