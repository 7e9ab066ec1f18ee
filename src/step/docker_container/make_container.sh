#!/bin/sh
# Makes and starts a container. Where one has its name, the new one is made beside it, so that a mistake shows before the
# old one is stopped; if the new one does not start, the old one is put back. In the end the old one is still there,
# stopped: wait_for_container.sh removes it, or puts it back.
#
# Variables:
#   name   its name
#   fresh  what it is called until the old one is stopped
#   old    what that is called then
# Reads: what is wanted of it on file descriptor 3: one line of JSON, ASCII alone.
# Prints: nothing.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: docker, curl or docker; api.sh, container.sh, run.sh.

IFS= read -r hw_body <&3
# The filter is an expression, so that one question is enough where none of the three is there.
hw_all="%5E%2F%3F$name(.hostwright-(old%7Cnew))%3F%24"
hw_list=$(hw_call 60 GET "/containers/json?all=1&filters=%7B%22name%22%3A%7B%22$hw_all%22%3Atrue%7D%7D") || exit 1
hw_names=''
if [ "$hw_list" != '[]' ]; then
  hw_names=$(hw_run docker ps --all --filter "name=$name" --format '{{.Names}}') || exit 1
fi
# A container has more names, with commas between, where others are linked to it.
hw_there() {
  IFS=',
'
  for hw_each in $hw_names; do [ "$hw_each" != "$1" ] || { unset IFS; return 0; }; done
  unset IFS
  return 1
}
hw_is=''
! hw_there "$name" || hw_is=1
# What an earlier try left behind.
if hw_there "$old"; then
  if [ -n "$hw_is" ]; then hw_remove "$old" || exit 1; else hw_rename "$old" "$name" || exit 1; fi
  hw_is=1
fi
! hw_there "$fresh" || hw_remove "$fresh" || exit 1
[ -n "$hw_is" ] || fresh=$name
hw_call 60 POST "/containers/create?name=$fresh" "$hw_body" >/dev/null || exit 1
if [ -n "$hw_is" ]; then
  hw_run docker stop "$name" >/dev/null
  hw_rename "$name" "$old" || exit 1
  hw_rename "$fresh" "$name" || { hw_remove "$fresh"; hw_back "$old" "$name"; exit 1; }
fi
hw_start "$name" && exit 0
hw_remove "$name"
[ -z "$hw_is" ] || hw_back "$old" "$name"
exit 1
