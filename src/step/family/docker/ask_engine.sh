#!/bin/sh
# Asks the Docker engine, over one connection, for paths of its API.
#
# A connection to the socket of a stopped engine would start it, for systemd listens there (`docker.socket`): that is
# looked for first. `curl` is some ten times quicker to start than `docker`, but knows `--unix-socket` only from 7.40 on
# (exit code 2 before), which CentOS 7 has not; the hidden `docker system dial-stdio` of the command line (18.09 and
# later) does the same. Its standard input must not end before the answer has come, or newer engines take the request for
# cancelled: opening the pipe for reading and writing keeps it open without another process. A manager without a leader
# answers after up to 20 s.
#
# Variables:
#   paths    at least one (`/info`)
#   bounded  not empty: all of them together take no longer than one may
# Prints: the responses as they come, HTTP/1.1 with headers; with `curl` also its errors, one a path, and it goes on behind
#   one. Or one line: `hw: absent` (no `docker`), `hw: stopped STATE`, `hw: denied`; `hw: starting` behind the rest where
#   the engine took too long and is only starting.
# Exit codes: 0; those of curl; 124 if the command line took too long; another one with words on standard error.
# Relies on: curl or docker, timeout (coreutils), systemctl.

hw_sock=/var/run/docker.sock hw_pid=''
hw_late() { [ "$(systemctl is-active docker.service 2>/dev/null)" != activating ] || printf '\nhw: starting\n'; }
hw_curl() {
  for hw_path in "$@"; do shift; set -- "$@" "http://docker$hw_path"; done
  ${bounded:+timeout -k 2 25} curl -q -sS -i --raw -m 20 --noproxy '*' --unix-socket "$hw_sock" "$@"
}
command -v docker >/dev/null || { echo 'hw: absent'; exit 0; }
[ ! -r /run/docker.pid ] || read -r hw_pid </run/docker.pid || :
if [ -z "$hw_pid" ] || [ ! -d "/proc/$hw_pid" ]; then
  hw_unit=$(systemctl is-active docker.service 2>/dev/null)
  case $hw_unit in inactive|failed|unknown) echo "hw: stopped $hw_unit"; exit 0 ;; esac
fi
eval "set -- $paths"
if [ -S "$hw_sock" ]; then
  [ -w "$hw_sock" ] || { echo 'hw: denied'; exit 0; }
  if command -v curl >/dev/null; then
    hw_curl "$@" 2>&1
    hw_rc=$?
    case $hw_rc in 28|124) hw_late ;; esac
    [ "$hw_rc" = 2 ] || exit "$hw_rc"
  fi
fi
{
  while [ $# -gt 1 ]; do printf 'GET %s HTTP/1.1\r\nHost: docker\r\n\r\n' "$1"; shift; done
  printf 'GET %s HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n' "$1"
} | { exec 4<>/proc/self/fd/0; timeout -k 2 20 docker system dial-stdio; }
hw_rc=$?
[ "$hw_rc" != 124 ] || hw_late
exit "$hw_rc"
