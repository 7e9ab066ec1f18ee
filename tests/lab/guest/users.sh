#!/bin/bash
# users.sh ROOT KEY: makes the users of a test host in the folder ROOT, each with
# the ssh key KEY. What they are for is in the README.
set -euo pipefail
root=$1 key=$2

add() {  # add USER SHELL
    chroot "$root" useradd -m -s "$2" "$1"
    authorize "home/$1"
}
authorize() {
    install -d -m 700 "$root/$1/.ssh"
    install -m 600 "$key" "$root/$1/.ssh/authorized_keys"
    chown -R --reference="$root/$1" "$root/$1/.ssh"
}

authorize root
add admin /bin/bash
add ops /bin/bash
add guest /bin/bash
add fishy /usr/bin/fish
add cshy /usr/bin/tcsh
add chatty /bin/bash
add locked /usr/sbin/nologin
echo 'ops:ops-secret' | chroot "$root" chpasswd

# bash reads the one at a login and the other even for `ssh host command`.
for file in .profile .bashrc; do
    cat >"$root/home/chatty/$file" <<EOF
echo "*** Welcome to this host ($file) ***"
echo "*** Today's menu: \$HOME soup, 'quoted' beans ***"
echo "$file: warning: the disk in bay 3 feels lonely" >&2
echo "*** 3 packages can be updated ***"
EOF
    chroot "$root" chown chatty: "/home/chatty/$file"
done

cat >"$root/etc/sudoers.d/lab" <<'EOF'
Defaults secure_path = /sbin:/bin:/usr/sbin:/usr/bin
admin, fishy, cshy, chatty ALL=(ALL) NOPASSWD: ALL
ops ALL=(ALL) ALL
EOF
chmod 440 "$root/etc/sudoers.d/lab"
