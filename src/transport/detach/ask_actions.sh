#!/bin/sh
# Asks which actions run on the host whoever may listen to them, and which have ended without anybody taking note.
#
# Variables: none
# Prints: for each a line RUN ACTION STATE SECONDS ABOUT: `running`, `gone` or the exit code, and since when it is there.
# Exit codes: 0.
# Relies on: id, date (coreutils); places.sh.

hw_now=$(date +%s)
for hw_folder in "$hw_base/runs"/*/*; do
  { read -r hw_pid hw_ticks hw_x <"$hw_folder/process"; } 2>/dev/null || continue
  hw_state=gone
  { read -r hw_state <"$hw_folder/code"; } 2>/dev/null
  if hw_live "$hw_pid" "$hw_ticks"; then hw_state=running; fi
  hw_since=$hw_now hw_about=
  { read -r hw_since && read -r hw_about; } 2>/dev/null <"$hw_folder/about"
  hw_action=${hw_folder##*/} hw_run=${hw_folder%/*}
  printf '%s %s %s %s %s\n' "${hw_run##*/}" "$hw_action" "$hw_state" "$((hw_now - hw_since))" "$hw_about"
done
exit 0
