#!/bin/sh
# Asks whether a run holds the lock of the host.
#
# Variables:
#   run  the run that asks: its own lock is none
# Prints: what the run that holds it has written down; nothing if none does.
# Exit codes: 0.
# Relies on: id, cat, sleep (coreutils), flock (util-linux); places.sh, held.sh.

for hw_at in /run/hostwright "$hw_base"; do
  if [ ! -r "$hw_at/lock" ] || ! command -v flock >/dev/null; then continue; fi
  exec 8<"$hw_at/lock"
  if hw_held "$run"; then
    cat "$hw_at/owner" 2>/dev/null
    break
  fi
  exec 8<&-
done
exit 0
