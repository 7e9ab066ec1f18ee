#!/bin/sh
# Waits until a service runs as wanted.
#
# `docker service update` without `--detach` waits for ever when nothing can be scheduled, and calls a finished rollback a
# success (docker/cli, `command/service/progress`). This gives up at once when tasks fail three times in the same way or no
# node has fitted for 20 s, and shows why.
#
# Variables:
#   id          which one
#   wanted      tasks that are to run; empty: one on each node that fits
#   hold        seconds for which all must have been running
#   updated     not empty: it was changed just now, and an update that is rolled back is a failure
#   rolls_back  not empty: the swarm rolls a failed update back, and has the last word on failing tasks
#   seconds     for so long
# Prints: how many run, whenever that changes.
# Exit codes: 0; 1 with what tasks, log and health check said last on standard error.
# Relies on: docker, curl or docker, timeout, date, head, tail (coreutils), awk; api.sh, run.sh, tasks.sh.

hw_end=$(($(date +%s) + seconds)) hw_since='' hw_stuck='' hw_last='' hw_update='' hw_service='' hw_list=''

hw_give_up() {
  printf '%s\n' "$1" >&2
  hw_ps | awk -F'|' '
    $5 != "" && ++seen[$5] == 1 && ++n <= 5 { printf "task on %s: %s: %s\n", ($4 == "" ? "no node" : $4), $3, $5 }' >&2
  hw_log=$(timeout -k 2 10 docker service logs --raw --tail 20 "$id" 2>&1 | tail -n 20)
  [ -z "$hw_log" ] || printf 'the last lines of its log:\n%s\n' "$hw_log" >&2
  case $hw_why in *unhealthy*)
    hw_format='{{with .State.Health}}{{range .Log}}exit code {{.ExitCode}}: {{.Output}}{{"\n"}}{{end}}{{end}}'
    hw_log=$(for hw_c in $(timeout -k 2 10 docker ps -aq --filter "label=com.docker.swarm.service.id=$id" | head -n 2); do
      timeout -k 2 10 docker inspect -f "$hw_format" "$hw_c"
    done 2>/dev/null | tail -n 8)
    # shellcheck disable=SC2016 # words for people
    printf 'what its health check said last:\n%s\n' \
      "${hw_log:-(no task of it was on this node: \`docker inspect\` tells on the others)}" >&2 ;;
  esac
  exit 1
}

# The state of its update. The command line is asked only when the engine's own answer is another one.
hw_ask_update() {
  hw_raw=$(hw_call 20 GET "/services/$id") || exit 1
  [ "$hw_raw" != "$hw_service" ] || return 0
  hw_service=$hw_raw
  hw_raw=$(hw_run timeout -k 2 20 docker service inspect \
    --format '{{with .UpdateStatus}}{{.State}} {{.Message}}{{end}}' "$id") || exit 1
  hw_update=${hw_raw%% *}
  case $hw_update in
    paused|rollback_paused) hw_give_up "the update came to a halt: $hw_raw" ;;
    rollback_completed) hw_give_up "the update failed and was rolled back: ${hw_raw#* }" ;;
  esac
}

hw_old=''
hw_look || exit 1
# Only what fails from now on counts.
hw_old=$hw_failed hw_most=0 hw_why=''
while :; do
  # A service that was not changed has no update to ask for.
  [ -z "$updated" ] || hw_ask_update
  hw_look || exit 1
  hw_goal=${wanted:-$hw_desired}
  hw_now=$(date +%s)
  if [ "$hw_running/$hw_goal" != "$hw_last" ]; then
    hw_last=$hw_running/$hw_goal
    echo "$hw_running of $hw_goal running"
  fi
  hw_busy=''
  case $hw_update in updating|rollback_started) hw_busy=yes ;; esac
  if [ -z "$hw_busy" ] && [ "$hw_running" -ge "$hw_goal" ] && [ "$hw_desired" -le "$hw_goal" ]; then
    [ "$hw_update" != completed ] || exit 0
    [ -n "$hw_since" ] || hw_since=$hw_now
    [ "$((hw_now - hw_since))" -lt "$hold" ] || exit 0
  else
    hw_since=''
  fi
  if [ "$hw_most" -ge 3 ] && { [ -z "$rolls_back" ] || [ -z "$hw_busy" ]; }; then
    hw_give_up "its tasks fail again and again: $hw_why"
  fi
  if [ -z "$hw_pending" ]; then
    hw_stuck=''
  else
    [ -n "$hw_stuck" ] || hw_stuck=$hw_now
    [ "$((hw_now - hw_stuck))" -lt 20 ] || hw_give_up "no node can run it: $hw_pending"
  fi
  [ "$hw_now" -lt "$hw_end" ] || hw_give_up "$hw_running of $hw_goal tasks run after $seconds s"
  sleep 1
done
