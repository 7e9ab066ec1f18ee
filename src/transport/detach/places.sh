# Sets hw_base: where runs leave on this host what must outlive a connection. That of root is for all to look at, but for
# the folder `runs` in it.
#
# hw_make_base: makes it; fails where somebody else has made something of that name.
#
# hw_live PID START: whether a process is still there that began at that tick.

# Whose rights we have, from proc(5), without a process: the second number behind `Uid:` is the effective one.
hw_uid=''
while [ -z "$hw_uid" ] && read -r hw_x hw_y hw_own hw_rest; do
  if [ "$hw_x" = Uid: ]; then hw_uid=$hw_own; fi
done 2>/dev/null </proc/self/status
[ -n "$hw_uid" ] || hw_uid=$(id -u)
if [ "$hw_uid" = 0 ]; then
  hw_base=/run/hostwright hw_mode=755
else
  # Not the user's folder below /run: that one goes with the last session.
  hw_base=/tmp/hostwright-$hw_uid hw_mode=700
fi

hw_make_base() {
  [ -d "$hw_base" ] || mkdir -m "$hw_mode" "$hw_base" 2>/dev/null || [ -d "$hw_base" ] || return 1
  # shellcheck disable=SC3067 # dash, bash and busybox have -O
  [ ! -L "$hw_base" ] && [ -O "$hw_base" ]
}

hw_live() {
  { read -r hw_stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  hw_start=$2
  # The name of the program may have blanks in it.
  # shellcheck disable=SC2086
  set -- ${hw_stat##*)}
  # A zombie has ended.
  [ "${20}" = "$hw_start" ] && [ "$1" != Z ]
}
