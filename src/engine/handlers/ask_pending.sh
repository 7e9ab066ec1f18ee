#!/bin/sh
# Asks which handlers are due from earlier runs.
#
# Variables: none
# Prints: a line PLAYBOOK@HANDLER for each.
# Exit codes: 0.
# Relies on: id (coreutils); pending.sh.

for hw_file in "$hw_folder"/*; do
  if [ -e "$hw_file" ]; then echo "${hw_file##*/}"; fi
done
exit 0
