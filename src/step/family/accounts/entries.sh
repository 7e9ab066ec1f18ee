# hw_entry DATABASE NAME [NUMBER]: asks the name service, which may be a directory far away, for an account by its name,
# and for who has a number, with one process. DATABASE is `passwd` or `group`. Leaves
#   hw_found   its line; empty if there is none. A directory may know it by another spelling of the name
#   hw_holder  the names of others that have the number, a line each
# and ends the program with code 3 where there is no answer (getent(1): 2 means that one was not found).
#
# hw_local FILE NAME: prints `local` if the account is in that file.
hw_nl='
'

hw_entry() {
  hw_found='' hw_holder=''
  hw_lines=$(timeout 10 getent "$1" -- "$2" ${3:+"$3"}) || [ $? = 2 ] || exit 3
  set -f; IFS=$hw_nl
  for hw_line in $hw_lines; do
    hw_id=${hw_line#*:*:}
    case $hw_line in
      "$2":*) hw_found=$hw_line ;;
      *) if [ "${hw_id%%:*}" = "${3-}" ]; then hw_holder=$hw_holder${hw_line%%:*}$hw_nl; else hw_found=$hw_line; fi ;;
    esac
  done
  set +f; unset IFS
}

hw_local() {
  while IFS=: read -r hw_name hw_rest; do [ "$hw_name" != "$2" ] || echo local; done <"$1"
}
