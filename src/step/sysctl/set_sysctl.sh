#!/bin/sh
# Sets a parameter of the running kernel; not through sysctl(8), which a small host may lack.
#
# Variables:
#   name   its name, for messages
#   key    its path below /proc/sys
#   value  the value
# Prints: nothing.
# Exit codes: 0; 1 if the kernel does not take it.
# Relies on: nothing.

printf '%s\n' "$value" >"/proc/sys/$key" || { echo "the kernel does not take this value for $name" >&2; exit 1; }
