#!/bin/sh
# Prints the file at a path, or at what it points to.
#
# Variables:
#   path   absolute
#   limit  the most bytes it may have
# Prints: the content.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: GNU coreutils; way.sh, put.sh.

follow=yes temporary=''
hw_arrive
hw_look 1
case $hw_file in
  *'|regular file|'*|*'|regular empty file|'*) ;;
  '') hw_fail "there is no $path" ;;
  *) hw_l=${hw_file#*|}; hw_fail "$path is not a file but a ${hw_l%%|*}" ;;
esac
[ "${hw_file%%|*}" -le "$limit" ] || hw_fail "$path is too large: ${hw_file%%|*} bytes"
if [ -n "$hw_open" ]; then
  dd if="./$hw_n" iflag=nofollow,nonblock bs=65536 status=none | head -c "$limit"
else
  head -c "$limit" -- "./$hw_n"
fi
