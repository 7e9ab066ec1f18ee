# Goes to a path so that nobody leads us elsewhere on the way.
#
# Whoever may write a folder may put a link, or another thing, in the place of anything in it, at any moment. So a path
# is walked name by name, each from within the folder before, and looked at from within its own folder (`./name`). A
# link is followed only where nobody but root could have put it: where its folder and all above are root's and nobody
# else may write them. Where somebody may, the kernel is asked in the end where we are (getcwd(2)), which has to be
# where the names say. A shell's own `pwd -P` would not do: bash makes it up from names.
#
# Without root's rights nobody is suspected: a user who goes where a link leads gets there no more than what is theirs.
#
# To be defined by who uses it:
#   hw_no WORD [TEXT]  ends the program: led LINK (hw_open may write there), moved, loop LINK
#   hw_guard PATH      sees whether PATH may be looked at, and ends the program if not
#
# hw_way PATH FOLLOW: into the folder of PATH (absolute, no `..`, no doubled slashes); FOLLOW, if not empty: into that of
# what PATH points to. Leaves
#   hw_real   where we are; empty for `/`
#   hw_n      the name there, `.` for the folder itself
# and returns 1 where the folder is not there: then hw_n is the first name that is missing or no folder to us, hw_todo
# the names behind it, and hw_via is not empty where this is within what that link points to.
#
# hw_look [1]: who could change what is here? Leaves
#   hw_open   empty if nobody but root; else who, in words
#   hw_here   device and inode of where we are
#   hw_file   with an argument, of hw_n: SIZE|KIND|MODE|OWNER:UID|GROUP:GID, as stat says it
#   hw_links  and its number of hard links
#   hw_mine   who we are, by name

hw_nl='
'

hw_way() {
  hw_todo=${1#/} hw_ahead='' hw_via='' hw_real='' hw_n=. hw_jumps=0
  hw_guard "$1"
  cd -P / || return 1
  while [ -n "$hw_ahead$hw_todo" ]; do
    if [ -n "$hw_ahead" ]; then
      hw_n=${hw_ahead%%/*}
      case $hw_ahead in */*) hw_ahead=${hw_ahead#*/} ;; *) hw_ahead='' ;; esac
    else
      hw_via=''
      hw_n=${hw_todo%%/*}
      case $hw_todo in */*) hw_todo=${hw_todo#*/} ;; *) hw_todo='' ;; esac
    fi
    case $hw_n in
      ''|.) hw_n=.; continue ;;
      ..) cd -P .. || return 1; hw_real=${hw_real%/*} hw_n=.; continue ;;
    esac
    [ -z "$hw_via" ] || hw_guard "$hw_real/$hw_n${hw_ahead:+/$hw_ahead}${hw_todo:+/$hw_todo}"
    if [ -L "./$hw_n" ] && [ -n "$hw_ahead$hw_todo$2" ]; then
      hw_jumps=$((hw_jumps + 1)) hw_via=$hw_real/$hw_n
      [ "$hw_jumps" -le 40 ] || hw_no loop "$hw_via"
      hw_look
      [ -z "$hw_open" ] || hw_no led "$hw_via"
      hw_l=$(readlink -n -- "./$hw_n" && echo /) || hw_no moved
      hw_l=${hw_l%/}
      case $hw_l in /*) cd -P / || return 1; hw_real='' ;; esac
      hw_ahead=$hw_l${hw_ahead:+/$hw_ahead} hw_n=.
      continue
    fi
    [ -n "$hw_ahead$hw_todo" ] || return 0
    cd -P "./$hw_n" 2>/dev/null || return 1
    hw_real=$hw_real/$hw_n hw_n=.
  done
}

hw_look() {
  hw_open='' hw_here='' hw_file='' hw_links='' hw_me='' hw_mine='' hw_r=''
  hw_f=$1
  set -f; IFS=/
  set -- . /
  for hw_x in ${hw_real#/}; do hw_r=$hw_r/$hw_x; set -- "$@" "$hw_r"; done
  set +f; unset IFS
  hw_x=$#
  # Its owner is whoever asks.
  if [ -d /proc/self ]; then set -- /proc/self/ "$@"; else hw_me=$(id -u); set -- . "$@"; fi
  [ -z "$hw_f" ] || set -- "$@" "./$hw_n"
  hw_l=$(stat -c '%u|%a|%U|%G|%d:%i|%h|%s|%F|%a|%U:%u|%G:%g' -- "$@" 2>/dev/null)
  hw_i=-1 hw_y=''
  set -f; IFS=$hw_nl
  for hw_r in $hw_l; do
    hw_i=$((hw_i + 1))
    IFS='|'
    # shellcheck disable=SC2086 # to be split
    set -- $hw_r
    if [ "$hw_i" = 0 ]; then [ -n "$hw_me" ] || { hw_me=$1 hw_mine=$3; }
    elif [ "$hw_i" = 1 ]; then hw_here=$5
    elif [ "$hw_i" -gt "$hw_x" ]; then hw_links=$6 hw_file="$7|$8|$9|${10}|${11}"
    else
      # In a folder with the sticky bit nobody touches what is root's.
      case $hw_i/$2 in "$hw_x"/*|*/[!1357]???|*/???|*/??|*/?) ;; *) set -- "$1" 0 "$3" "$4" x x x "$8" ;; esac
      if [ "$1" != 0 ]; then hw_y=$3
      elif [ "$8" != directory ]; then hw_y=somebody
      else
        case $2 in
          *[2367]) hw_y=everybody ;;
          *[2367]?) hw_y="group $4" ;;
        esac
      fi
      [ -n "$hw_open" ] || hw_open=$hw_y
    fi
  done
  set +f; unset IFS
  [ "$hw_me" = 0 ] || { hw_open=''; return 0; }
  [ "$hw_i" -ge "$hw_x" ] || hw_open=somebody
  [ -n "$hw_open" ] || return 0
  hw_l=$(env pwd -P && echo /) || hw_no moved
  [ "$hw_l" = "${hw_real:-/}$hw_nl/" ] || hw_no moved
}
