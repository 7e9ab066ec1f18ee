#!/bin/sh
# Removes what is at a path. Where nothing is, nothing is to be done.
#
# Variables:
#   path       absolute
#   temporary  a name for what is being made, of no other path
#   base       name of the backup, without its end
#   backup     `run`: a file is kept under that name; empty: it is not
#   what       `file` (whatever is no directory), `link`, `empty` (a directory), `all` (a directory with what is in it)
# Prints: nothing.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: GNU coreutils; way.sh, put.sh.

follow=''
if ! hw_way "$path" ''; then
  if [ -d "./$hw_n" ]; then hw_lost; fi
  exit 0
fi
hw_look
[ -e "./$hw_n" ] || [ -L "./$hw_n" ] || exit 0
hw_l='file'
if [ -L "./$hw_n" ]; then hw_l='link'; elif [ -d "./$hw_n" ]; then hw_l=directory; fi
hw_backup
case $what/$hw_l in
  file/file|file/link)
    if [ -n "$hw_bak" ]; then hw_e=$(mv -fT -- "./$hw_n" "./$hw_bak" 2>&1) || hw_disk
    else hw_e=$(rm -f -- "./$hw_n" 2>&1) || hw_disk; fi ;;
  link/link) hw_e=$(rm -f -- "./$hw_n" 2>&1) || hw_disk ;;
  empty/directory) rmdir -- "./$hw_n" || exit 1 ;;
  # What is mounted below stays, and makes it fail.
  all/directory) rm -rf --one-file-system -- "./$hw_n" || exit 1 ;;
  *) hw_fail "$path has changed under way: it is a $hw_l; nothing was done" "hint: run again" ;;
esac
