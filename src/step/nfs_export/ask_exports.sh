#!/bin/sh
# Asks for the tool, all files that exportfs reads, the live table, where the directory really is, and what host names
# resolve to: those of the step, and those that the live table has for the directory (exportfs lists a host by the name of
# whichever entry came first).
#
# The live table is /var/lib/nfs/etab: one entry a line, all options spelled out. `exportfs -v` wraps long lines and writes
# `<world>` for `*`.
#
# Variables:
#   path    the directory, absolute
#   names   list: host names of the step
#   listed  the directory as the live table writes it, if hosts that it lists are to be resolved; else empty
# Prints: `TOOL yes` or `TOOL no`; `REAL PATH` if the directory is really elsewhere; `NAME NAME` and, for each of its
#   addresses, `ADDR ADDRESS CANONICAL-NAME`; for each file `FILE PATH` and its lines, each behind a `|`.
# Exit codes: 0; that of awk where a file cannot be read.
# Relies on: readlink, timeout, getent, awk.

hw_seen=' '
hw_name() {
  case $hw_seen in *" $1 "*) return ;; esac
  hw_seen="$hw_seen$1 "; echo "NAME $1"
  while read -r hw_a hw_b hw_c; do [ -z "$hw_a" ] || echo "ADDR $hw_a${hw_c:+ $hw_c}"; done <<HW_END
$(timeout 3 getent ahosts "$1")
HW_END
}

if command -v exportfs >/dev/null; then echo "TOOL yes"; else echo "TOOL no"; fi
hw_real=$(timeout -s KILL 5 readlink -f -- "$path")
[ -z "$hw_real" ] || [ "$hw_real" = "$path" ] || printf 'REAL %s\n' "$hw_real"
eval "set -- $names"
for hw_n do hw_name "$hw_n"; done
if [ -n "$listed" ] && [ -e /var/lib/nfs/etab ]; then
  # shellcheck disable=SC2013 # names of hosts, one a line
  for hw_n in $(hw_p=$listed hw_r=$hw_real awk -F'\t' '$1 == ENVIRON["hw_p"] || $1 == ENVIRON["hw_r"] {
    sub(/\(.*/, "", $2); if ($2 ~ /[A-Za-z]/ && $2 !~ /[^-A-Za-z0-9_.]/) print $2
  }' /var/lib/nfs/etab); do hw_name "$hw_n"; done
fi
set -- /etc/exports.d/*.exports
[ -e "$1" ] || shift
for hw_f in /etc/exports /var/lib/nfs/etab; do if [ -e "$hw_f" ]; then set -- "$@" "$hw_f"; fi; done
[ $# = 0 ] || awk 'FNR == 1 { print "FILE " FILENAME } { print "|" $0 }' "$@"
