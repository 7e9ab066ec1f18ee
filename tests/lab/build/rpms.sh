# shellcheck shell=bash
# The package repository: Debian's packages wrapped as RPMs under the names that
# they have on CentOS and at Docker. Sourced by `build`.
: "${here:?}"

# rpm_from NAME VERSION DEB...: wraps unpacked Debian packages as one RPM. The
# function on_NAME may change the tree in $tree first. TAGS are lines of the
# header, POST is the %post script.
rpm_from() {
    local name=$1 version=$2 top=$LAB_DIR/rpmbuild/$1 tree=$LAB_DIR/rpmbuild/$1/tree deb dir
    shift 2
    rm -rf "$top"
    mkdir -p "$tree"/usr/{bin,sbin,lib} "$top/SPECS"
    for deb; do dpkg-deb -x "$deb" "$tree"; done
    for dir in bin sbin lib; do   # CentOS has only /usr/bin and so on
        [ -d "$tree/$dir" ] || continue
        cp -a "$tree/$dir/." "$tree/usr/$dir/"
        rm -rf "${tree:?}/$dir"
    done
    rm -rf "$tree"/usr/share/{doc,man,lintian,locale,bug,bash-completion} "$tree"/etc/init.d
    ! declare -F "on_$name" >/dev/null || "on_$name"
    [ ! -d "$tree/usr/lib/python3" ] ||
        /usr/bin/python3 -m compileall -q -s "$tree" "$tree/usr/lib/python3"
    (cd "$tree"; find . \( -type f -o -type l \) -printf '"/%P"\n') >"$top/files"
    cat >"$top/SPECS/$name.spec" <<SPEC
Name: $name
Version: $version
Release: 1.lab
Summary: $name for the lab's hosts
License: various
AutoReqProv: no
%global __os_install_post %{nil}
%global debug_package %{nil}
${TAGS:-}
%description
$name
%install
cp -a $tree/. %{buildroot}/
%post
${POST:-:}
%files -f $top/files
SPEC
    # zstd at a low level: unpacking costs the hosts more than the download does.
    rpmbuild -bb --quiet --target x86_64 --define "_topdir $top" --define '_build_id_links none' \
        --define '_binary_payload w3.zstdio' "$top/SPECS/$name.spec" >"$top/log" 2>&1 ||
        { cat "$top/log" >&2; exit 1; }
    cp "$top"/RPMS/x86_64/*.rpm repo.new/repo/
    rm -rf "$top/BUILDROOT" "$top/RPMS"
}

# The upstream version of the one package that the pattern means.
version() { dpkg-deb -f "$1" Version | sed 's/.*://; s/[-+~].*//'; }

on_centos-stream-release() {
    mkdir "$tree/etc"
    cp rootfs/etc/centos-release "$tree/etc/"
}
on_nfs-utils() {
    mv "$tree"/usr/share/nfs-common/conffiles/{nfs,idmapd}.conf "$tree/etc/"
    sed -i '/^\[mountd\]/a port=20048' "$tree/etc/nfs.conf"     # firewalld's service "mountd"
}
on_containerd.io() { rm -f "$tree"/usr/bin/{containerd-shim,containerd-shim-runc-v1}; }
on_docker-ce-cli() { find "$tree" -type f ! -path '*/usr/bin/docker' -delete; }
on_docker-ce() {
    rm -rf "$tree"/usr/bin/{docker,dnet,tini} "$tree/usr/sbin/ovrouter" "$tree/etc/docker"
    # Images come from the lab. On the command line, so that /etc/docker/daemon.json is free.
    local dropins=$tree/usr/lib/systemd/system/docker.service.d
    mkdir -p "$dropins"
    cat >"$dropins/lab-mirror.conf" <<CONF
[Service]
Environment="LAB_MIRROR=--registry-mirror=http://$NET.1:5000 --insecure-registry=$NET.1:5000"
ExecStart=
ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock \$LAB_MIRROR
CONF
}
on_firewalld() {
    # The kernel has no nftables for IP.
    sed -i 's/^FirewallBackend=.*/FirewallBackend=iptables/' "$tree/etc/firewalld/firewalld.conf"
    # Debian links the policy after unpacking; without it polkit refuses every firewall-cmd.
    ln -sf org.fedoraproject.FirewallD1.server.policy.choice \
        "$tree/usr/share/polkit-1/actions/org.fedoraproject.FirewallD1.policy"
    # What comes with these is in the base, or would change how people log in.
    rm -rf "$tree/usr/share/pam-configs" "$tree"/usr/lib/x86_64-linux-gnu/security
}
on_cronie() {
    # The names on CentOS. Its crontab is for run-parts, which is not part of the lab.
    mv "$tree/usr/sbin/cron" "$tree/usr/sbin/crond"
    mv "$tree/usr/lib/systemd/system/cron.service" "$tree/usr/lib/systemd/system/crond.service"
    sed -i 's/sbin\/cron /sbin\/crond /; /^EnvironmentFile=/d; s/ \$EXTRA_OPTS//' \
        "$tree/usr/lib/systemd/system/crond.service"
    rm -rf "$tree"/etc/{default,cron.hourly,cron.daily,cron.weekly,cron.monthly}
    printf 'SHELL=/bin/bash\nPATH=/sbin:/bin:/usr/sbin:/usr/bin\nMAILTO=root\n' >"$tree/etc/crontab"
    mkdir -p "$tree/etc/cron.d"
    rm -f "$tree"/etc/cron.d/{*,.placeholder}
    printf '# Jobs that only root may put here.\n' >"$tree/etc/cron.d/README.lab"
}

step_rpms() {
    rm -rf rpmbuild repo.new
    mkdir -p repo.new/repo
    local TAGS POST
    # Stands for all that the base disk has, so that `rpm` and `dnf` see a CentOS.
    TAGS='Provides: centos-release = 9, system-release = 9, system-release(releasever) = 9
Provides: /bin/sh, bash, coreutils, systemd, glibc, openssh-server, sudo, python3, iptables, iproute, curl, dnf, yum' \
        rpm_from centos-stream-release 9.0

    rpm_from tree "$(version debs/tree/tree_*)" debs/tree/*.deb

    POST='getent group crontab >/dev/null || groupadd -r crontab
mkdir -p /var/spool/cron/crontabs; chgrp crontab /var/spool/cron/crontabs; chmod 1730 /var/spool/cron/crontabs
chgrp crontab /usr/bin/crontab; chmod 2755 /usr/bin/crontab
systemctl daemon-reload >/dev/null 2>&1 || :' \
        rpm_from cronie "$(version debs/cron/cron_*)" debs/cron/cron*.deb

    POST='getent passwd _rpc >/dev/null || useradd -r -s /sbin/nologin -d /run/rpcbind _rpc' \
        rpm_from rpcbind "$(version debs/rpcbind/rpcbind_*)" debs/rpcbind/*.deb

    rm -f debs/nfs/rpcbind_*
    TAGS='Requires: rpcbind' \
        POST='getent passwd statd >/dev/null || useradd -r -s /sbin/nologin -d /var/lib/nfs statd
mkdir -p /var/lib/nfs/{sm,sm.bak,v4recovery,rpc_pipefs}; chown -R statd /var/lib/nfs/sm*
touch /var/lib/nfs/{etab,rmtab,state} /etc/exports
ldconfig; systemctl daemon-reload >/dev/null 2>&1 || :' \
        rpm_from nfs-utils "$(version debs/nfs/nfs-common_*)" debs/nfs/*.deb

    # Docker's own three packages, from Debian's build of the Engine.
    rpm_from containerd.io "$(version debs/docker/containerd_*)" debs/docker/{containerd,runc}_*.deb
    rpm_from docker-ce-cli "$(version debs/docker/docker.io_*)" debs/docker/docker.io_*.deb
    TAGS='Requires: docker-ce-cli, containerd.io' \
        POST='getent group docker >/dev/null || groupadd -r docker' \
        rpm_from docker-ce "$(version debs/docker/docker.io_*)" debs/docker/{docker.io,tini}_*.deb

    POST='ldconfig; mkdir -p /etc/firewalld/zones; getent passwd polkitd >/dev/null || useradd -r -s /sbin/nologin polkitd
dbus-send --system --type=method_call --dest=org.freedesktop.DBus / org.freedesktop.DBus.ReloadConfig >/dev/null 2>&1 || :
systemctl try-restart polkit >/dev/null 2>&1 || :' \
        rpm_from firewalld "$(version debs/firewalld/firewalld_*)" debs/firewalld/*.deb

    createrepo_c --quiet --no-database repo.new/repo
    rm -rf www rpmbuild
    mv repo.new www
}
