# hw_wait_active SECONDS: waits until the engine is active in its swarm, and prints its node id. A manager that has just
# joined tells that only when it knows its leader, on a slow host after more than 10 s. Where it does not become active,
# the program ends with 1.

hw_wait_active() {
  hw_end=$(($(date +%s) + $1))
  while :; do
    hw_info=$(timeout -k 2 20 docker info --format '{{.Swarm.LocalNodeState}}|{{.Swarm.NodeID}}|{{.Swarm.Error}}')
    hw_state=${hw_info%%|*}
    hw_info=${hw_info#*|}
    case $hw_state:${hw_info%%|*} in
      active:?*) printf '%s\n' "${hw_info%%|*}"; return ;;
      locked:*) echo 'the swarm is locked: it wants its unlock key' >&2; exit 1 ;;
      error:*) break ;;
    esac
    [ "$(date +%s)" -lt "$hw_end" ] || break
    sleep 1
  done
  [ "$hw_state" != active ] || { echo 'the engine is active in its swarm, but does not tell its node id' >&2; exit 1; }
  echo "the engine did not become active in the swarm: $hw_state ${hw_info#*|}" >&2
  echo 'are ports 2377/tcp, 7946/tcp+udp and 4789/udp open between the nodes, and the clocks right?' >&2
  exit 1
}
