#!/bin/sh
# Makes the live exports what the files say (`exportfs -r`), and fails on what exportfs says of this export.
#
# Its exit code is 1 as soon as any entry of any file is at fault, and older releases exit 0 on the same faults; the live
# table lists an entry even where its directory is missing. So the lines decide: those on this directory, this file and
# these clients are errors, the rest is passed on.
#
# Variables:
#   path     the directory, absolute
#   file     where its export stands
#   clients  list: to whom it is exported
# Prints: nothing.
# Exit codes: 0; 1 if this export is at fault; that of exportfs. What it said is on standard error, a hint, and
#   the command.
# Relies on: exportfs (nfs-utils), timeout.

command -v exportfs >/dev/null || { echo "exportfs not found" >&2; exit 127; }
hw_said=$(timeout -k 5 60 exportfs -r 2>&1); hw_code=$?
hw_bad=''
eval "set -- $clients"
while IFS= read -r hw_l; do
  case $hw_l in
    ''|*"either 'subtree_check'"*|*'Assuming default'*|*'NOTE: this default'*|*'No options for'*|*'uggest '*) continue ;;
  esac
  printf '%s\n' "$hw_l" >&2
  case $hw_l in *" $path "*|*" $path:"*|*"$file:"*) hw_bad=1 ;; esac
  for hw_n do
    case $hw_l in *"resolve $hw_n"*) hw_bad=1 ;; esac
  done
done <<HW_END
$hw_said
HW_END
case $hw_said in
  *'requires fsid='*) echo "hint: its file system has no id of its own: add an option such as fsid=1" >&2 ;;
  *'does not support NFS export'*) echo "hint: this file system (overlay, FUSE ...) cannot be exported: use another directory" >&2 ;;
  *'Failed to resolve'*) echo "hint: the server must be able to resolve its clients' names: use addresses" >&2 ;;
  *'Failed to stat'*) echo "hint: make the directory first" >&2 ;;
esac
case $hw_bad:$hw_code in
  :0) exit 0 ;;
  1:*) hw_code=1 ;;
  # Others are at fault, if anybody is.
  :1) [ -z "$hw_said" ] || exit 0 ;;
esac
echo "command: exportfs -r" >&2
exit "$hw_code"
