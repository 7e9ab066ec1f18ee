#!/bin/bash
# by-hand: does what `hostwright apply playbooks` does, as a person with a terminal for each host types it.
#
#     tests/lab/lab exec tests/bench/by-hand.sh side-by-side|one-by-one
#
# Prints a line `HOST PHASE MILLISECONDS` for each part of the work. A phase runs on all its hosts at once, or on one
# after another; the next begins when the last of them is done. The passwords come from the environment.
#
# It is what a careful person would type who knows that the hosts are fresh: nothing is asked first, and nothing is
# looked at again but what the recipe ends with, the answers of Redis and Portainer. The connections are open before the
# clock starts. A script travels on standard input, so that no password is an argument.
set -euo pipefail
how=$1
: "${REDIS_PASSWORD:?}" "${PORTAINER_PASSWORD:?}" "${LAB_SSH_CONFIG:?run this by tests/lab/lab exec}"

net=192.168.158
server=$net.143
manager=$net.144
workers="$net.145 $net.146"
nodes="$manager $workers"
sockets=$(mktemp -d)
trap 'rm -rf "$sockets"' EXIT

on() {
    ssh -F "$LAB_SSH_CONFIG" -o LogLevel=ERROR -o ControlPath="$sockets/%h" "$@"
}
disconnect() {
    local host
    for host in $server $nodes; do on -O exit "$host" 2>/dev/null || :; done
    rm -rf "$sockets"
}

# part PHASE HOST SCRIPT: runs the script on the host and prints how long it took. What the script prints goes to
# standard error, or to the file $answer.
part() {
    local from=${EPOCHREALTIME/./} now
    # As a function with no input: a command that reads would eat the rest of the script.
    printf 'address=%s\nmain() {\n%s\n}\nset -e\nmain </dev/null\n' "$2" "$3" |
        on "$2" sh -s >"${answer:-/dev/stderr}" || { echo "by-hand: '$1' failed on $2" >&2; return 1; }
    now=${EPOCHREALTIME/./}
    echo "$2 $1 $(((now - from) / 1000))"
}

# phase NAME 'HOST...': the script is on standard input.
phase() {
    local name=$1 host jobs=() script
    script=$(cat)
    for host in $2; do
        if [ "$how" = side-by-side ]; then
            part "$name" "$host" "$script" &
            jobs+=($!)
        else
            part "$name" "$host" "$script"
        fi
    done
    for host in ${jobs[@]+"${jobs[@]}"}; do wait "$host"; done
}

for host in $server $nodes; do on -o ControlMaster=yes -o ControlPersist=yes -fN "$host" </dev/null >/dev/null 2>&1; done
trap disconnect EXIT

firewall() {
    cat <<EOF
    if systemctl -q is-active firewalld; then
        firewall-cmd -q --permanent --add-service=$1
        firewall-cmd -q --add-service=$1
    fi
EOF
}

phase nfs-server "$server" <<EOF
    dnf -y -q install nfs-utils rpcbind
    install -d -m 0755 /mnt/nfs_file
    install -d -m 0750 -o 999 -g 999 /mnt/nfs_file/redis
    for client in $nodes; do
        echo "/mnt/nfs_file \$client(rw,sync,root_squash,no_subtree_check)"
    done >/etc/exports
    systemctl -q enable --now rpcbind nfs-server
    exportfs -r
$(firewall nfs)
    ss -Hltn 'sport = :2049' | grep -q .
EOF

phase nfs-client "$nodes" <<EOF
    dnf -y -q install nfs-utils
    install -d -m 0000 /mnt/nfs_file
    echo "$server:/mnt/nfs_file /mnt/nfs_file nfs vers=4,hard,proto=tcp,_netdev,nofail,x-systemd.mount-timeout=30s 0 0" >>/etc/fstab
    systemctl daemon-reload
    mount /mnt/nfs_file
EOF

