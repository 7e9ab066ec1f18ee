#!/bin/sh
# Sees to it that a path is a directory: makes it with all above it that are missing, or gives the one that is there what
# is wanted.
#
# Variables:
#   path       absolute
#   follow     not empty: what it points to is meant
#   temporary  a name for what is being made, of no other path
#   owner      OWNER, OWNER:GROUP or :GROUP; empty: as it is
#   bits       the mode, five octal digits; empty: as it is
# Prints: nothing.
# Exit codes: 0; 1 with what went wrong on standard error.
# Relies on: GNU coreutils; way.sh, put.sh.

hw_directory
