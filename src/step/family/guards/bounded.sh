# Runs code of the user in a shell of its own, for a minute at most. The code comes to that shell on standard input, not
# as an argument, which everybody could read in the process list; the braces are read whole before anything in them runs.
#
# hw_bounded CODE: its exit code is that of CODE; 124 or 137 if it did not end, but that may be its own one.
#
# hw_is_late CODE: whether an exit code of either means that it did not end. `hw_since` is when it began.
#
# hw_uptime: leaves in hw_now the seconds since the host is up, without a process.
#
# hw_told CODE: the same without output but for a line `read 0` once the shell has understood the code. A mistake in it
# and a command that says no may have the same exit code.

hw_uptime() {
  read -r hw_now hw_x </proc/uptime
  hw_now=${hw_now%%.*}
}

# shellcheck disable=SC2154 # whoever calls it has set hw_since
hw_is_late() {
  case $1 in
    124|137) hw_uptime; [ "$((hw_now - hw_since))" -ge 60 ] ;;
    *) return 1 ;;
  esac
}

hw_bounded() {
  timeout -k 5 60 sh -s <<HW_END
{ $1
} </dev/null
HW_END
}

hw_told() {
  timeout -k 5 60 sh -s 4>&1 >/dev/null <<HW_END
{ echo read 0 >&4; exec 4>&-
$1
} </dev/null
HW_END
}
