# hw_idle NAME COMMAND...: as hw_run, for tools of shadow that end with code 8 where the user is logged in, or has other
# processes: then it is said what to do.
hw_idle() {
  hw_who=$1
  shift
  (hw_run "$@") || {
    hw_code=$?
    [ "$hw_code" != 8 ] ||
      echo "hint: $hw_who has processes; end them first (loginctl terminate-user $hw_who, or stop his services)" >&2
    exit "$hw_code"
  }
}
