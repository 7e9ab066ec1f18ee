# shellcheck shell=bash
# Which processes are this lab's, and how to stop them without touching others.
#
# Each host and each daemon is one session. For a host that is the kernel process
# and one process for each address space in the guest, which have no environment
# to tell them by. A process is ours if it is in our namespace and in the session
# that we noted, or in one whose leader carries our tag.

TAG=HOSTWRIGHT_LAB_DAEMON

inside() { [ "/proc/$1/ns/net" -ef "/run/netns/$LAB_NS" ]; }

# members NAME: all processes of the host or daemon NAME.
members() {
    local leader pid
    leader=$(cat "$LAB_RUN/$1.pid" 2>/dev/null) && [ -n "$leader" ] || return 0
    for pid in $(pgrep -s "$leader"); do
        if inside "$pid"; then echo "$pid"; fi
    done
}

running() { [ -n "$(members "$1")" ]; }

# start NAME CMD...: in the namespace, as a session of its own.
start() {
    local name=$1; shift
    # 8 and 9 are the locks of the caller, which must end with it.
    env "$TAG=$LAB_RUN" setsid ip netns exec "$LAB_NS" "$@" \
        </dev/null >"$LAB_RUN/$name.log" 2>&1 8>&- 9>&- &
    echo $! >"$LAB_RUN/$name.pid"
}

# stop NAME: at once. A session whose members breed needs more than one round.
stop() {
    local pids
    while pids=$(members "$1"); [ -n "$pids" ]; do
        # shellcheck disable=SC2086  # a list of numbers
        kill -KILL $pids 2>/dev/null || :
        sleep 0.02
    done
    rm -f "$LAB_RUN/$1.pid"
}

# Stops what carries our tag, whatever pid files and namespaces there are: the run
# folder may be gone, or the command that started it was killed too early.
stop_strays() {
    local file pid
    while read -r file; do
        pid=${file#/proc/} pid=${pid%/environ}
        kill_session "$pid" || :
    done < <(grep -lzxFs "$TAG=$LAB_RUN" /proc/[0-9]*/environ)
}

# kill_session LEADER: fails if there was nothing to kill. Zombies do not count,
# as nobody may be there to collect them.
kill_session() { pkill -KILL -s "$1" -r D,R,S,T,t,I; }
