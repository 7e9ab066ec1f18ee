#!/bin/sh
# Runs a command of the user.
#
# Variables:
#   run          code
#   stdin        not empty: what is on file descriptor 3 is its standard input
#   environment  what is in its environment, NAME=VALUE each, quoted
#   folder       where it runs; may be empty
#   ok_codes     the exit codes that are good, with blanks between; empty: 0
#   only_if      code that has to succeed, or nothing is run; empty: not asked
# Reads: see `stdin`.
# Prints: what the command prints.
# Exit codes: 0; that of the command, or 1 for a 0 that is not good; 125 if it cannot go to the folder; 1 if `only_if`
#   cannot be asked.
# Relies on: timeout, date (coreutils), where `only_if` is given; bounded.sh, surroundings.sh, guarded.sh.

hw_may_run
(
  hw_code=$run hw_stdin=$stdin
  unset run stdin ok_codes only_if
  hw_enter
  if [ -n "$hw_stdin" ]; then eval "$hw_code" <&3; else eval "$hw_code"; fi
)
hw_judge "$?"
