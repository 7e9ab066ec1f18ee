# shellcheck shell=bash
# The registry that is the hosts' mirror of docker.io, with images made here.
# Sourced by `build`.
: "${here:?}"

# put TREE NAME TAG...: adds an image; its config is on stdin.
put() { /usr/bin/python3 "$here/images/image.py" registry.new "$@"; }

# redis: Debian's server on busybox, with the manners of the official image.
image_redis() {
    local root=images.tmp/redis scratch=rootfs/tmp/redis file version
    mkdir -p $root/{bin,data,etc,tmp,usr/local/bin} $scratch
    for file in debs/redis/*.deb; do dpkg-deb -x "$file" $scratch; done
    cp debs/tools/x/bin/busybox $root/bin/
    for file in sh ls cat find id chown mkdir sleep ps kill env hostname grep sed; do
        ln -s busybox "$root/bin/$file"
    done
    cp $scratch/usr/bin/redis-{check-rdb,cli,benchmark} $root/usr/local/bin/
    for file in server sentinel check-aof; do
        ln -s redis-check-rdb "$root/usr/local/bin/redis-$file"
    done
    # busybox' setpriv can't change users; the real one is util-linux'.
    cp rootfs/usr/bin/setpriv $root/usr/local/bin/
    # The libraries come from the same Debian release as the hosts' do: ask its loader.
    for file in /tmp/redis/usr/bin/redis-check-rdb /tmp/redis/usr/bin/redis-cli /usr/bin/setpriv; do
        chroot rootfs /lib64/ld-linux-x86-64.so.2 \
            --library-path /tmp/redis/usr/lib/x86_64-linux-gnu --list $file
    done >images.tmp/libraries
    for file in $(grep -o '/[^ ]*' images.tmp/libraries | sort -u); do
        mkdir -p "$root$(dirname "${file#/tmp/redis}")"
        cp -L "rootfs$file" "$root${file#/tmp/redis}"
    done
    rm -rf $scratch
    install -m 755 "$here/images/redis-entrypoint" $root/usr/local/bin/docker-entrypoint.sh
    printf 'root:x:0:0::/root:/bin/sh\nredis:x:999:999::/data:/bin/sh\n' >$root/etc/passwd
    printf 'root:x:0:\nredis:x:999:\n' >$root/etc/group
    chmod 1777 $root/tmp
    chown -R 999:999 $root/data
    chroot $root /bin/sh -c 'cd /data && PATH=/usr/local/bin:/bin docker-entrypoint.sh redis-server --version' >&2
    # Two versions, to go from one to the other. The server in them is the same.
    for version in 7.0.16 7.0.15; do
        echo "$version" >$root/etc/redis-image-version
        [ $version = 7.0.16 ] || set -- latest
        put $root library/redis $version "$@" <<CONFIG
{"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["redis-server"], "WorkingDir": "/data", "Volumes": {"/data": {}},
 "ExposedPorts": {"6379/tcp": {}}, "Env": ["PATH=/usr/local/bin:/bin", "REDIS_VERSION=$version"]}
CONFIG
    done
}

image_portainer() {
    local server=images.tmp/portainer agent=images.tmp/agent
    mkdir -p $server/data $agent/app
    # The linker warns of what a static program can't do with names of hosts and the like.
    gcc -std=c11 -O2 -s -static -o $server/portainer "$here/images/portainer.c" -lssl -lcrypto 2>images.tmp/log ||
        { cat images.tmp/log >&2; exit 1; }
    cp $server/portainer $agent/app/agent
    put $server portainer/portainer-ce 2.21.4 latest <<'CONFIG'
{"Entrypoint": ["/portainer"], "WorkingDir": "/", "Volumes": {"/data": {}},
 "ExposedPorts": {"8000/tcp": {}, "9000/tcp": {}, "9443/tcp": {}}}
CONFIG
    put $agent portainer/agent 2.21.4 latest <<'CONFIG'
{"Entrypoint": ["/app/agent"], "WorkingDir": "/app", "ExposedPorts": {"9001/tcp": {}}}
CONFIG
}

step_images() {
    rm -rf registry.new images.tmp
    mkdir -p registry.new images.tmp
    image_redis
    image_portainer
    rm -rf registry images.tmp
    mv registry.new registry
    cat >registry.yml <<CONFIG
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $LAB_DIR/registry}, delete: {enabled: true}}
http: {addr: "$NET.1:5000"}
CONFIG
}
