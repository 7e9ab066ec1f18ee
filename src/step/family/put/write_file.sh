#!/bin/sh
# Puts content at a path, all of it or nothing, with a backup of what was there.
#
# The content goes into a file of a name of its own in the same folder (so that what a cut-off run left is cleared by the
# next), is put on the disk, and gets the place. `dd conv=excl,fsync` (coreutils) follows no planted link; `sync FILE`
# would do on coreutils 8.24 alone, and before that sync everything, dead network file systems included.
# `cp --attributes-only` copies mode, owner, ACLs, extended attributes and SELinux context.
#
# Variables:
#   path          absolute
#   follow        not empty: what it points to is meant
#   temporary     a name for what is being made, of no other path
#   sum           SHA-256 of the content
#   size          its bytes: what arrives is right or cut off, so where they are all there and nothing of the old content has
#                 to be known, no digest is made; may be empty
#   expected      SHA-256 that the old content must have; `absent` for none; empty for any
#   mode          mode of a new file, or that is wanted for the old one, five octal digits; empty: its own
#   owner         OWNER, OWNER:GROUP or :GROUP; empty: as it is
#   bits          mode that is set in the end; empty: none
#   backup        `run`: in the folder of the run; `last`: one beside it that is replaced; empty: none
#   mask          what a backup may have of its mode, octal; empty: all (not empty: a secret)
#   force         not empty: a link, pipe or socket may be replaced
#   in_place      not empty: the file that is there is written
#   make_folders  not empty: folders that are missing are made
#   validate      code that fails if the file "$hw_as" is not good; may be empty
#   validator     its name for messages
# Reads: the content on file descriptor 3.
# Prints: nothing.
# Exit codes: 0; that of `validate`; 1 with what went wrong on standard error. Nothing was changed then unless it says so.
# Relies on: GNU coreutils; way.sh, put.sh, content.sh.

hw_content
