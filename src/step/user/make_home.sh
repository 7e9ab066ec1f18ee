#!/bin/sh
# Makes the home of a user who is there, as `useradd -m` does: with what is in /etc/skel, and with the mode that
# login.defs(5) says (`HOME_MODE`, else `UMASK`). It is made aside, and gets its place when it is whole.
#
# Variables:
#   name  his name
# Prints: nothing.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: getent (glibc), awk, cp, chown, chmod, mv -T; restorecon where SELinux is; run.sh.

hw_home=$(hw_run getent passwd -- "$name") || exit
hw_home=${hw_home%:*}; hw_home=${hw_home##*:}
if [ -d "$hw_home" ]; then exit 0; fi
hw_mode=$(awk '$1 == "HOME_MODE" { mode = $2 } $1 == "UMASK" { mask = $2 } END { print mode, mask }' /etc/login.defs)
hw_mask=${hw_mode#* }; hw_mode=${hw_mode%% *}
: "${hw_mode:=$(printf %o $((0777 & ~0${hw_mask:-022})))}"
hw_run mkdir -p -- "${hw_home%/*}/"
hw_new=$(hw_run mktemp -d "${hw_home%/*}/.hostwright.XXXXXX") || exit
trap 'rm -rf -- "$hw_new"' EXIT
[ ! -d /etc/skel ] || hw_run cp -R -P /etc/skel/. "$hw_new"
hw_run chown -R -h "$name:" "$hw_new"
hw_run chmod "$hw_mode" "$hw_new"
hw_run mv -T -- "$hw_new" "$hw_home"
if command -v restorecon >/dev/null; then restorecon -R "$hw_home" || :; fi
