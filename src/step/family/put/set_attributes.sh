#!/bin/sh
# Gives the file or directory at a path its owner and mode.
#
# Variables:
#   path       absolute
#   follow     not empty: what it points to is meant
#   temporary  a name for what is being made, of no other path
#   owner      OWNER, OWNER:GROUP or :GROUP; empty: as it is
#   bits       the mode, five octal digits; empty: as it is
#   what       `file` or `directory`
# Prints: nothing.
# Exit codes: 0; 1 with what went wrong on standard error.
# Relies on: GNU coreutils; way.sh, put.sh.

hw_arrive
hw_change "$what"
