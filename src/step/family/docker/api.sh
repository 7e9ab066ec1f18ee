# Speaks to the engine's API, for actions.
#
# `docker` takes several times as long to start on a small host as `curl`, but `curl` knows `--unix-socket` only from 7.40
# on (exit code 2 before), which CentOS 7 has not; the hidden `docker system dial-stdio` of the command line (18.09 and
# later) does the same. Its standard input must not end before the answer has come, or newer engines take the request for
# cancelled: opening the pipe for reading and writing keeps it open without another process.
#
# hw_send SECONDS: sends the HTTP/1.0 request on standard input to the engine; prints the body of a success; prints the
# engine's message on standard error and fails otherwise. HTTP/1.0 has no chunked bodies.
#
# hw_call SECONDS METHOD PATH [JSON]: makes the request of it. The JSON is a word of the shell's own (`printf` is built in):
# no process gets it as an argument. It must be ASCII, for its length is counted in characters.

hw_send() {
  { exec 4<>/proc/self/fd/0; timeout -k 5 "$1" docker system dial-stdio; } | hw_receive
}

hw_receive() {
  hw_cr=$(printf '\r') hw_code=''
  IFS=' ' read -r hw_http hw_code hw_text || :
  case $hw_http in
    HTTP/*) ;;
    *) echo "the Docker engine did not answer${hw_http:+: $hw_http $hw_code $hw_text}" >&2; return 1 ;;
  esac
  while IFS= read -r hw_line && [ -n "${hw_line%"$hw_cr"}" ]; do :; done
  case $hw_code in
    2??|304) cat ;;
    *)
      hw_text=$(cat)
      hw_text=${hw_text#'{"message":"'}
      printf 'Docker engine: %s (status %s)\n' "${hw_text%'"}'}" "$hw_code" >&2
      return 1 ;;
  esac
}

hw_curl() {
  hw_method=$2 hw_path=$3
  set -- -q -g -sS -i -0 -m "$1" --noproxy '*' --unix-socket /var/run/docker.sock
  [ "$hw_method" = GET ] || set -- "$@" -X "$hw_method" -H 'Content-Type: application/json' --data-binary @-
  curl "$@" "http://docker$hw_path"
}

hw_call() {
  if [ -S /var/run/docker.sock ] && [ -w /var/run/docker.sock ] && command -v curl >/dev/null; then
    hw_raw=$(printf '%s' "${4-}" | hw_curl "$1" "$2" "$3" 2>&1)
    if [ "$?" != 2 ]; then printf '%s\n' "$hw_raw" | hw_receive; return; fi
  fi
  printf '%s %s HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' \
    "$2" "$3" "${#4}" "$4" | hw_send "$1"
}
