#!/bin/sh
# Asks for a group.
#
# Variables:
#   name   its name
#   gid    the number that it is to have; may be empty
#   users  not empty: asks also for the users whose first group it is
# Prints: `gid-of NAME` if the number is another group's; then `absent`, or `group` with its line of group(5),
#   `first-of USER` for each of these users that is in /etc/passwd, and `local` if the group is in /etc/group.
# Exit codes: 0; 3 if the name service does not answer.
# Relies on: getent (glibc), timeout; entries.sh.

hw_entry group "$name" "$gid"
[ -z "$hw_holder" ] || echo "gid-of ${hw_holder%%"$hw_nl"*}"
[ -n "$hw_found" ] || { echo absent; exit 0; }
echo "group $hw_found"
if [ -n "$users" ]; then
  hw_i=${hw_found#*:*:}; hw_i=${hw_i%%:*}
  while IFS=: read -r hw_user hw_x hw_x hw_g hw_x; do
    [ "$hw_g" != "$hw_i" ] || echo "first-of $hw_user"
  done </etc/passwd
fi
hw_local /etc/group "$name"
exit 0
