#!/bin/sh
# Lets the kernel swap to a file.
#
# Variables:
#   path      absolute
#   priority  from -1 to 32767; empty: the kernel's choice
#   again     not empty: it is in use, and gets another priority
# Prints: what the tools say.
# Exit codes: 0; that of swapon or swapoff.
# Relies on: swapon, swapoff (util-linux); run.sh.

if [ -n "$again" ]; then hw_run swapoff -- "$path"; fi
hw_run swapon ${priority:+-p "$priority"} -- "$path"
