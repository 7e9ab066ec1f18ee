# What `command` and `script` have in common.
#
# hw_may_run: asks `only_if`, if there is one, in its surroundings. Where the answer is no, the program ends well; where
# there is no answer, it fails.
#
# hw_judge CODE: ends the program as the exit code of what was run says: `ok_codes`, with blanks between, are the good
# ones, 0 alone if there are none.

hw_may_run() {
  [ -n "$only_if" ] || return 0
  hw_uptime; hw_since=$hw_now
  hw_said=$(set -- "$only_if"; hw_enter; hw_told "$1")
  hw_code=$?
  if hw_is_late "$hw_code"; then
    echo "\`only_if\` did not end within a minute" >&2
    exit 1
  fi
  # 126 and 127 say that it cannot be run. That is not the answer "no".
  case $hw_code,$hw_said in
    0,*) ;;
    126,*|127,*|*,) echo "\`only_if\` cannot be asked (exit code $hw_code)" >&2; exit 1 ;;
    *) exit 0 ;;
  esac
}

hw_judge() {
  [ -n "$ok_codes" ] || exit "$1"
  hw_wanted=''
  for hw_one in $ok_codes; do
    [ "$1" != "$hw_one" ] || exit 0
    hw_wanted="$hw_wanted${hw_wanted:+ or }$hw_one"
  done
  echo "exit code $1, expected $hw_wanted" >&2
  [ "$1" != 0 ] || exit 1
  exit "$1"
}
