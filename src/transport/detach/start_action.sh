#!/bin/sh
# Begins an action that comes to its end by itself, whoever goes away meanwhile, and follows it until then. One that has
# begun before is followed only.
#
# Variables:
#   run     the run that it belongs to
#   action  its name in the run
#   step    the step that it belongs to, and what tells its actions from others
#   about   what it does, for people
#   bound   seconds after which it is stopped
#   once    `ever`: it must not be run a second time, so what an earlier run has not taken note of counts; `in_run`: not a
#           second time by this run, and what an earlier one has left is thrown away; empty: it may
#   since   seconds since it was sent for the first time, if this is another one
#   code    the action
#   fed     not empty: there is a payload
#   runner  the program that runs it: run_action.sh, which gets its variables as arguments
# Payload: what the action reads from file descriptor 3.
# Prints: what the action prints.
# Exit codes: that of the action, 124 or 137 when it was stopped at its bound; 1 with a reason if it could not be begun, or
#   if nobody knows how it ended.
# Relies on: id, kill, mkdir, rmdir, mv, rm, cat, tail, sleep (coreutils), setsid (util-linux); systemd-run where systemd
#   runs; places.sh.

hw_fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

hw_folder=$hw_base/runs/$run/$action
# Another frame may be clearing away what is empty.
for hw_x in 1 2 3; do
  hw_make_base && (umask 077 && mkdir -p "$hw_folder") && break
done 2>/dev/null
[ -d "$hw_folder" ] || hw_fail "cannot make $hw_folder on the host"

# What an earlier run has left: its result was never taken.
if [ -n "$once" ] && [ ! -e "$hw_folder/begun" ]; then
  for hw_left in "$hw_base/runs"/*/*; do
    { read -r hw_step <"$hw_left/step"; } 2>/dev/null || continue
    case $hw_left in "$hw_base/runs/$run"/*) continue ;; esac
    [ "$hw_step" = "$step" ] || continue
    { read -r hw_pid hw_x <"$hw_left/process"; } 2>/dev/null || continue
    hw_live "$hw_pid" "${hw_x%% *}" && continue
    if [ "$once" = in_run ]; then
      rm -rf "$hw_left"
      rmdir "${hw_left%/*}" 2>/dev/null
      continue
    fi
    rm -rf "$hw_folder" && mv "$hw_left" "$hw_folder" || hw_fail "cannot move $hw_left"
    rmdir "${hw_left%/*}" 2>/dev/null
    break
  done
fi

if [ ! -e "$hw_folder/begun" ]; then
  if [ -n "$since" ] && read -r hw_up hw_x </proc/uptime && [ "${hw_up%%.*}" -lt "$since" ]; then
    hw_fail "the host has restarted since this was begun: nobody knows how it ended" \
      "hint: look at the host, then run it again"
  fi
  if [ -n "$fed" ]; then
    cat <&3 >"$hw_folder/payload.$$" || hw_fail "cannot keep the payload on the host"
  fi
  # Its end stands for all of it: what ends this frame must not come between.
  trap : HUP INT TERM
  if (set -C; : >"$hw_folder/begun") 2>/dev/null; then
    if [ -n "$fed" ]; then exec 3<"$hw_folder/payload.$$"; else exec 3</dev/null; fi
    if [ -n "$once" ]; then printf '%s\n' "$step" >"$hw_folder/step"; fi
    printf '%s\n' "$about" >"$hw_folder/about"
    # A unit of its own outlives the session of the login, also where that takes all its processes along.
    hw_ways=session
    if [ "$hw_uid" = 0 ] && [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
      hw_ways="unit session"
    fi
    for hw_way in $hw_ways; do
      set --
      if [ "$hw_way" = unit ]; then set -- systemd-run --scope --unit="hostwright-$run-$action" --description="hostwright: $action of run $run"; fi
      # It tells on 4 that it has begun.
      hw_begun=$(
        printf '%s\n#%s' "$code" "$action" |
          setsid "$@" /bin/sh -c "$runner" hostwright "$hw_folder" "$action" "$bound" 4>&1 >/dev/null 2>&1 &
      )
      [ -z "$hw_begun" ] || break
    done
    if [ -z "$hw_begun" ]; then
      rm -rf "$hw_folder"
      hw_fail "the action cannot be begun on the host: is setsid (util-linux) there?"
    fi
    exec 3<&-
  fi
  trap - HUP INT TERM
  if [ -n "$fed" ]; then rm -f "$hw_folder/payload.$$"; fi
fi

# Another frame may be just beginning it.
hw_n=0
until { read -r hw_pid hw_ticks hw_x <"$hw_folder/process"; } 2>/dev/null; do
  hw_n=$((hw_n + 1))
  if [ "$hw_n" = 100 ]; then
    rm -rf "$hw_folder"
    hw_fail "the action was cut off before it began" "hint: run it again"
  fi
  sleep 0.1
done

# A frame that nobody listens to any more, and has not found out, must not go on to what comes after the action. What bounds
# a frame passes it on to all of it.
if { read -r hw_n hw_x <"$hw_folder/follower"; } 2>/dev/null && [ "$hw_n" != "$PPID" ] && hw_live "$hw_n" "$hw_x"; then
  kill "$hw_n" 2>/dev/null
fi
if { read -r hw_x <"/proc/$PPID/stat"; } 2>/dev/null; then
  # shellcheck disable=SC2086
  set -- ${hw_x##*)}
  echo "$PPID ${20}" >"$hw_folder/follower"
fi

if ! hw_live "$hw_pid" "$hw_ticks"; then
  cat "$hw_folder/stdout"
  cat "$hw_folder/stderr" >&2
elif tail --pid="$hw_pid" -n 0 /dev/null 2>/dev/null; then
  # A process is there until its parent has looked what became of it, and some hosts have nobody who does; but a pipe ends
  # with it. To open one that nobody writes to would wait for ever.
  # shellcheck disable=SC2094
  exec 7<>"$hw_folder/alive" 8<"$hw_folder/alive" 7<&-
  { read -r hw_x <&8; } 2>/dev/null &
  hw_alive=$!
  exec 8<&-
  tail -f -c +1 -s 0.03 --pid="$hw_alive" "$hw_folder/stdout" 2>/dev/null &
  hw_out=$!
  tail -f -c +1 -s 0.03 --pid="$hw_alive" "$hw_folder/stderr" >&2 2>/dev/null &
  wait "$hw_alive"
  wait "$hw_out" "$!"
else
  exec 7<"$hw_folder/stdout" 8<"$hw_folder/stderr"
  while hw_live "$hw_pid" "$hw_ticks"; do
    cat <&7
    cat <&8 >&2
    sleep 0.1
  done
  cat <&7
  cat <&8 >&2
fi
read -r hw_code 2>/dev/null <"$hw_folder/code" ||
  hw_fail "it was cut off, and nobody knows how far it came" "hint: look at the host, then run it again"
exit "$hw_code"
