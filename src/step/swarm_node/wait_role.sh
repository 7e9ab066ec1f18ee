#!/bin/sh
# Waits until this node has taken its new role.
#
# The manager says at once that the role is the new one, but the node stays a member of the raft group for some seconds,
# and is one again if its engine starts anew with its old certificate (seen with Engine 20.10): a node that is stopped
# within that time takes the quorum with it. So its certificate, which names its role (`OU=swarm-worker`), is waited for
# as well, where it can be read.
#
# Variables:
#   role  `worker` or `manager`
# Prints: nothing.
# Exit codes: 0; 1 if it has not after a minute and a half.
# Relies on: docker, date, timeout, base64 (coreutils), awk, grep.

case $role in
  manager) hw_wanted='active true' ;;
  *) hw_wanted='active false' ;;
esac
hw_root=$(timeout -k 2 10 docker info --format '{{.DockerRootDir}}')
hw_certificate() {
  [ -r "$hw_root/swarm/certificates/swarm-node.crt" ] || return 0
  awk '/^-----BEGIN/ { n++ } n == 1 && !/^-----/' "$hw_root/swarm/certificates/swarm-node.crt" |
    base64 -d 2>/dev/null | grep -a -q "swarm-$role"
}
hw_end=$(($(date +%s) + 90))
while :; do
  hw_node=$(timeout -k 2 10 docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>&1)
  if [ "$hw_node" = "$hw_wanted" ] && hw_certificate; then exit 0; fi
  [ "$(date +%s)" -lt "$hw_end" ] || break
  sleep 1
done
printf 'the node did not take its role: %s\n' "$hw_node" >&2
exit 1
