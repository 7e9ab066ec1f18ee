#!/bin/sh
# Runs an action to its end, whether somebody listens or not. start_action.sh starts it, in a session of its own.
#
# Variables:
#   folder  where its output and its exit code go
#   action  its name in the run
#   bound   seconds after which it is stopped
# Reads: the action from standard input, the last line of which is `#` and its name; its payload from file descriptor 3.
# Prints: a line on file descriptor 4 when the action begins.
# Exit codes: 0; 9 if the action did not come as a whole and was not begun.
# Relies on: cat, rm, mkfifo, dd, wc, tail, timeout, sleep (coreutils).

# File descriptor 9 holds the lock of the host. This process keeps it, and the pipe `alive`, but nothing that it starts does.

hw_action=$(cat)
case $hw_action in
  *"#$action") ;;
  *)
    rm -f "$folder/begun"
    exit 9
    ;;
esac
exec </dev/null

# hw_keep FILE: writes to it what comes, the first MiBs and the end.
hw_keep() {
  while :; do
    # It writes what it has read at once. Fewer reads than these: that was all.
    hw_said=$(dd bs=65536 count=128 2>&1 >>"$1")
    hw_said=${hw_said%%" records in"*}
    hw_said=${hw_said##*[!0-9+]}
    [ $((${hw_said#*+} + ${hw_said%%+*})) = 128 ] || return 0
    [ "$(wc -c <"$1")" -lt 8388608 ] || break
  done
  printf '\n... (what came here was not kept)\n' >>"$1"
  tail -c 1048576 >>"$1"
}

mkfifo -m 600 "$folder/alive" "$folder/out" "$folder/err" || exit 1
exec 8<>"$folder/alive"
: >"$folder/stdout"
: >"$folder/stderr"
(
  exec 3<&- 4>&- 8<&- 9<&-
  hw_keep "$folder/stdout"
) <"$folder/out" &
hw_out=$!
(
  exec 3<&- 4>&- 8<&- 9<&-
  hw_keep "$folder/stderr"
) <"$folder/err" &
hw_err=$!

read -r hw_stat </proc/self/stat
hw_pid=${hw_stat%% *}
# The name of the program may have blanks in it.
# shellcheck disable=SC2086
set -- ${hw_stat##*)}
hw_ticks=${20}
echo "$hw_pid $hw_ticks" >"$folder/process"
# shellcheck disable=SC2016
printf '%s\n' "$hw_action" | timeout -k 5 "$bound" /bin/sh -c \
  'hw_s=$(cat); exec </dev/null; trap "exit 143" TERM; (eval "$hw_s")' /bin/sh \
  >"$folder/out" 2>"$folder/err" 4>&- 8<&- 9<&- &
hw_timeout=$!
exec 3<&-
# When the host goes down all processes are told to end; this one sees what comes of the other.
trap : TERM
echo "$hw_pid $hw_ticks $hw_timeout" >"$folder/process"
{ echo begun >&4; } 2>/dev/null
exec 4>&-

while :; do
  wait "$hw_timeout"
  hw_code=$?
  kill -0 "$hw_timeout" 2>/dev/null || break
done

# What it has left running may hold the pipes for ever: what it has printed itself is read by now.
(
  exec 8<&- 9<&-
  trap 'kill "$hw_sleep"; exit' TERM
  sleep 1 &
  hw_sleep=$!
  wait "$hw_sleep"
  kill "$hw_out" "$hw_err"
) >/dev/null 2>&1 &
hw_guard=$!
wait "$hw_out" "$hw_err"
kill "$hw_guard" 2>/dev/null
echo "$hw_code" >"$folder/code"
