#!/bin/sh
# Fetches the key of Docker's repository for apt.
#
# Variables:
#   url        where it is
#   path       absolute, where it is put
#   temporary  a name for what is being made, of no other path
# Prints: nothing.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: curl or wget, GNU coreutils; way.sh, put.sh, run.sh.

umask 077
follow='' owner='' bits=''
if ! hw_way "$path" ''; then
  hw_look
  case $hw_todo in */*) hw_n=$hw_n/${hw_todo%/*} ;; esac
  hw_folders "$hw_n" "$hw_todo"
  hw_arrive
fi
hw_look
hw_stage
if command -v curl >/dev/null; then
  hw_run curl -fsSL -m 60 -o "./$temporary.key" "$url"
else
  hw_run wget -q -T 60 -O "./$temporary.key" "$url"
fi
hw_e=$(dd if="./$temporary.key" of="./$temporary" bs=65536 conv=excl,fsync status=none 2>&1) || hw_disk
chmod 0644 "./$temporary" || exit 1
hw_e=$(mv -fT -- "./$temporary" "$hw_u/$hw_n" 2>&1) || hw_disk
hw_label -- "$hw_u/$hw_n"
