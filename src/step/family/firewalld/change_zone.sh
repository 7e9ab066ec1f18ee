#!/bin/sh
# Changes what a firewalld zone lets in.
#
# One call for each kind of item, for firewall-cmd does not take several kinds at once; and it ends with 0 when any item of
# a call went well, so what it says is looked through. A part of a listed range of ports is taken out of it by newer
# releases; older ones say that it is not there, and then the range goes, and what stays of it comes back.
#
# Variables:
#   side     `runtime`, `permanent`, or `offline`: the permanent configuration while firewalld does not run
#   zone     its name; empty: that of `address`
#   address  of the host, or a name of it: the zone of its interface is meant; may be empty, for the default zone
#   options  list: options of firewall-cmd, those of one kind side by side
#   cuts     list: for each part of a range that goes, the options that take out the part, and the range, and those that
#            add what stays of it
# Prints: nothing.
# Exit codes: 0; 1, or that of firewall-cmd, with what it said on standard error, and the command.
# Relies on: firewall-cmd or firewall-offline-cmd, ip, getent, timeout; zone.sh.

hw_do() {
  hw_o=$(timeout 120 "$hw_tool" ${hw_permanent:+--permanent} ${hw_z:+--zone="$hw_z"} "$@" 2>&1) || hw_fail $? "$@"
  while read -r hw_l; do
    case $hw_l in *ALREADY_ENABLED*|*NOT_ENABLED*) ;; *INVALID_*|*MISSING_*|*_FAILED*) hw_fail 1 "$@" ;; esac
  done <<HW_END
$hw_o
HW_END
}

hw_fail() {
  hw_c=$1
  shift
  printf '%s\n' "$hw_o" "command: $hw_tool${hw_permanent:+ --permanent}${hw_z:+ --zone=$hw_z} $*" >&2
  exit "$hw_c"
}

hw_tool=firewall-cmd hw_permanent=''
case $side in
  offline) hw_tool=firewall-offline-cmd ;;
  permanent) hw_permanent=yes ;;
esac
hw_zone "$hw_tool" "$zone" "$address"

# Calls the tool with the first $1 of the words behind.
hw_first() {
  hw_n=$1
  shift
  hw_k=$(($# - hw_n))
  while [ "$hw_n" -gt 0 ]; do
    set -- "$@" "$1"
    shift
    hw_n=$((hw_n - 1))
  done
  shift "$hw_k"
  hw_do "$@"
}

eval "set -- $options"
while [ $# -gt 0 ]; do
  hw_same=0
  for hw_x do
    [ "${hw_x%%=*}" = "${1%%=*}" ] || break
    hw_same=$((hw_same + 1))
  done
  hw_first "$hw_same" "$@"
  shift "$hw_same"
done

eval "set -- $cuts"
while [ $# -gt 1 ]; do
  hw_do "$1"
  hw_range=$2
  shift 2
  hw_same=0
  for hw_x do
    case $hw_x in --add-*) hw_same=$((hw_same + 1)) ;; *) break ;; esac
  done
  case $hw_o in *NOT_ENABLED*) hw_do "$hw_range"; hw_first "$hw_same" "$@" ;; esac
  shift "$hw_same"
done
