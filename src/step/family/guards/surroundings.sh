# hw_enter: sets what is in `environment`, NAME=VALUE each and quoted, and goes to `folder`, if one is given. Where it
# cannot, the program ends with 125. It takes both out of the user's sight; another of our own variables is lost where the
# user's has the same name.

hw_export() {
  for hw_pair in "$@"; do
    # shellcheck disable=SC2163 # it is NAME=VALUE
    export "$hw_pair"
  done
}

hw_enter() {
  hw_folder=$folder hw_environment=$environment
  unset folder environment
  eval "hw_export $hw_environment"
  [ -z "$hw_folder" ] || cd -- "$hw_folder" || exit 125
}
