#!/bin/sh
# Asks whether a file is swap space, and whether it is used (proc(5), mkswap(8)).
#
# Variables:
#   path  absolute
# Prints: `used KIB PRIORITY` if the kernel swaps to it; then `fs TYPE` of the folder, as stat says it; then `signed` if a file is
#   there and has the mark of swap space, or `plain`. Nothing but the first where it is not there, or lies on a network file
#   system.
# Exit codes: 0; 3 if it cannot be read.
# Relies on: stat, dd (coreutils); way.sh, network.sh, escape.sh, far.sh.

hw_no() { exit 0; }

hw_guard() { ! hw_far "$1" || exit 0; }

# It writes a path as mountinfo does.
hw_escape "$path"
while read -r hw_a hw_b hw_c hw_d hw_e; do
  if [ "$hw_a" = "$hw_q" ]; then echo "used $hw_c $hw_e"; fi
done </proc/swaps || exit 3
hw_way "$path" '' || exit 0
echo "fs $(stat -f -c %T .)"
[ -f "./$hw_n" ] && [ ! -L "./$hw_n" ] || exit 0
[ -r "./$hw_n" ] || { echo "no permission" >&2; exit 3; }
# The mark stands at the end of the first page, of which the size depends on the machine.
for hw_x in 4086 8182 16374 65526; do
  hw_l=$(dd if="./$hw_n" bs=1 skip="$hw_x" count=10 2>/dev/null | tr -d '\0')
  if [ "$hw_l" = SWAPSPACE2 ]; then echo signed; exit 0; fi
done
echo plain
