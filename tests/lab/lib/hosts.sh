# shellcheck shell=bash
# The virtual hosts: each is a User-Mode Linux kernel, a process like any other.
# $LAB_RUN/hosts has one line for each: number, hostname, memory.

hosts() { [ ! -e "$LAB_RUN/hosts" ] || cut -d' ' -f1 "$LAB_RUN/hosts"; }
is_on() { running "vm$1"; }
disk() { echo "$LAB_RUN/$1.cow"; }

# 143, centos-143 and 192.168.158.143 all mean the same host.
number() {
    local n=${1##*[.-]}
    grep -q "^$n " "$LAB_RUN/hosts" 2>/dev/null ||
        die "no host '$1'; the lab has: $(hosts | tr '\n' ' ')"
    echo "$n"
}

# A disk is a difference to the base disk, whose time of change it notes.
disk_fits() {
    local noted
    [ -e "$(disk "$1")" ] && noted=$(od -An -j8 -N4 --endian=big -tu4 "$(disk "$1")") &&
        [ "$((noted))" = "$(stat -c %Y "$BASE")" ]
}

power_off() {
    stop "watch$1"
    stop "vm$1"
    rm -rf "$LAB_RUN/uml/vm$1"
}

# power_on N: boots host N with the disk that it has, or with a new one.
power_on() {
    local n=$1 name mem cpus cpu mac
    read -r _ name mem < <(grep "^$n " "$LAB_RUN/hosts")
    if is_on "$n"; then die "$n is on already"; fi
    [ ! -e "$(disk "$n")" ] || disk_fits "$n" ||
        die "the disk of $n is from an older build; run: lab reset $n"
    rm -rf "$LAB_RUN/uml/vm$n"
    cd "$LAB_RUN" || exit   # so that the path of the control socket is short enough
    # A system call in the guest is two process switches here, and these are some
    # five times quicker on one CPU than across two. The guest has one CPU anyway.
    read -ra cpus < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))')
    cpu=${cpus[$(((n - FIRST) % ${#cpus[@]}))]}
    # The card keeps its address over a power loss. Others would go on sending to
    # the old one for up to a minute.
    printf -v mac '52:54:00:a8:9e:%02x' "$n"
    # rootflags=barrier=0: a flush in the guest must not wait for the real disk. Power
    # loss keeps what the guest had written: it is in this machine's page cache.
    # TMPDIR: the guest's memory is a file, so keep it in memory.
    # noreboot: a kernel that restarts itself does not get its network card back, so it ends instead, and
    # the watcher, who reads its last words, boots it again.
    # xstate.so: the kernel is older than some processors.
    TMPDIR=/dev/shm start "vm$n" env LD_PRELOAD="$LAB_DIR/xstate.so" taskset -c "$cpu" "$LAB_DIR/linux.uml" noreboot "mem=$mem" \
        "ubda=$(disk "$n"),$BASE" root=/dev/ubda rw rootflags=barrier=0 \
        "vec0:transport=tap,ifname=t$n,mac=$mac,depth=128,gro=1" con=null con0=null,fd:1 \
        uml_dir=uml "umid=vm$n" "lab.ip=$NET.$n" "lab.name=$name" "lab.gw=$NET.1" \
        lsm=yama systemd.show_status=0 quiet
    # shellcheck disable=SC2016  # the inner shell expands it
    start "watch$n" bash -c 'until tail -c 300 "$1" | grep -q "Restarting system"; do sleep 0.5; done
        until "$2" boot "$3"; do sleep 0.5; done' watch "$LAB_RUN/vm$n.log" "$here/lab" "$n"
}

# A fresh disk has a new ssh host key.
forget_disk() {
    rm -f "$(disk "$1")"
    if [ -e "$LAB_RUN/known_hosts" ]; then
        ssh-keygen -q -R "$NET.$1" -f "$LAB_RUN/known_hosts" >/dev/null 2>&1 || :
    fi
}

greets() {
    # shellcheck disable=SC2016  # for the inner bash
    in_ns timeout 5 bash -c 'read -r -t 4 l <"/dev/tcp/$0/22" && [[ $l == SSH* ]]' "$NET.$1" 2>/dev/null
}

# wait_ssh N: until sshd greets.
wait_ssh() {
    local until=$((SECONDS + ${LAB_WAIT:-240})) log=$LAB_RUN/vm$1.log
    until greets "$1"; do
        is_on "$1" || die "$1 died while booting: $(tail -n 3 "$log")"
        [ "$SECONDS" -lt "$until" ] || die "$1 does not answer on ssh; see $log"
        sleep 0.25
    done
}

# boot_all N...: all of them at once.
boot_all() {
    local n jobs=() started=${EPOCHREALTIME/./} took
    [ $# -gt 0 ] || return 0
    for n; do (power_on "$n"); done
    for n; do wait_ssh "$n" 9>&- & jobs+=($!); done
    for n in "${jobs[@]}"; do wait "$n" || exit 1; done
    took=$(((${EPOCHREALTIME/./} - started) / 100000))
    say "booted in $((took / 10)).$((took % 10)) s: $*"
}

# Memory of guests is taken from here as they touch it.
check_memory() {
    local free
    free=$(df --output=avail -m /dev/shm | tail -n 1)
    [ "$free" -ge $((700 * $1)) ] ||
        die "$1 hosts need some $((700 * $1))M in /dev/shm, which has $((free))M; try: mount -o remount,size=90% /dev/shm"
}
