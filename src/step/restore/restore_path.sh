#!/bin/sh
# Makes of a path what it was before a run. Only what that run has made of it is touched.
#
# Variables:
#   path       absolute
#   follow     not empty: what it points to is meant
#   temporary  a name for what is being made, of no other path
#   run        the run
#   name       how its folder calls the path
#   target     where the link led that was there; empty if it was none
#   in_place   not empty: the file that is there is written
#   backup     `run`: what is there now is kept in the folder of this run
# Prints: nothing.
# Exit codes: 0; 1 with what went wrong on standard error.
# Relies on: GNU coreutils, cmp (diffutils); way.sh, put.sh, kept.sh.

umask 077
hw_kept "$run" "$name" || hw_fail "this host has kept nothing of $path in run $run"
if ! hw_way "$path" "$follow"; then
  # Its folder is gone as well.
  [ "$hw_before" != absent ] || exit 0
  hw_lost
fi
hw_from=$hw_kept_in hw_wanted=$hw_before hw_f=''
if [ -e "./$hw_n" ] || [ -L "./$hw_n" ]; then hw_f=1; fi
hw_look $hw_f
hw_stage
hw_o=$hw_u/$hw_n
if [ -f "$hw_o" ] && [ ! -L "$hw_o" ]; then
  if [ -n "$in_place" ]; then hw_grasp; else hw_hold; fi
  hw_o=$hw_to
fi
hw_stands "$hw_o" "$name"
case $hw_stand in
  back) exit 0 ;;
  changed) hw_fail "$path has been changed since run $run: it is not touched" "hint: run again" ;;
esac
hw_has=$hw_state
case $hw_wanted in
  absent) hw_now=absent ;;
  link\ *)
    hw_e=$(ln -sT -- "$target" "./$temporary" 2>&1) || hw_disk
    hw_now="link $target" ;;
  file\ *)
    hw_e=$(cp --preserve=all -- "$hw_from/$name" "./$temporary" 2>&1 &&
      dd if=/dev/null of="./$temporary" count=0 conv=notrunc,fsync status=none 2>&1 &&
      chmod -- "${hw_wanted#file }" "./$temporary" 2>&1) || hw_disk
    case $hw_afters in
      *sealed\ *) hw_now="sealed $(stat -c '%i %Y' -- "./$temporary")" ;;
      *) hw_now=$(sha256sum <"./$temporary"); hw_now="file ${hw_now%% *}" ;;
    esac ;;
  *) hw_fail "what $path was cannot be made again" ;;
esac
hw_backup
if [ "$hw_has" = file ] && [ ! -e "$hw_bak" ]; then
  # What is written in place must not be its own backup.
  [ -z "$in_place" ] && ln -T -- "$hw_o" "$hw_bak" 2>/dev/null || hw_copy "$hw_o"
fi
case $hw_has in link*) hw_link_was "$hw_o"; hw_has=$hw_was ;; esac
hw_record "$hw_has" "$hw_now"
if [ "$hw_wanted" = absent ]; then hw_e=$(rm -f -- "$hw_u/$hw_n" 2>&1) || hw_disk
elif [ -n "$in_place" ] && [ "$hw_has" = file ]; then
  hw_e=$(dd if="./$temporary" of="$hw_o" bs=65536 conv=fsync status=none 2>&1) || hw_disk
  hw_e=$(cp --attributes-only --preserve=all -- "./$temporary" "$hw_o" 2>&1) || hw_disk
  case $hw_now in sealed*) hw_record "$hw_has" "sealed $(stat -c '%i %Y' -- "$hw_o")" ;; esac
else
  hw_e=$(mv -fT -- "./$temporary" "$hw_u/$hw_n" 2>&1) || hw_disk
fi
