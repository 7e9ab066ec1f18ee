# Makes requests for a service, with the credentials of its registry where there are some: hw_auth, the value of
# `X-Registry-Auth`, or empty.
#
# hw_request SECONDS METHOD PATH JSON: as hw_call, with the credentials.
#
# hw_look_up IMAGE: puts the digest and the platforms of the image, as the registry has them, in the place of their marks in
# hw_body, as `docker service create` does: all nodes then run the same image, and nodes of other platforms get no task.
# Without an answer of the registry each node looks for itself. The engine has no other way to tell: its command line
# prints the digest nowhere.
# Relies on: api.sh.

hw_request() {
  if [ -n "$hw_auth" ]; then
    printf '%s %s HTTP/1.0\r\nHost: docker\r\nX-Registry-Auth: %s\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' \
      "$2" "$3" "$hw_auth" "${#4}" "$4" | hw_send "$1"
  else
    hw_call "$1" "$2" "$3" "$4"
  fi
}

hw_look_up() {
  hw_digest='' hw_platforms=''
  if hw_found=$(hw_request 30 GET "/distribution/$1/json" ''); then
    case $hw_found in *'"digest":"'*) hw_digest=${hw_found#*'"digest":"'} hw_digest=@${hw_digest%%'"'*} ;; esac
    case $hw_found in *'"Platforms":['*) hw_platforms=${hw_found#*'"Platforms":['} hw_platforms=${hw_platforms%']'*} ;; esac
  else
    echo "no registry told the digest of $1: each node looks for it itself, and they may find different images" >&2
  fi
  hw_body=${hw_body%%@hostwright-digest*}$hw_digest${hw_body#*@hostwright-digest}
  hw_body=${hw_body%%'"hostwright-platforms"'*}$hw_platforms${hw_body#*'"hostwright-platforms"'}
}
