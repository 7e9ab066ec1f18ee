# hw_today: sets hw_ids to the services of the stack $name, hw_filter to what finds them, and hw_digest to a digest of them as
# they are described to the swarm, `none` if there are none.
# Relies on: docker, timeout, sort, sha256sum (coreutils).

hw_today() {
  hw_filter=label=com.docker.stack.namespace=$name
  hw_ids=$(timeout -k 2 20 docker service ls -q --filter "$hw_filter") || exit 1
  hw_digest=none
  [ -n "$hw_ids" ] || return 0
  # shellcheck disable=SC2086 # to be split
  hw_digest=$(timeout -k 2 20 docker service inspect --format '{{.Spec.Name}} {{json .Spec}}' $hw_ids | LC_ALL=C sort | sha256sum) ||
    exit 1
  hw_digest=${hw_digest%% *}
}
