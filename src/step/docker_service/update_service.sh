#!/bin/sh
# Gives a service of the swarm another specification.
#
# The engine takes it only with the number that counts its changes, and counts its own notes as well (the state of an
# update). If the number is not that of before any more, it is asked for anew, and the specification that was seen must
# still be there, letter by letter: nobody's change is overwritten unseen.
#
# Variables:
#   id        which one
#   version   the number with which it was seen
#   resolved  not empty: the image gets what its registry told
# Reads: on file descriptor 3 a line DIGEST PLATFORMS if it is resolved (`-` for no digest; the platforms are JSON); the value
#   of `X-Registry-Auth`, a line that is empty for none; the specification that was seen, and the new one: a line of JSON
#   each, the new one in ASCII alone.
# Prints: nothing.
# Exit codes: 0; 1 with what went wrong on standard error.
# Relies on: docker, curl or docker, timeout (coreutils); api.sh, request.sh, run.sh.

[ -z "$resolved" ] || IFS=' ' read -r hw_digest hw_platforms <&3
IFS= read -r hw_auth <&3
IFS= read -r hw_seen <&3
IFS= read -r hw_body <&3
[ -z "$resolved" ] || hw_fill "$hw_digest" "$hw_platforms"
hw_try=1
while :; do
  hw_said=$(hw_request 60 POST "/services/$id/update?version=$version" "$hw_body" 2>&1) && exit 0
  case $hw_said in *'out of sequence'*) ;; *) break ;; esac
  [ "$hw_try" -lt 5 ] || break
  [ "$hw_try" = 1 ] || sleep 1
  hw_try=$((hw_try + 1))
  # The number first: a change behind it makes it a wrong one.
  version=$(hw_run timeout -k 2 20 docker service inspect --format '{{.Version.Index}}' "$id") || exit 1
  hw_now=$(hw_call 20 GET "/services/$id") || exit 1
  case $hw_now in
    *'"Spec":'"$hw_seen"*) ;;
    *)
      echo 'somebody changed the service after it was looked at: run this again to see what is to be done now' >&2
      exit 1 ;;
  esac
done
printf '%s\n' "$hw_said" >&2
exit 1
