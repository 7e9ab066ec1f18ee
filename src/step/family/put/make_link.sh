#!/bin/sh
# Makes a path a symbolic link.
#
# Variables:
#   path       absolute
#   temporary  a name for what is being made, of no other path
#   target     where it leads
#   base       name of the backup, without its end
#   backup     `run`: a file that is replaced is kept under that name; empty: it is not
#   force      not empty: a file there is replaced
# Prints: nothing.
# Exit codes: 0; 1 with what went wrong on standard error.
# Relies on: GNU coreutils; way.sh, put.sh.

follow=''
hw_arrive
hw_backup
hw_new=1
if [ -e "./$hw_n" ] && [ ! -L "./$hw_n" ]; then
  hw_new=''
  [ -n "$force" ] && [ -f "./$hw_n" ] ||
    hw_fail "$path has changed under way: it is not a symbolic link; nothing was done" "hint: run again"
  if [ -e "./$hw_bak" ] || [ -L "./$hw_bak" ]; then hw_bak=''; fi
fi
hw_look
hw_stage
hw_e=$(ln -sT -- "$target" "./$temporary" 2>&1) || hw_disk
if [ -n "$hw_new" ]; then hw_bak=''; fi
if [ -n "$hw_bak" ]; then hw_e=$(ln -T -- "$hw_u/$hw_n" "$hw_u/$hw_bak" 2>&1) || hw_disk; fi
# A rename puts the new link in the old one's place at once.
hw_e=$(mv -fT -- "./$temporary" "$hw_u/$hw_n" 2>&1) || {
  [ -z "$hw_bak" ] || rm -f -- "$hw_u/$hw_bak"
  hw_disk
}
