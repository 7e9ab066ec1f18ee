# hw_name_of ADDRESS: the inventory name of the host with this address, of `hosts`, address and name in turn and each quoted.
# Fails if there is none.

hw_name_of() {
  hw_wanted=$1
  eval "set -- $hosts"
  while [ "$#" -gt 0 ]; do
    [ "$1" != "$hw_wanted" ] || { echo "$2"; return; }
    shift 2
  done
  return 1
}
