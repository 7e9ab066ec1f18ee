#!/bin/sh
# Changes options of what is mounted, in place.
#
# Variables:
#   path     the mount point, absolute
#   source   what is mounted, as the kernel has it
#   fstype   its type
#   options  with commas between; may be empty
#   bind     not empty: only the flags of this one mount, about which neither the file system nor its server is asked; all
#            of them are given then
# Prints: nothing.
# Exit codes: 0; that of mount(8).
# Relies on: mount (util-linux), awk, ls; run.sh, escape.sh, mountinfo.sh, mount_point.sh.

hw_how=remount${bind:+,bind}${options:+,$options}
if hw_ours "$path"; then
  hw_run mount -o "$hw_how" -- "$path"
  exit
fi
hw_into "$path"
if [ -n "$bind" ]; then
  hw_run mount -c -o "$hw_how" -- .
else
  hw_run mount -c -i -t "$fstype" -o "$hw_how" -- "$source" .
fi
