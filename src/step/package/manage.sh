# hw_manage ARGUMENT...: runs the package manager $manager (`dnf`, `yum`, `apt`, `dpkg`), and waits for the lock of others up to
# ten minutes. Returns its exit code; what it said of what went wrong is printed, and left in hw_error.
#
# dnf and yum would wait for ever and tell nobody; with `exit_on_lock` they end with code 200 (dnf.conf(5), yum.conf(5)).
# apt-get ends with 100 and says whose lock it is.
#
# hw_give_up CODE: ends the program after hw_manage, and says which command it was.
hw_said=$(mktemp) || exit 1
trap 'rm -f -- "$hw_said"' EXIT

hw_manage() {
  case $manager in
    dnf) set -- dnf -y --setopt=exit_on_lock=True "$@" ;;
    yum) set -- yum -y --setopt=exit_on_lock=1 "$@" ;;
    apt)
      export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
      set -- apt-get -y -q -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" ;;
    dpkg)
      export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
      set -- dpkg --force-confdef --force-confold "$@" ;;
  esac
  hw_command=$* hw_left=120
  while :; do
    "$@" 2>"$hw_said"
    hw_code=$?
    hw_error=$(cat "$hw_said")
    [ -z "$hw_error" ] || printf '%s\n' "$hw_error" >&2
    [ "$hw_code" != 0 ] || return 0
    case $hw_code:$hw_error in
      200:*|*'Could not get lock'*|*'Unable to acquire the dpkg frontend lock'*|*'frontend lock was locked by another'*|*'database lock was locked by another'*|*'btain the transaction lock'*|*'holding the yum lock'*) ;;
      *) return "$hw_code" ;;
    esac
    if [ "$hw_left" = 0 ]; then
      echo "another program has held the lock of the package manager for 10 minutes" >&2
      return "$hw_code"
    fi
    [ "$hw_left" != 120 ] || echo "waiting for another program to let go of the lock of the package manager"
    hw_left=$((hw_left - 1))
    sleep 5
  done
}

hw_give_up() {
  printf 'command: %s\n' "$hw_command" >&2
  exit "$1"
}
