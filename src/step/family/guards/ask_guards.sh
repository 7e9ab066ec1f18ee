#!/bin/sh
# Asks the guards of a command or script: paths that are to be there, paths that are to be gone, and commands.
#
# Variables:
#   creates      paths, each quoted
#   removes      paths, each quoted
#   environment  what is in the environment of the commands, NAME=VALUE each, quoted
#   folder       where the commands run; may be empty
#   unless       code; empty: not asked
#   only_if      code; empty: not asked
# Prints: a line `GUARD CODE` for each, in this order, with 256 for a command that did not end within a minute; before that of `only_if` a line `read 0` if the shell has understood
#   it; `chdir 1` in place of both commands if there is no such folder.
# Exit codes: 0; 125 if it cannot go to the folder.
# Relies on: timeout, stat (coreutils), for a path may be on a mount whose server is dead; bounded.sh, surroundings.sh, awk,
#   network.sh.

# hw_say GUARD CODE
hw_say() {
  if hw_is_late "$2"; then echo "$1 256"; else echo "$1 $2"; fi
}

hw_ask_paths() {
  hw_guard=$1
  shift
  for hw_path in "$@"; do
    # By its own attributes: it is there, wherever a link leads. Where no network file system is mounted, nothing hangs.
    if [ -z "$hw_net" ]; then
      [ -L "$hw_path" ] || [ -e "$hw_path" ]
    else
      timeout -s KILL 10 stat -- "$hw_path" >/dev/null 2>&1
    fi
    echo "$hw_guard $?"
  done
}

eval "hw_ask_paths creates $creates"
eval "hw_ask_paths removes $removes"
[ -n "$unless$only_if" ] || exit 0
[ -z "$folder" ] || [ -d "$folder" ] || { echo chdir 1; exit 0; }
set -- "$unless" "$only_if"
hw_enter
if [ -n "$1" ]; then
  hw_uptime; hw_since=$hw_now
  hw_bounded "$1" >/dev/null
  hw_say unless "$?"
fi
if [ -n "$2" ]; then
  hw_uptime; hw_since=$hw_now
  hw_told "$2"
  hw_say only_if "$?"
fi
exit 0
