#!/bin/sh
# Takes the lock of the host for a run, which may hold it already, by other shells. The shell of the session has opened it
# on file descriptor 9 and keeps it; the kernel lets go of it with the last process that has it open.
#
# It is taken for this run alone, then turned into one that is shared: all shells of a run hold it, and who it is stands in
# a file beside it.
#
# Variables:
#   run    the run
#   owner  more of it, for people: lines of a word and what it means
# Prints: where another run holds it, what that one has written down; then a line `action ABOUT` for each action of it that
#   still runs.
# Exit codes: 0 when it is taken; 75 when a run holds it that is under way; 76 when all that is left of one are actions that
#   have not ended; 1 with a reason if there can be none.
# Relies on: id, mkdir, rmdir, ls, mv, rm, cat, sleep (coreutils), flock (util-linux); places.sh, held.sh.

hw_at=$hw_base
if ! command -v flock >/dev/null; then
  echo "this host cannot be locked: there is no flock (util-linux)" >&2
  exit 1
fi
if ! (true <&9) 2>/dev/null; then
  echo "this host cannot be locked: $hw_base/lock cannot be opened" >&2
  exit 1
fi

# hw_refuse: tells who holds it.
hw_refuse() {
  cat "$hw_at/owner" 2>/dev/null
  while read -r hw_pid hw_ticks; do
    if hw_live "$hw_pid" "$hw_ticks"; then exit 75; fi
  done 2>/dev/null <"$hw_at/sessions"
  hw_code=75
  for hw_folder in "$hw_at/runs"/*/*; do
    { read -r hw_pid hw_ticks hw_x <"$hw_folder/process"; } 2>/dev/null || continue
    hw_live "$hw_pid" "$hw_ticks" || continue
    hw_code=76
    { read -r hw_about; } 2>/dev/null <"$hw_folder/about"
    printf 'action %s\n' "$hw_about"
  done
  exit "$hw_code"
}

# Who has no rights here has a lock of its own, but does not get in the way of those who have.
if [ "$hw_uid" != 0 ] && [ -r /run/hostwright/lock ]; then
  hw_at=/run/hostwright
  exec 8</run/hostwright/lock
  if hw_held "$run"; then hw_refuse; fi
  exec 8<&-
  hw_at=$hw_base
fi

hw_n=0
while :; do
  if flock -n -x 9; then
    { printf 'run %s\n%s\n' "$run" "$owner" >"$hw_base/owner.new" && mv "$hw_base/owner.new" "$hw_base/owner"; } || exit 1
    : >"$hw_base/sessions"
    # No other run is there any more: what is left of it has no one to take it, but for what must not run twice.
    for hw_folder in "$hw_base/runs"/*/*; do
      if [ -e "$hw_folder/step" ] || [ ! -e "$hw_folder" ]; then continue; fi
      { read -r hw_pid hw_ticks hw_x <"$hw_folder/process"; } 2>/dev/null && hw_live "$hw_pid" "$hw_ticks" && continue
      rm -rf "$hw_folder"
      rmdir "${hw_folder%/*}" 2>/dev/null
    done
    if flock -n -s 9; then break; fi
  elif flock -n -s 9; then
    hw_owner=
    { read -r hw_x hw_owner <"$hw_base/owner"; } 2>/dev/null
    if [ "$hw_owner" = "$run" ]; then break; fi
    flock -u 9
    hw_refuse
  fi
  # It is being taken, or looked at, in this very moment.
  hw_n=$((hw_n + 1))
  [ "$hw_n" -lt 50 ] || hw_refuse
  sleep 0.1
done

# The shell of the session is above what bounds this frame.
read -r hw_x 2>/dev/null <"/proc/$PPID/stat"
# shellcheck disable=SC2086
set -- ${hw_x##*)}
hw_pid=$2
read -r hw_x 2>/dev/null <"/proc/$hw_pid/stat"
# shellcheck disable=SC2086
set -- ${hw_x##*)}
echo "$hw_pid ${20}" >>"$hw_base/sessions"
exit 0
