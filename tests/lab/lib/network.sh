# shellcheck shell=bash
# The network namespace with its bridge, one tap for each host, and the two
# servers that the hosts get their packages and images from.

in_ns() { ip netns exec "$LAB_NS" "$@"; }

# Tells which run folder a namespace belongs to; gone after a reboot, as the
# namespace itself is.
owner_file() { echo "/run/hostwright-lab/$LAB_NS"; }

own_namespace() {
    local owner
    [ -e "/run/netns/$LAB_NS" ] || return 0
    owner=$(cat "$(owner_file)" 2>/dev/null) || owner="nobody known"
    [ "$owner" = "$LAB_RUN" ] ||
        die "the namespace $LAB_NS belongs to $owner; set LAB_NS to another name"
}

network_up() {
    own_namespace
    if [ ! -e "/run/netns/$LAB_NS" ]; then
        mkdir -p "$(dirname "$(owner_file)")"
        echo "$LAB_RUN" >"$(owner_file)"
        ip netns add "$LAB_NS"
    fi
    in_ns ip link set lo up
    in_ns ip link show br0 >/dev/null 2>&1 || in_ns ip link add br0 type bridge
    in_ns ip addr replace "$NET.1/24" dev br0
    in_ns ip link set br0 up
    running http || start http python3 -m http.server --bind "$NET.1" --directory "$LAB_DIR/www" 8000
    running registry || start registry "$LAB_DIR/docker-registry" serve "$LAB_DIR/registry.yml"
}

network_down() {
    stop http
    stop registry
    if [ -e "/run/netns/$LAB_NS" ]; then ip netns del "$LAB_NS"; fi
    rm -f "$(owner_file)"
}

# A tap that exists stays, with its host plugged in or cut.
tap_up() {
    if ! in_ns ip link show "t$1" >/dev/null 2>&1; then
        in_ns ip tuntap add "t$1" mode tap
        plug "$1"
    fi
}
tap_remove() { in_ns ip link del "t$1"; }

# Out of the bridge, not down: a host's network card never recovers from a tap
# that was down.
plug() { in_ns ip link set "t$1" master br0 up; }
unplug() { in_ns ip link set "t$1" nomaster; }

ssh_config() {
    local n
    for n in $(hosts); do
        printf 'Host centos-%s %s.%s\n    HostName %s.%s\n' "$n" "$NET" "$n" "$NET" "$n"
    done
    cat <<EOF
Host centos-* $NET.*
    IdentityFile $LAB_DIR/id
    IdentitiesOnly yes
    UserKnownHostsFile $LAB_RUN/known_hosts
    StrictHostKeyChecking accept-new
Host *
    User root
EOF
}
