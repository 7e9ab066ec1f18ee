#!/bin/sh
# Asks for all files that set kernel parameters at boot. A link may lead to a dead network file system: whoever looks
# there is bounded.
#
# Variables:
#   folders  where they are
#   main     the file that is in none of these
# Prints: `boot systemd` or `boot procps`; then for each name a line of words with a tab between, `file PATH` or
#   `link PATH TARGET`, and `closed PATH` where it cannot be read; then for each file `in PATH` and its lines
#   `NUMBER|TEXT`, without comments and blank lines.
# Exit codes: 0.
# Relies on: readlink, timeout, test (coreutils), awk.

hw_reader=procps
for hw_f in /usr/lib/systemd/systemd-sysctl /lib/systemd/systemd-sysctl; do
  [ ! -x "$hw_f" ] || hw_reader=systemd
done
echo "boot $hw_reader"
eval "set -- $folders"
hw_k=$#
for hw_d; do
  [ "$hw_d" != /lib/sysctl.d ] || [ ! -L /lib ] || continue
  for hw_f in "$hw_d"/*.conf; do set -- "$@" "$hw_f"; done
done
shift "$hw_k"
set -- "$@" "$main"
hw_n=$#
while [ "$hw_n" -gt 0 ]; do
  hw_f=$1; shift; hw_n=$((hw_n - 1)); hw_c=1
  if [ -L "$hw_f" ]; then
    hw_t=$(readlink -- "$hw_f")
    printf 'link\t%s\t%s\n' "$hw_f" "$hw_t"
    [ "$hw_t" = /dev/null ] || { timeout -s KILL 5 test -f "$hw_f"; hw_c=$?; }
  elif [ -e "$hw_f" ]; then
    printf 'file\t%s\n' "$hw_f"
    [ ! -f "$hw_f" ] || hw_c=0
  fi
  case $hw_c in
    0) if [ -r "$hw_f" ]; then set -- "$@" "$hw_f"; else printf 'closed\t%s\n' "$hw_f"; fi ;;
    1) ;;
    *) printf 'closed\t%s\n' "$hw_f" ;;
  esac
done
[ $# -eq 0 ] ||
  awk 'FNR == 1 { printf "in\t%s\n", FILENAME } /^[ \t\r]*[^#; \t\r]/ { printf "%d|%s\n", FNR, $0 }' "$@"
