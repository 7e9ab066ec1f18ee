#!/bin/sh
# Asks whether what a step waits for has come about.
#
# Variables:
#   port      of this host, or of `address`; may be empty
#   address   where the port is; empty: this host
#   url       a page; may be empty
#   status    its status
#   contains  a text in it; may be empty
#   insecure  not empty: whatever its certificate is
#   path      absolute; may be empty
#   command   code of the user, if nothing else is given
#   absent    not empty: that is to be closed, gone, or to fail
# Prints: `yes`, `no WHY`, or `tool NAMES` if none of these tools is there.
# Exit codes: 0.
# Relies on: awk for a port; bash or nc for one of another host; curl or wget for a page; timeout (coreutils); look.sh,
#   bounded.sh.

hw_look
exit 0