phase docker "$nodes" <<EOF
$(firewall docker-swarm)
    dnf -y -q install docker-ce docker-ce-cli containerd.io
    install -d /etc/systemd/system/docker.service.d
    printf '[Unit]\nRequiresMountsFor=/mnt/nfs_file\n' >/etc/systemd/system/docker.service.d/mounts.conf
    systemctl daemon-reload
    systemctl -q enable --now docker
EOF

answer=$sockets/token phase swarm-init "$manager" <<EOF
    docker swarm init --advertise-addr $manager >/dev/null
    docker swarm join-token -q worker
EOF

phase swarm-join "$workers" <<EOF
    docker swarm join --token $(cat "$sockets/token") $manager:2377
EOF

phase label "$manager" <<'EOF'
    for node in $(docker node ls -q); do
        docker node update --label-add storage=nfs "$node"
    done
EOF

phase image "$nodes" <<'EOF'
    echo 'vm.overcommit_memory = 1' >/etc/sysctl.d/90-redis.conf
    sysctl -q -w vm.overcommit_memory=1
    docker pull -q redis:7.0.15
EOF

phase redis "$manager" <<EOF
    docker config create redis-conf - <<'CONF'
bind * -::*
port 6379
protected-mode yes
cluster-enabled no
daemonize no
supervised no
dir /data
logfile ""
appendonly yes
appendfsync everysec
include /run/secrets/redis-auth
CONF
    printf 'requirepass "%s"\n' '$REDIS_PASSWORD' | docker secret create redis-auth -
    printf %s '$REDIS_PASSWORD' | docker secret create redis-password -
    docker service create --quiet --detach --name redis --user 999:999 --workdir / \
        --mount type=bind,source=/mnt/nfs_file/redis,target=/data \
        --config source=redis-conf,target=/etc/redis/redis.conf \
        --secret source=redis-auth,uid=999,gid=999,mode=0400 \
        --secret source=redis-password,uid=999,gid=999,mode=0400 \
        --publish published=6379,target=6379 --constraint 'node.labels.storage == nfs' --replicas 1 \
        --update-order stop-first --update-failure-action rollback --rollback-order stop-first \
        --restart-condition any --restart-delay 5s --stop-grace-period 30s --sysctl net.core.somaxconn=1024 \
        --health-cmd 'REDISCLI_AUTH="\$(cat /run/secrets/redis-password)" redis-cli ping | grep -q PONG' \
        --health-interval 10s --health-timeout 5s --health-start-period 60s --health-retries 6 \
        redis:7.0.15 redis-server /etc/redis/redis.conf
EOF

# Through the published port of each node, wherever Redis runs.
phase redis-answers "$nodes" <<EOF
    ask() {
        timeout 5 bash -c 'exec 3<>/dev/tcp/'"\$address"'/6379 && cat >&3 && read -r -t 4 _ <&3 && read -r -t 4 pong <&3 &&
            echo "\$pong"' 2>/dev/null <<'WORDS'
AUTH $REDIS_PASSWORD
PING
WORDS
    }
    tries=0
    until ask | grep -q PONG; do
        tries=\$((tries + 1))
        [ \$tries -lt 300 ]
        sleep 1
    done
EOF

phase portainer "$manager" <<EOF
    docker volume create portainer_data
    docker run -d --name portainer --restart always -p 9443:9443 -v /var/run/docker.sock:/var/run/docker.sock \
        -v portainer_data:/data portainer/portainer-ce:2.21.4
    tries=0
    until curl -skf -o /dev/null https://127.0.0.1:9443/api/system/status; do
        tries=\$((tries + 1))
        [ \$tries -lt 300 ]
        sleep 1
    done
    curl -skf -o /dev/null -H 'Content-Type: application/json' --data-binary @- \
        https://127.0.0.1:9443/api/users/admin/init <<'BODY'
{"Username": "admin", "Password": "$PORTAINER_PASSWORD"}
BODY
EOF
