#!/bin/sh
# Asks which actions run on the host whoever may listen to them, and which have ended without anybody taking note.
#
# Variables: none
# Prints: for each a line RUN ACTION STATE SECONDS ABOUT: `running`, `gone` or the exit code, and since when it is there.
# Exit codes: 0.
# Relies on: id (coreutils); places.sh.

# Processes begin at a tick after the host, a hundredth of a second (proc(5), `starttime`).
read -r hw_up hw_x </proc/uptime
for hw_folder in "$hw_base/runs"/*/*; do
  { read -r hw_pid hw_ticks hw_x <"$hw_folder/process"; } 2>/dev/null || continue
  hw_state=gone
  { read -r hw_state <"$hw_folder/code"; } 2>/dev/null
  if hw_live "$hw_pid" "$hw_ticks"; then hw_state=running; fi
  hw_since=$((${hw_up%.*} - hw_ticks / 100)) hw_about=
  # It began before the host did, which has restarted.
  [ "$hw_since" -ge 0 ] || hw_since=0
  { read -r hw_about; } 2>/dev/null <"$hw_folder/about"
  hw_action=${hw_folder##*/} hw_run=${hw_folder%/*}
  printf '%s %s %s %s %s\n' "${hw_run##*/}" "$hw_action" "$hw_state" "$hw_since" "$hw_about"
done
exit 0
