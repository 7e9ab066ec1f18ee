#!/bin/sh
# Removes what is at a path. Where nothing is, nothing is to be done.
#
# Variables:
#   path       absolute
#   temporary  a name for what is being made, of no other path
#   backup     `run`: what is there is kept in the folder of the run; empty: it is not
#   what       `file` (whatever is no directory), `link`, `empty` (a directory), `all` (a directory with what is in it)
# Prints: nothing.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: GNU coreutils; way.sh, put.sh.

follow=''
if ! hw_way "$path" ''; then
  if [ -d "./$hw_n" ]; then hw_lost; fi
  exit 0
fi
hw_look 1
[ -e "./$hw_n" ] || [ -L "./$hw_n" ] || exit 0
hw_l='file'
if [ -L "./$hw_n" ]; then hw_l='link'; elif [ -d "./$hw_n" ]; then hw_l=directory; fi
case $what/$hw_l in
  file/file|file/link|link/link)
    hw_u=. hw_was=$hw_l
    if [ "$hw_was" = file ] && [ ! -f "./$hw_n" ]; then hw_was=other; fi
    hw_backup
    if [ -n "$hw_bak" ] && [ "$hw_was" = link ]; then hw_link_was "./$hw_n"; fi
    hw_record "$hw_was" absent
    if [ -n "$hw_bak" ] && [ "$hw_was" = file ] && [ ! -e "$hw_bak" ]; then
      # A rename, or a copy where it is another file system.
      hw_e=$(mv -fT -- "./$hw_n" "$hw_bak" 2>&1) || { rm -f -- "$hw_bak"; hw_disk; }
    else
      hw_e=$(rm -f -- "./$hw_n" 2>&1) || hw_disk
    fi ;;
  empty/directory) rmdir -- "./$hw_n" || exit 1 ;;
  # What is mounted below stays, and makes it fail.
  all/directory) rm -rf --one-file-system -- "./$hw_n" || exit 1 ;;
  *) hw_fail "$path has changed under way: it is a $hw_l; nothing was done" "hint: run again" ;;
esac
