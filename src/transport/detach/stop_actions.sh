#!/bin/sh
# Stops the actions of a run, as their bounds would do it: first they are asked to end, 5 s later they have to. What they came
# to is no longer kept for a run that would take it for its own.
#
# Variables:
#   run  the run; empty for the one of this session
# Prints: nothing.
# Exit codes: 0 when none of them runs any more; 1 otherwise.
# Relies on: id, kill, rm, sleep (coreutils); places.sh.

for hw_folder in "$hw_base/runs/${run:-$HW_RUN_ID}"/*; do
  # Who stops it by its name does not want what it came to.
  if [ -n "$run" ]; then rm -f "$hw_folder/step"; fi
  { read -r hw_pid hw_ticks hw_timeout <"$hw_folder/process"; } 2>/dev/null || continue
  if [ -n "$hw_timeout" ] && hw_live "$hw_pid" "$hw_ticks"; then kill "$hw_timeout" 2>/dev/null; fi
done
hw_n=0
for hw_folder in "$hw_base/runs/${run:-$HW_RUN_ID}"/*; do
  { read -r hw_pid hw_ticks hw_timeout <"$hw_folder/process"; } 2>/dev/null || continue
  while hw_live "$hw_pid" "$hw_ticks"; do
    hw_n=$((hw_n + 1))
    if [ "$hw_n" -gt 80 ]; then
      echo "it does not end: see process $hw_timeout on the host" >&2
      exit 1
    fi
    sleep 0.1
  done
done
exit 0
