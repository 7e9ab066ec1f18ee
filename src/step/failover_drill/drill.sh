# What the stages of a drill have in common: each is one program on one host, so that one clock measures it and one trap
# puts things right again, whatever ends it. Uses `service`, `key`, `seconds` of the program, and
#
# hw_prepare NODE...: reads the password, writes a new value through the first of these nodes, and reads it back through
# all. From then on runs the clock of the stage.
#
# hw_guard CODE WORD...: has CODE run as soon as the stage ends, and the stage waits for its end. It is a process of its
# own session that waits for that, so that it also comes about when the stage is killed: whoever stops a run does so a few
# seconds after asking. CODE comes to its shell on standard input, for it may hold secrets; the words are its arguments.
#
# hw_watch COMMAND...: runs it so that a signal does not have to wait for its end: it is told to stop instead. It may well
# be in a process group of its own (timeout(1)), which the signal does not reach.
#
# hw_measure STAGE NODE...: waits until all of these nodes give the value back, tells how long that took since
# hw_prepare, and notes it down in /run/hostwright-drill-SERVICE-STAGE for the report.

hw_clock() {
  IFS=' ' read -r hw_up hw_idle </proc/uptime
  echo "${hw_up%.*}"
}

# The same until there is an answer: the service or a node may have started just now. A wrong password stays wrong.
hw_insist() {
  hw_since=$(hw_clock)
  until hw_said=$(hw_ask "$@"); do
    case $hw_said in *NOAUTH*|*WRONGPASS*) return 1 ;; esac
    [ "$(($(hw_clock) - hw_since))" -lt "$seconds" ] || return 1
    sleep 1
  done
}

hw_end_stage() {
  trap '' HUP INT TERM
  [ -z "$hw_child" ] || kill "$hw_child" 2>/dev/null
  [ -n "$hw_guarded" ] || return 0
  { echo >&6; } 2>/dev/null
  wait "$hw_guarded"
}

hw_prepare() {
  for hw_tool in bash setsid; do
    command -v "$hw_tool" >/dev/null || { echo "a drill wants $hw_tool on this host" >&2; exit 1; }
  done
  IFS= read -r hw_password <&3 || :
  IFS= read -r hw_value </proc/sys/kernel/random/uuid
  hw_insist "$1" SET "$key" "$hw_value" || {
    echo "$1:$port does not take the value: ${hw_said:-no answer}" >&2
    exit 1
  }
  for hw_one in "$@"; do
    hw_insist "$hw_one" GET "$key" && [ "$hw_said" = "$hw_value" ] || {
      echo "$hw_one:$port does not give the value back before anything is broken: ${hw_said:-no answer}" >&2
      exit 1
    }
  done
  hw_child='' hw_guarded=''
  trap hw_end_stage EXIT
  trap 'exit 130' HUP INT TERM
  # Nobody may be there any more to read what is said.
  trap : PIPE
  hw_start=$(hw_clock)
}

hw_guard() {
  hw_code=$1
  shift
  hw_pipe=$(mktemp -d) && mkfifo "$hw_pipe/end" || exit 1
  # The end of this pipe is that of the stage: what it starts does not keep it open.
  # shellcheck disable=SC2094 # its two ends
  exec 7<>"$hw_pipe/end" 8<"$hw_pipe/end" 6>"$hw_pipe/end" 7<&-
  rm -rf -- "$hw_pipe"
  setsid sh -s "$@" 6>&- <<HW_END &
trap '' HUP PIPE
read -r hw_end <&8
exec 8<&-
{ $hw_code
} </dev/null
HW_END
  hw_guarded=$!
  exec 8<&-
}

hw_watch() {
  "$@" 6>&- &
  hw_child=$!
  wait "$hw_child"
  set -- "$?"
  hw_child=''
  return "$1"
}

hw_measure() {
  hw_stage=$1 hw_any=''
  shift
  echo "$hw_stage: done after $(($(hw_clock) - hw_start)) s, waiting for the value"
  while :; do
    hw_left=''
    for hw_one in "$@"; do
      if [ "$(hw_ask "$hw_one" GET "$key")" = "$hw_value" ]; then
        hw_took=$(($(hw_clock) - hw_start))
        [ -n "$hw_any" ] || hw_any=$hw_took
        echo "$hw_stage: $hw_one gives the value back after $hw_took s"
      else
        hw_left="$hw_left $hw_one"
      fi
    done
    [ -n "$hw_left" ] || break
    [ "$(($(hw_clock) - hw_start))" -lt "$seconds" ] || {
      echo "$hw_stage: not given back after $seconds s through:$hw_left" >&2
      exit 1
    }
    eval "set -- $hw_left"
    sleep 0.5
  done
  hw_line="$hw_stage: the value came back after $hw_any s, through all nodes after $hw_took s"
  echo "$hw_line"
  umask 077
  echo "$hw_line" >"/run/hostwright-drill-$service-$hw_stage"
}
