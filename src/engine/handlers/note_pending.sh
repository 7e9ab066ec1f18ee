#!/bin/sh
# Writes down that handlers are due, before what notifies them is done.
#
# Variables:
#   handlers  PLAYBOOK@HANDLER each, quoted
# Prints: nothing.
# Exit codes: 0; 1 if it cannot be written.
# Relies on: id, mkdir (coreutils); pending.sh.

mkdir -p -- "$hw_folder" && cd "$hw_folder" || exit 1
eval "set -- $handlers"
for hw_file in "$@"; do
  : >"$hw_file" || exit 1
done
