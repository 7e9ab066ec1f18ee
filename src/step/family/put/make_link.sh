#!/bin/sh
# Makes a path a symbolic link.
#
# Variables:
#   path       absolute
#   temporary  a name for what is being made, of no other path
#   target     where it leads
#   backup     `run`: what is replaced is kept in the folder of the run; empty: it is not
#   force      not empty: a file there is replaced
# Prints: nothing.
# Exit codes: 0; 1 with what went wrong on standard error.
# Relies on: GNU coreutils; way.sh, put.sh.

follow=''
hw_arrive
hw_was=absent
if [ -L "./$hw_n" ]; then hw_was='link'
elif [ -e "./$hw_n" ]; then
  hw_was='file'
  [ -n "$force" ] && [ -f "./$hw_n" ] ||
    hw_fail "$path has changed under way: it is not a symbolic link; nothing was done" "hint: run again"
fi
hw_look 1
hw_stage
hw_backup
hw_e=$(ln -sT -- "$target" "./$temporary" 2>&1) || hw_disk
if [ "$hw_was" = link ] && [ -n "$hw_d" ]; then hw_link_was "$hw_u/$hw_n"; fi
if [ "$hw_was" != file ] || [ -e "$hw_bak" ]; then hw_bak=''; fi
if [ -n "$hw_bak" ] && ! ln -T -- "$hw_u/$hw_n" "$hw_bak" 2>/dev/null; then
  hw_hold
  hw_copy "$hw_to"
fi
hw_record "$hw_was" "link $target"
# A rename puts the new link in the old one's place at once.
hw_e=$(mv -fT -- "./$temporary" "$hw_u/$hw_n" 2>&1) || {
  [ -z "$hw_bak" ] || rm -f -- "$hw_bak"
  hw_disk
}
