#!/bin/sh
# Lets the kernel no longer swap to a file. What is in it has to go into memory.
#
# Variables:
#   path  absolute
# Prints: what the tool says.
# Exit codes: 0; that of swapoff.
# Relies on: swapoff (util-linux); run.sh.

hw_run swapoff -- "$path"
