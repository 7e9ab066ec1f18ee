#!/bin/sh
# Makes a swap file. An old one of another size goes before: there may not be space for both.
#
# The kernel writes to its blocks past the file system: it must have no holes and no copy on write. So on ext4 the space is
# reserved by fallocate; elsewhere zeros are written (swapon(8)), on btrfs into a file that is exempt from copies (`chattr +C`).
#
# Variables:
#   path       absolute; nobody but root may write its folder
#   temporary  a name for what is being made, of no other path
#   size       in bytes, a multiple of 65536
#   used       not empty: the old one is in use
# Prints: what the tools say.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: GNU coreutils; mkswap, swapoff, fallocate (util-linux); chattr on btrfs; way.sh, put.sh, run.sh.

follow='' owner='' bits=''
umask 077
hw_arrive
hw_look 1
[ -z "$hw_open" ] || hw_fail "no swap file is made in ${hw_real:-/}: $hw_open may write there" \
  "hint: put it where root alone may, such as /swapfile"
case $hw_file in
  ''|*'|regular file|'*|*'|regular empty file|'*) ;;
  *) hw_fail "$path has changed under way: it is no file any more; nothing was done" "hint: run again" ;;
esac
if [ -n "$used" ]; then
  hw_run swapoff -- "$path" || exit
fi
if [ -n "$hw_file" ]; then hw_e=$(rm -f -- "./$hw_n" 2>&1) || hw_disk; fi
hw_stage
hw_t=$(stat -f -c %T .)
: >"./$temporary" || hw_fail "cannot write $path"
case $hw_t in btrfs) hw_run chattr +C -- "./$temporary" ;; esac
case $hw_t in
  ext2/ext3) hw_e=$(fallocate -l "$size" -- "./$temporary" 2>&1) ;;
  *) false ;;
esac || hw_e=$(dd if=/dev/zero of="./$temporary" bs=65536 count=$((size / 65536)) conv=notrunc,fsync 2>&1) || hw_disk
hw_run mkswap -- "./$temporary"
hw_label -- "./$temporary"
hw_e=$(mv -fT -- "./$temporary" "./$hw_n" 2>&1) || hw_disk
hw_label -- "./$hw_n"
