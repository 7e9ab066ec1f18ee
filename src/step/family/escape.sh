# Paths as the kernel, fstab(5) and exports(5) write them, without a process.
#
# hw_swap FROM TO: replaces FROM by TO in hw_q.
# hw_escape PATH: leaves in hw_q the path as mountinfo has it (proc(5)).
# hw_unescape TEXT: prints what octal escapes in TEXT stand for. It starts processes.

hw_swap() {
  hw_y=$hw_q; hw_q=''
  while :; do
    case $hw_y in
      *"$1"*) hw_q=$hw_q${hw_y%%"$1"*}$2; hw_y=${hw_y#*"$1"} ;;
      *) hw_q=$hw_q$hw_y; return ;;
    esac
  done
}

# shellcheck disable=SC1003 # a backslash, and how mountinfo writes it
hw_escape() {
  hw_q=$1
  hw_swap '\' '\134'; hw_swap ' ' '\040'; hw_swap '	' '\011'; hw_swap '
' '\012'
}

hw_unescape() { printf '%b' "$(printf '%s' "$1" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')"; }
