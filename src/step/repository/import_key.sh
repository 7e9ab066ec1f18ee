#!/bin/sh
# Has rpm trust a key, after a look at it: whoever can change what an address serves would choose the key.
#
# Variables:
#   key          its address, or its file
#   fingerprint  that it must have, in capital letters
# Prints: nothing.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: gpg, rpm, awk, mktemp; curl, for an address; run.sh.

hw_d=$(hw_run mktemp -d) || exit
trap 'rm -rf -- "$hw_d"' EXIT
case $key in
  *://*) hw_run curl -fsSL --retry 2 --connect-timeout 20 --max-time 120 -o "$hw_d/key" -- "$key" ;;
  *) hw_run cp -- "$key" "$hw_d/key" ;;
esac
command -v gpg >/dev/null || {
  echo "gpg is needed to look at the key before it is trusted, but is not there" >&2
  exit 1
}
hw_has=$(gpg --homedir "$hw_d" --batch --with-colons --with-fingerprint "$hw_d/key" 2>/dev/null |
  awk -F: '$1 == "pub" { first = 1 } $1 == "fpr" && first { printf "%s%s", sep, $10; sep = " "; first = 0 }')
if [ "$hw_has" != "$fingerprint" ]; then
  echo "the key from $key has the fingerprint $hw_has, not $fingerprint: it was not imported" >&2
  exit 1
fi
hw_run rpm --import "$hw_d/key"
