#!/bin/sh
# A stage of a drill: cuts the power of the node that runs a service, and measures until its value is read back through
# the others. At every end the power is switched on again.
#
# Variables:
#   service  name of the service
#   port     where every node publishes it
#   key      what the value is written to
#   seconds  how long the stage may take
#   nodes    addresses of the nodes that are up, each quoted
#   hosts    the hosts of the inventory, address and name in turn, each quoted
#   off      code of the user that switches the power of $NODE off; its address is in $ADDRESS
#   on       and on
# Reads: the address of the node that runs the service; the password of Redis, or an empty line.
# Prints: how long it took, through each node and through all.
# Exit codes: 0; another one if the value is not given back, before or after, or the power cannot be cut.
# Relies on: bash (/dev/tcp), setsid (util-linux), timeout, mktemp, mkfifo (coreutils); redis.sh, drill.sh, names.sh.

IFS= read -r ADDRESS <&3
NODE=$(hw_name_of "$ADDRESS") || { echo "the node $ADDRESS is no host of the inventory" >&2; exit 1; }
export NODE ADDRESS
# What cannot be read must not be found out when the power is off.
for hw_code in "$off" "$on"; do
  sh -n <<HW_END || { echo 'the shell does not understand the commands that switch the power' >&2; exit 1; }
$hw_code
HW_END
done
hw_rest=''
eval "set -- $nodes"
for hw_one in "$@"; do [ "$hw_one" = "$ADDRESS" ] || hw_rest="$hw_rest $hw_one"; done

hw_switch_off() {
  hw_code=$off
  unset service port key seconds nodes hosts off on
  eval "$hw_code"
}

eval "hw_prepare $hw_rest"
# Nobody may be there any more to read what the command says: it says so to a file.
hw_log=$(mktemp) || exit 1
hw_guard "echo \"power: on for \$NODE\"
(
$on
) >\"\$1\" 2>&1 || echo \"the power of \$NODE could not be switched on again\" >>\"\$1\"
cat -- \"\$1\" >&2
rm -f -- \"\$1\"" "$hw_log"
echo "power: off for $NODE"
hw_watch hw_switch_off || exit 1
eval "hw_measure power $hw_rest"
