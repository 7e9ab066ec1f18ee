#!/bin/sh
# Removes images, networks, volumes, configs or secrets of the Docker engine; what is not there is fine. A service that
# has just gone still has what it used for some seconds.
#
# Variables:
#   what       as `docker` calls one: `image`, `network`, `volume`, `config`, `secret`
#   names      their names or ids
#   wait       for so many seconds, until nobody has them in use; empty: not at all
#   keep_used  not empty: what is in use stays
# Prints: nothing.
# Exit codes: 0; 1 with what the engine says on standard error.
# Relies on: docker, timeout, date (coreutils).

hw_end=0
[ -z "$wait" ] || hw_end=$(($(date +%s) + wait))
eval "set -- $names"
for hw_name in "$@"; do
  until hw_said=$(timeout -k 5 100 docker "$what" rm "$hw_name" 2>&1); do
    hw_again=''
    case $hw_said in
      *'not found'*|*'o such '*) break ;;
      *'in use'*|*'active endpoints'*)
        [ -z "$keep_used" ] || break
        hw_again=$wait ;;
    esac
    if [ -z "$hw_again" ] || [ "$(date +%s)" -ge "$hw_end" ]; then
      printf '%s\n' "$hw_said" "command: docker $what rm $hw_name" >&2
      exit 1
    fi
    sleep 2
  done
done
