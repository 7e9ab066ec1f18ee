# Makes requests for a service.
#
# hw_request SECONDS METHOD PATH JSON: as hw_call, with the credentials of a registry where there are some: hw_auth, the value
# of `X-Registry-Auth`, or empty.
#
# hw_fill DIGEST PLATFORMS: puts them in the place of their marks in hw_body; `-` is no digest.
# Relies on: api.sh.

hw_request() {
  if [ -n "$hw_auth" ]; then
    printf '%s %s HTTP/1.0\r\nHost: docker\r\nX-Registry-Auth: %s\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' \
      "$2" "$3" "$hw_auth" "${#4}" "$4" | hw_send "$1"
  else
    hw_call "$1" "$2" "$3" "$4"
  fi
}

hw_fill() {
  if [ "$1" = - ]; then set -- '' "$2"; else set -- "@$1" "$2"; fi
  hw_body=${hw_body%%@hostwright-digest*}$1${hw_body#*@hostwright-digest}
  hw_body=${hw_body%%'"hostwright-platforms"'*}$2${hw_body#*'"hostwright-platforms"'}
}
