# shellcheck shell=bash
# Where things are, and how the lab speaks. Sourced by `lab` and `build/build`.
# The callers set $here, the folder of the lab's scripts.

export LAB_DIR=${LAB_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/hostwright-lab}   # what is built
export LAB_RUN=${LAB_RUN:-$LAB_DIR/run}                 # disks and state of one lab
export LAB_NS=${LAB_NS:-hostwright-lab}                 # its network namespace
export NET=192.168.158 FIRST=143                        # hosts are $NET.$FIRST and up
export BASE=$LAB_DIR/base.ext4                                 # what every host's disk starts as

die() { echo "lab: $*" >&2; exit 1; }
say() { echo "lab: $*" >&2; }

[ "$(id -u)" = 0 ] || die "must run as root"
[ "$(uname -m)" = x86_64 ] || die "needs an x86_64 machine"
# Relative paths would mean something else after a cd, and these characters
# have a meaning on the kernel's command line.
for dir in "$LAB_DIR" "$LAB_RUN"; do
    [[ $dir == /* && $dir != *[[:space:],:]* ]] ||
        die "LAB_DIR and LAB_RUN must be absolute, without blanks, commas and colons: '$dir'"
done
