# hw_zone TOOL ZONE ADDRESS: sets hw_z to the zone that is meant; empty for the default one. ZONE has a name for it; if that
# is empty, ADDRESS is one of the host or a name of it, and the zone is that of the interface that has it. TOOL is asked
# which that is: firewall-cmd or firewall-offline-cmd. Its own name leads to the loopback interface on some hosts, and
# that says nothing.
hw_zone() {
  hw_z=$2
  [ -z "$hw_z" ] && [ -n "$3" ] || return 0
  case $3 in
    *:*) hw_a=$3 ;;
    *[!0-9.]*) hw_a=$(timeout 5 getent ahosts "$3" | { read -r hw_a hw_b; echo "$hw_a"; }) ;;
    *) hw_a=$3 ;;
  esac
  hw_i=''
  if [ -n "$hw_a" ] && command -v ip >/dev/null; then
    hw_i=$(ip -o addr show to "$hw_a" | { read -r hw_n hw_i hw_b; echo "${hw_i%%@*}"; })
  fi
  case $hw_i in ''|lo) ;; *) hw_z=$(timeout 60 "$1" --get-zone-of-interface="$hw_i" 2>/dev/null) || hw_z='' ;; esac
}
