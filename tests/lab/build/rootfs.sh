#!/bin/bash
# rootfs.sh ROOT: called by mmdebstrap with the new root folder. Makes a Debian
# userland look and behave like a fresh CentOS Stream 9 host.
# Needs $LAB_DIR and $here.
set -euo pipefail
root=$1
: "${here:?}" "${LAB_DIR:?}" "${NET:?}"

# Downloads what the RPMs and images are made from: at this point apt knows what
# the hosts have already. Nothing of it is installed.
fetch() {  # fetch FOLDER PACKAGE...
    local archives=$LAB_DIR/debs/$1
    shift
    mkdir -p "$archives/partial"
    APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq -y --no-install-recommends --download-only \
        -o Dir::Cache::archives="$archives" install "$@"
    rm -rf "$archives/partial" "$archives/lock"
}
fetch rpcbind rpcbind
fetch nfs nfs-kernel-server
fetch docker docker.io
fetch firewalld firewalld
fetch cron cron
fetch tree tree
fetch redis redis-server

# Kernel modules, less the drivers of hardware that is not there.
modules=$LAB_DIR/debs/tools/x/usr/lib/uml/modules
version=$(ls "$modules")
mkdir -p "$root/usr/lib/modules"
cp -a "$modules/$version" "$root/usr/lib/modules/"
for driver in "$root/usr/lib/modules/$version/kernel/drivers"/*; do
    case ${driver##*/} in net | block | md | char) ;; *) rm -rf "$driver" ;; esac
done
depmod -b "$root" "$version"

cat >"$root/usr/lib/os-release" <<'END_OS'
NAME="CentOS Stream"
VERSION="9"
ID="centos"
ID_LIKE="rhel fedora"
VERSION_ID="9"
PLATFORM_ID="platform:el9"
PRETTY_NAME="CentOS Stream 9 (test host)"
END_OS
echo 'CentOS Stream release 9 (test host)' |
    tee "$root/etc/centos-release" "$root/etc/redhat-release" >"$root/etc/system-release"
ln -sf ../usr/lib/os-release "$root/etc/os-release"
rm -rf "$root"/etc/issue* "$root/etc/motd" "$root/etc/hostname" "$root"/etc/cron*
: >"$root/etc/machine-id"                   # each host makes its own
printf '127.0.0.1 localhost localhost.localdomain\n::1 localhost localhost.localdomain\n' >"$root/etc/hosts"
rm -f "$root/etc/resolv.conf"
echo '# there is no DNS in the lab' >"$root/etc/resolv.conf"
sed -i 's/^hosts:.*/hosts: files myhostname dns/' "$root/etc/nsswitch.conf"
echo '/dev/ubda / ext4 defaults,noatime 0 0' >"$root/etc/fstab"
# The kernel has nftables, but not for IP.
for tables in iptables ip6tables; do
    chroot "$root" update-alternatives --quiet --set "$tables" "/usr/sbin/$tables-legacy"
done

# dnf: one small repository, no signatures; rpm's database where it is on CentOS
# (Debian's rpm keeps one for each user).
ln -sf dnf-3 "$root/usr/bin/yum"
mkdir -p "$root/etc/rpm" "$root/etc/yum.repos.d"
echo '%_dbpath /var/lib/rpm' >"$root/etc/rpm/macros"
cat >"$root/etc/dnf/dnf.conf" <<'END_DNF'
[main]
gpgcheck=0
best=True
skip_if_unavailable=False
install_weak_deps=False
fastestmirror=False
deltarpm=False
END_DNF
cat >"$root/etc/yum.repos.d/lab.repo" <<END_REPO
[lab]
name=CentOS Stream 9 and Docker CE, as far as the lab has them
baseurl=http://$NET.1:8000/repo
enabled=1
gpgcheck=0
END_REPO

chroot "$root" groupadd -f -r wheel
"$here/guest/users.sh" "$root" "$LAB_DIR/id.pub"

rm -f "$root"/etc/ssh/ssh_host_*
install -m 644 "$here/guest/sshd_config" "$root/etc/ssh/sshd_config"

# Units: sshd by its CentOS name, and nothing that a test host can do without.
install -m 755 "$here/guest/lab-net" "$root/usr/local/sbin/lab-net"
units=$root/etc/systemd/system
install -m 644 "$here/guest/lab-net.service" "$here/guest/sshd.service" "$units/"
ln -sf /dev/null "$units/ssh.service"
rm -rf "$units"/{getty,timers,sysinit,network-online,multi-user}.target.wants
mkdir -p "$units/multi-user.target.wants"
ln -s ../lab-net.service ../sshd.service "$units/multi-user.target.wants/"
# On CentOS too what fstab calls _netdev is mounted at boot through this target.
ln -s /usr/lib/systemd/system/remote-fs.target "$units/multi-user.target.wants/"
grep -v '^#' "$here/guest/masked-units" | while read -r unit; do ln -sf /dev/null "$units/$unit"; done
ln -sf /usr/lib/systemd/system/multi-user.target "$units/default.target"
mkdir -p "$units/../journald.conf.d" "$units/../system.conf.d"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\n' >"$units/../journald.conf.d/lab.conf"
printf '[Manager]\nDefaultTimeoutStartSec=240s\n' >"$units/../system.conf.d/lab.conf"
