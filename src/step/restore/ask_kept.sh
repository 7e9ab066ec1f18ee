#!/bin/sh
# Asks what a run has kept of a path, and how the path stands to it.
#
# Variables:
#   path    absolute
#   follow  not empty: what it points to is meant
#   run     the run
#   name    how its folder calls the path
#   limit   so large the content may be that is sent, in bytes
# Prints: `none` if nothing is known of the run, `untouched` if it has not touched the path; else `before WHAT`,
#   `now WHAT`, `stands back|ours|changed`, as kept.sh has them; `file MODE OWNER GROUP` of the path and `kept MODE OWNER GROUP` of the backup, where they are; their content as
#   `new BASE64` and `old BASE64`, if the run has made the file, both are small and none is a secret.
# Exit codes: 0; 1 with what is wrong on standard error.
# Relies on: GNU coreutils, cmp (diffutils), base64; way.sh, put.sh, kept.sh.

temporary=''
hw_kept "$run" "$name"
case $? in
  0) ;;
  2) echo untouched; exit 0 ;;
  *) echo none; exit 0 ;;
esac
hw_stands "$path" "$name"
printf '%s\n' "before $hw_before" "now $hw_state" "stands $hw_stand"
hw_small=1
hw_tell() {
  set -- "$1" "$(stat -L -c '%a %U %G %s' -- "$2")"
  [ "${2##* }" -le "$limit" ] || hw_small=''
  printf '%s\n' "$1 ${2% *}"
}
case $hw_afters in *sealed\ *) hw_small='' ;; esac
if [ "$hw_state" = file ]; then hw_tell 'file' "$path"; fi
if [ -f "$hw_kept_in/$name" ]; then hw_tell kept "$hw_kept_in/$name"; fi
if [ -z "$hw_small" ] || [ "$hw_stand" != ours ]; then exit 0; fi
if [ "$hw_state" = file ]; then printf 'new %s\n' "$(base64 <"$path" | tr -d '\n')"; fi
if [ -f "$hw_kept_in/$name" ]; then printf 'old %s\n' "$(base64 <"$hw_kept_in/$name" | tr -d '\n')"; fi
