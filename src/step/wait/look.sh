# hw_look: prints `yes`, `no WHY`, or `tool NAMES` if none of these tools is there. It looks at one of
#   port      a port of this host, or of `address`; open
#   url       a page, whose certificate may be anything if `insecure` is not empty; it answers `status`, with the text
#             `contains` in it
#   path      a path; there
#   command   code of the user; it succeeds
# or the opposite if `absent` is not empty. One look takes 10 s at most, a command a minute.

# Whether something listens on the port on any address of the host: proc(5), state 0A is LISTEN.
hw_listens() {
  hw_is='something listens' hw_not='nothing listens'
  set -- "$(printf ':%04X' "$port")" /proc/net/tcp
  [ ! -r /proc/net/tcp6 ] || set -- "$@" /proc/net/tcp6
  awk 'BEGIN { port = ARGV[1]; ARGV[1] = "" }
    $4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }' "$@"
  hw_rc=$?
}

# Whether a connection comes about. A POSIX shell cannot make one by itself.
hw_connects() {
  hw_is='a connection comes about' hw_not='no connection comes about'
  if command -v bash >/dev/null; then
    # shellcheck disable=SC2016 # for bash
    timeout -k 1 10 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$address" "$port" 2>/dev/null
  elif command -v nc >/dev/null; then
    timeout -k 1 10 nc -z "$address" "$port" >/dev/null 2>&1
  else
    echo 'tool bash, nc'
    return 1
  fi && hw_rc=0 || hw_rc=1
}

hw_fetches() {
  if command -v curl >/dev/null; then
    # bash says aloud that it drops NULs.
    { hw_body=$(curl -s ${insecure:+-k} -m 10 -w '\n%{http_code}' "$url"); hw_rc=$?; } 2>/dev/null
    hw_code=${hw_body##*"$hw_break"}
    hw_body=${hw_body%"$hw_break"*}
  elif command -v wget >/dev/null; then
    { hw_body=$(wget -q ${insecure:+--no-check-certificate} -T 10 -t 1 --max-redirect=0 -S -O - "$url" 2>&1); hw_rc=$?; } 2>/dev/null
    hw_code=$(printf '%s\n' "$hw_body" | sed -n 's/^ *HTTP\/[0-9.]* \([0-9]*\).*/\1/p' | tail -n 1)
  else
    echo 'tool curl, wget'
    return
  fi
  case $hw_code in
    "$status") case $hw_body in *"$contains"*) echo yes ;; *) echo 'no it answers, without the text' ;; esac ;;
    ''|000) echo "no it does not answer (exit code $hw_rc)" ;;
    *) echo "no it answers $hw_code" ;;
  esac
}

hw_break='
'

hw_look() {
  if [ -n "$url" ]; then
    hw_fetches
    return
  elif [ -n "$address" ]; then
    hw_connects || return
  elif [ -n "$port" ]; then
    hw_listens
  elif [ -n "$path" ]; then
    timeout -s KILL 10 test -e "$path"
    hw_rc=$? hw_is='there' hw_not='not there'
  else
    hw_bounded "$command" >/dev/null
    hw_rc=$?
    hw_is='it succeeds' hw_not="exit code $hw_rc"
  fi
  case $hw_rc in 124|137) echo 'no it hangs'; return ;; esac
  case $hw_rc$absent in
    0|[1-9]*yes) echo yes ;;
    0yes) echo "no $hw_is" ;;
    *) echo "no $hw_not" ;;
  esac
}
