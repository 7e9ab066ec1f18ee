#!/bin/sh
# Waits until a container has been running for a second, and is healthy if it knows what that is. Then the one that it
# replaced is removed; if it does not stay up, that one is put back.
#
# The engine's own word is taken for it: two answers, a second apart, that tell of the same start. One that ended and was
# restarted in between has another `StartedAt` and a greater `RestartCount`.
#
# Variables:
#   name     its name
#   old      what the one is called that it replaced
#   seconds  for so long
# Prints: nothing.
# Exit codes: 0; 1 with what it and its health check said last on standard error.
# Relies on: docker, curl or docker, timeout, tail, date (coreutils); api.sh, container.sh, run.sh.

hw_end=$(($(date +%s) + seconds)) hw_before=''
hw_format='{{.State.Status}} {{.State.StartedAt}} {{.RestartCount}} {{with .State.Health}}{{.Status}}{{end}}'
hw_log='{{with .State.Health}}{{range .Log}}exit code {{.ExitCode}}: {{.Output}}{{"\n"}}{{end}}{{end}}'
while :; do
  hw_seen=$(hw_run timeout -k 2 20 docker container inspect --format "$hw_format" "$name") || exit 1
  IFS=' ' read -r hw_status hw_started hw_count hw_health <<HW
$hw_seen
HW
  hw_now=''
  [ "$hw_status" != running ] || hw_now="$hw_started $hw_count"
  if [ -n "$hw_now" ] && [ "$hw_now" = "$hw_before" ]; then
    case $hw_health in starting|unhealthy) ;; *) break ;; esac
  fi
  hw_before=$hw_now
  if [ "$(date +%s)" -ge "$hw_end" ]; then
    docker logs --tail 20 "$name" >&2
    if [ -n "$hw_health" ]; then
      echo 'what its health check said last:' >&2
      docker inspect -f "$hw_log" "$name" | tail -n 8 >&2
    fi
    echo "the container does not stay up: $hw_status${hw_health:+, $hw_health}, restarts: $hw_count" >&2
    if hw_call 20 GET "/containers/$old/json" >/dev/null 2>&1; then
      hw_remove "$name" && hw_back "$old" "$name"
    fi
    exit 1
  fi
  sleep 1
done
hw_remove "$old" >/dev/null 2>&1 || :
