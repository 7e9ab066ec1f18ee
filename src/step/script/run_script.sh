#!/bin/sh
# Runs a script of the user, from a file that is there for that long. It is named to its interpreter, so that it may lie
# where nothing can be executed.
#
# Variables:
#   interpreter  the program and its arguments, each quoted
#   arguments    those of the script, each quoted
#   sum          the SHA-256 of the script: a half one is not run
#   environment  what is in its environment, NAME=VALUE each, quoted
#   folder       where it runs; may be empty
#   ok_codes     the exit codes that are good, with blanks between; empty: 0
#   only_if      code that has to succeed, or nothing is run; empty: not asked
# Reads: the script.
# Prints: what the script prints.
# Exit codes: 0; that of the script, or 1 for a 0 that is not good; 125 if it cannot go to the folder; 1 if the script did
#   not arrive whole, or `only_if` cannot be asked.
# Relies on: mktemp, sha256sum (coreutils), and timeout, date where `only_if` is given; bounded.sh, surroundings.sh, guarded.sh.

hw_may_run
# What is told to stop waits for the script, which is told as well: nobody is to take it for finished before.
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
(
  hw_sum=$sum hw_words=$interpreter hw_more=$arguments
  hw_enter
  hw_file=$(umask 077; mktemp) || exit 1
  trap 'rm -f -- "$hw_file"' EXIT
  trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
  cat <&3 >"$hw_file" && hw_is=$(sha256sum <"$hw_file") && [ "${hw_is%% *}" = "$hw_sum" ] || {
    echo 'the script did not arrive whole; is the disk full?' >&2
    exit 1
  }
  eval "set -- $hw_words \"\$hw_file\" $hw_more"
  "$@" 3<&-
)
hw_judge "$?"
