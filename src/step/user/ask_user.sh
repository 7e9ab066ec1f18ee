#!/bin/sh
# Asks for a user and for the groups that he is to be in.
#
# Variables:
#   name    his name
#   uid     the number that he is to have; may be empty
#   groups  names or numbers of groups, at least one
# Prints: `known GID NAME` for each of the groups that is there; `uid-of NAME` if the number is another user's; then
#   `absent`, or `user` with his line of passwd(5), `id` with what id(1) says, and `local` if he is in /etc/passwd.
# Exit codes: 0; 3 if the name service does not answer.
# Relies on: getent (glibc), timeout, id; entries.sh.

eval "set -- $groups"
hw_all=$(timeout 10 getent group -- "$@") || [ $? = 2 ] || exit 3
set -f; IFS=$hw_nl
for hw_l in $hw_all; do
  hw_g=${hw_l#*:*:}
  echo "known ${hw_g%%:*} ${hw_l%%:*}"
done
set +f; unset IFS
hw_entry passwd "$name" "$uid"
[ -z "$hw_holder" ] || echo "uid-of ${hw_holder%%"$hw_nl"*}"
[ -n "$hw_found" ] || { echo absent; exit 0; }
echo "user $hw_found"
echo "id $(timeout 10 id -- "$name")"
hw_local /etc/passwd "$name"
exit 0
