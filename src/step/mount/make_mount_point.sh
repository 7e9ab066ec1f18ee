#!/bin/sh
# Makes a directory to mount on, with all above it that are missing, unless something is mounted there.
#
# Variables:
#   path       the mount point, absolute
#   temporary  a name for what is being made, of no other path
#   guard      not empty: while nothing is mounted there, nobody but root may enter it or put something into it
# Prints: nothing.
# Exit codes: 0; 1 with what went wrong on standard error.
# Relies on: GNU coreutils, awk; way.sh, put.sh, escape.sh, mountinfo.sh, mount_point.sh.

[ -z "$(hw_mounted type "$path")" ] || exit 0
follow='' owner='' bits=''
[ -z "$guard" ] || { owner=root:root; bits=00000; }
hw_directory
