#!/bin/sh
# Waits until something has come about.
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
#   seconds   how long
#   interval  seconds between two looks
# Prints: nothing.
# Exit codes: 0; 1 if it did not come about, or there is no tool to look with.
# Relies on: as ask_look.sh; look.sh, bounded.sh.

hw_end=$(($(date +%s) + seconds))
while :; do
  hw_now=$(hw_look 2>&1)
  case $hw_now in
    yes) exit 0 ;;
    tool*) echo "none of ${hw_now#tool } is installed" >&2; exit 1 ;;
  esac
  [ "$(date +%s)" -lt "$hw_end" ] || break
  sleep "$interval"
done
echo "gave up after $seconds s: ${hw_now#no }" >&2
exit 1
