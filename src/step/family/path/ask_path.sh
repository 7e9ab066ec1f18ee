#!/bin/sh
# Asks what is at a path, and what stands in the way of putting something there.
#
# A path on a network file system is not touched, for the server may be dead and whoever asks then sleeps for ever.
# Where a symbolic link leads is read before it is gone to.
#
# Variables:
#   path      absolute
#   follow    not empty: the target of a symbolic link is meant
#   remote    seconds that a network file system has to answer; empty: none is touched
#   owner     user that is wanted and must be known; may be empty
#   group     group that is wanted and must be known; may be empty
#   depth     what is asked beside the attributes: `digest`, `content`, `differing`, `entries`; empty: nothing
#   limit     of content in bytes; of entries their number
#   sum       for `differing`: the SHA-256 of which the content is not wanted
#   size      and the bytes that content with this digest has
# Prints: `!user NAME` and `!group NAME` for accounts that are missing; then one line KIND|MODE|OWNER:UID|GROUP:GID|LINK;
#   then for a regular file, as far as asked, `DIGEST SUM SIZE` (`-` for a sum that was not made), or `CONTENT SIZE` and
#   its bytes, or `KERNEL`; for a directory `ENTRIES ` and its names, each ended by `/`. Or one line that says why not:
#   `absent N`, `blocked N` and `denied N` (N folders above are missing), `dangling`, `remote FSTYPE`, `dead FSTYPE`,
#   `led WHO|LINK`, `loop`, `moved`.
# Exit codes: 0; another one if the path could not be read.
# Relies on: stat, sha256sum, readlink (coreutils), getent, awk; in a folder that others may write dd of GNU
#   (`iflag=nofollow`); way.sh, network.sh, escape.sh, far.sh, answer.sh.

hw_answer
