#!/bin/sh
# Enables Docker's service, brings it up with its present settings, and sees it answer.
#
# An engine that does not come up with a new daemon.json gets the old one back, or none where there was none: engines
# before 23 cannot be asked whether they would take it.
#
# `systemctl enable` makes systemd read all unit files again, also where the unit is enabled already or has nothing to be
# enabled by: `enable_unit()` of its source, from CentOS 7's systemd 219 on; seen with 252. On a small host that takes a
# second, and once is enough. `NeedDaemonReload` cannot tell whether it is needed: systemd 252 does not see a drop-in in a
# folder that was not there before.
#
# Variables:
#   restart    not empty: also where it runs
#   path       of daemon.json, absolute; its backup has `.bak` behind it
#   temporary  a name for what is being made, of no other path
# Prints: nothing.
# Exit codes: 0; 1 with what the engine said last on standard error.
# Relies on: systemctl, journalctl, curl or docker, GNU coreutils; api.sh, way.sh, put.sh, run.sh.

hw_mark=/run/hostwright.docker-restart hw_verb=start follow='' owner='' bits=''
[ -z "$restart" ] || hw_verb=restart
hw_run systemctl enable docker.service
if systemctl "$hw_verb" docker.service; then
  hw_end=$(($(date +%s) + 60))
  while [ "$(date +%s)" -lt "$hw_end" ]; do
    if hw_call 10 GET /_ping >/dev/null 2>&1; then rm -f "$hw_mark"; exit 0; fi
    sleep 0.2 || sleep 1
  done
  echo 'the Docker engine was started but does not answer; it last said:' >&2
else
  echo 'the Docker engine does not start; it last said:' >&2
fi
journalctl -u docker.service -n 20 --no-pager -o cat >&2
if [ -e "$hw_mark" ]; then
  # The backup was put on the disk when it was made: it gets its name back at once.
  hw_arrive
  if [ -e "./$hw_n.bak" ]; then mv -fT -- "./$hw_n.bak" "./$hw_n"; else rm -f -- "./$hw_n"; fi || exit 1
  systemctl reset-failed docker.service
  if systemctl restart docker.service; then
    rm -f "$hw_mark"
    echo 'daemon.json is as it was before, and the engine runs with it' >&2
  fi
fi
exit 1
