# hw_run COMMAND...: runs a command of the host. Where it fails, the program ends with its exit code, and the last line on
# standard error says which command it was, for whoever reads the failure. No secret may be among its words.
hw_run() {
  "$@" || {
    hw_code=$?
    printf 'command: %s\n' "$*" >&2
    exit "$hw_code"
  }
}
