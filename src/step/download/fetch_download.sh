#!/bin/sh
# Fetches a file from an address, has a look at it, and puts it at a path as write_file.sh does.
#
# Where root alone may write the folder, what a cut-off try has left is gone on with. Whatever comes is checked whole before
# it gets its place; one that was gone on with and is not right is fetched anew.
#
# Variables:
#   url        the address; it may hold a secret, so it is no argument: it goes to the tool on standard input
#   shown      the address for messages
#   path       absolute
#   temporary  a name for what is being made, of no other path
#   sum        SHA-256 that the file must have; empty: any
#   mode       mode of a new file, or that is wanted for the old one, five octal digits; empty: its own
#   owner      OWNER, OWNER:GROUP or :GROUP; empty: as it is
#   bits       mode that is set in the end; empty: none
#   backup     `run`: in the folder of the run; empty: none
# Prints: nothing.
# Exit codes: 0; 4 if another file came than the digest says; that of curl or wget; 1 with what went wrong on standard error.
#   The old file is there then.
# Relies on: curl or GNU wget; GNU coreutils; way.sh, put.sh, content.sh.

# Into "$hw_part".
hw_fetch() {
  hw_c=''
  if command -v curl >/dev/null; then
    if [ -s "$hw_part" ]; then set -- -C -; else set --; fi
    # Its configuration takes quotes and backslashes with a backslash before (curl(1), -K).
    hw_in=$url hw_q=''
    while :; do
      case $hw_in in
        *[\"\\]*) hw_x=${hw_in%%[\"\\]*}; hw_in=${hw_in#"$hw_x"}; hw_q=$hw_q$hw_x\\${hw_in%"${hw_in#?}"}; hw_in=${hw_in#?} ;;
        *) hw_q=$hw_q$hw_in; break ;;
      esac
    done
    printf 'url = "%s"\n' "$hw_q" |
      curl -fsSL --proto '=http,https' --proto-redir '=http,https' --retry 2 --connect-timeout 20 "$@" -o "$hw_part" -K - || hw_c=$?
  elif command -v wget >/dev/null; then
    if [ -s "$hw_part" ]; then set -- -c; else set --; fi
    printf '%s\n' "$url" | wget -nv --tries=3 --timeout=60 "$@" -O "$hw_part" -i - 2>/dev/null || hw_c=$?
  else
    hw_fail "there is neither curl nor wget to fetch $shown" "hint: install one of them with a \`package\` step before"
  fi
  [ -n "$hw_c" ] || return 0
  echo "cannot fetch $shown; $path is as it was" >&2
  return "$hw_c"
}

# Whether what came is what is wanted. Leaves its digest in hw_sum.
hw_right() {
  hw_sum=$(sha256sum <"$hw_part") || exit 1
  hw_sum=${hw_sum%% *}
  [ -z "$sum" ] || [ "$hw_sum" = "$sum" ]
}

umask 077
follow='' force='' in_place='' make_folders='' validate='' validator='' mask='' expected='' size=''
hw_arrive
hw_look
if [ -n "$hw_open" ]; then
  hw_stage
  hw_part=./$temporary.part
else
  hw_part=./$temporary-part
fi
hw_old=''
if [ -e "$hw_part" ]; then
  hw_old=1
  if [ -z "$sum" ] || [ ! -f "$hw_part" ] || [ -L "$hw_part" ]; then rm -rf -- "$hw_part"; hw_old=''; fi
fi
if [ -z "$hw_old" ] || ! hw_right; then
  hw_fetch || {
    hw_c=$?
    # A server that cannot go on there, or a file that is longer than the one it has now.
    [ -n "$hw_old" ] || exit "$hw_c"
    rm -f -- "$hw_part"
    hw_old=''
    hw_fetch || exit
  }
  if ! hw_right && [ -n "$hw_old" ]; then
    rm -f -- "$hw_part"
    hw_fetch || exit
    hw_right || :
  fi
fi
if [ -n "$sum" ] && [ "$hw_sum" != "$sum" ]; then
  rm -f -- "$hw_part"
  printf '%s\n' "what came from $shown has another SHA-256 than is wanted; $path is as it was" "  wanted $sum" "  came   $hw_sum" \
    "hint: see whether the file there is a new one, or was changed by somebody" >&2
  exit 4
fi
sum=$hw_sum
exec 3<"$hw_part"
rm -f -- "$hw_part"
hw_tidy
trap - EXIT
hw_content
