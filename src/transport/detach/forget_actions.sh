#!/bin/sh
# Clears away what actions have left, when their results are where they belong.
#
# Variables:
#   run      the run that they belong to
#   actions  their names in it, quoted
# Prints: nothing.
# Exit codes: 0; 1 if something stays.
# Relies on: id, rm, rmdir (coreutils); places.sh.

eval "set -- $actions"
hw_code=0
for hw_action in "$@"; do
  shift
  set -- "$@" "$hw_base/runs/$run/$hw_action"
done
rm -rf -- "$@" || hw_code=1
rmdir "$hw_base/runs/$run" "$hw_base/runs" 2>/dev/null
exit "$hw_code"
