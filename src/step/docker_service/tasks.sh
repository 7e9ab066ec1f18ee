# Looks at the tasks of the service $id.
#
# hw_look: of those that are to run it counts all as hw_desired, and those that do as hw_running; hw_most is how often tasks
# failed of the same reason, hw_why; hw_pending is why one has no node. hw_failed are the ids of all tasks that failed, of
# which those in hw_old do not count. `docker service ps` keeps a small host busy that is to start the task: it is asked
# only when the engine's own list is another one than at the last look, hw_list.
#
# hw_ps: the tasks as `docker` lists them, a line ID|DESIRED|STATE|NODE|ERROR each.
# Relies on: docker, timeout (coreutils), awk; api.sh.

hw_ps() {
  timeout -k 2 20 docker service ps --no-trunc \
    --format '{{.ID}}|{{.DesiredState}}|{{.CurrentState}}|{{.Node}}|{{.Error}}' "$id"
}

hw_look() {
  hw_raw=$(hw_call 20 GET "/tasks?filters=%7B%22service%22%3A%7B%22$id%22%3Atrue%7D%7D") || return
  [ "$hw_raw" != "$hw_list" ] || return 0
  hw_list=$hw_raw
  hw_raw=$(hw_ps) || return
  hw_raw=$(printf '%s\n' "$hw_raw" | awk -F'|' -v old="$hw_old " '
    NF > 4 {
      why = $0
      for (i = 0; i < 4; i++) why = substr(why, index(why, "|") + 1)
      if (why ~ /^".*"$/) why = substr(why, 2, length(why) - 2)
      split(tolower($3), words, " ")
      state = words[1]
      if (tolower($2) == "running") {
        desired++
        if (state == "running") running++
        if (state == "pending" && why != "") stuck = why
      }
      if (why == "" || state == "pending") next
      failed = failed " " $1
      if (!index(old, " " $1 " ") && ++count[why] > most) { most = count[why]; reason = why }
    }
    END { printf "%d %d %d %s\n%s\n%s\n", running, desired, most, reason, stuck, failed }')
  { read -r hw_running hw_desired hw_most hw_why; read -r hw_pending || :; IFS= read -r hw_failed || :; } <<HW
$hw_raw
HW
}
