# Looks at many paths before each of them is asked about: one process for what they are, one for what is in them. Only at
# such as need no care: no link leads there, nobody but root could put another thing in their place, and they are on no
# network file system. Of all others nothing is said, and who asks about them looks for itself. By network.sh, escape.sh,
# far.sh.
#
# Arguments: the number of the first path; for each path LIMIT:SIZE (its digest is wanted if it has at most LIMIT bytes, or
# just SIZE) with `@` behind it if a link that is there is meant itself; the folders above it from `/` on, itself, and an
# empty word.
# Leaves in hw_ahead_N, for path number N: SIZE|KIND|MODE|OWNER:UID|GROUP:GID, and behind another `|` the digest, if that is
# wanted.
# Relies on: stat, sha256sum (coreutils).

hw_look_ahead() {
  hw_no=$1 hw_all='' hw_any='' hw_want='' hw_stop='' hw_count=0
  shift
  # Those that need no care, as far as that shows without a process: they are put behind the last word.
  for hw_word in "$@"; do
    shift
    case $hw_word in
      '')
        [ -z "$hw_want" ] || hw_any=1
        hw_all="$hw_all$hw_no ${hw_want%@} $hw_count
"
        hw_no=$((hw_no + 1)) ;;
      /*)
        [ -n "$hw_want" ] || continue
        if [ -n "$hw_stop" ] || hw_far "$hw_word"; then hw_stop=here
        elif [ -L "$hw_word" ]; then case $hw_want in *@) hw_stop=next ;; *) hw_stop=here ;; esac
        elif [ ! -e "$hw_word" ]; then hw_stop=here
        fi
        if [ "$hw_stop" = here ]; then
          hw_want=''
          # What is of no use does no harm.
          hw_all="$hw_all- - $hw_count
"
          hw_count=0
          continue
        fi
        hw_count=$((hw_count + 1))
        set -- "$@" "$hw_word" ;;
      *) hw_want=$hw_word hw_stop='' hw_count=0 ;;
    esac
  done
  [ -n "$hw_any" ] || return 0
  hw_lines=$(stat -c '%u|%a|%s|%F|%a|%U:%u|%G:%g|%n' -- /proc/self/ "$@" 2>/dev/null)
  set -- /proc/self/ "$@"
  hw_me='' hw_left=0 hw_sums=''
  set -f; IFS='
'
  for hw_line in $hw_lines; do
    # A path that went away has no line.
    if [ "${hw_line##*|}" != "$1" ]; then
      hw_sums=''
      break
    fi
    hw_path=$1 hw_line=${hw_line%|*}
    shift
    hw_own=${hw_line%%|*} hw_line=${hw_line#*|}
    hw_bits=${hw_line%%|*} hw_line=${hw_line#*|}
    hw_kind=${hw_line#*|} hw_kind=${hw_kind%%|*}
    if [ -z "$hw_me" ]; then hw_me=$hw_own; continue; fi
    while [ "$hw_left" = 0 ]; do
      hw_item=${hw_all%%
*}
      hw_all=${hw_all#*
}
      hw_left=${hw_item##* } hw_no=${hw_item%% *}
      hw_item=${hw_item#* } hw_want=${hw_item% *}
      hw_ok=1
      [ "$hw_no" != - ] || hw_ok=''
    done
    hw_left=$((hw_left - 1))
    [ -n "$hw_ok" ] || continue
    if [ "$hw_left" -gt 0 ]; then
      [ "$hw_kind" = directory ] || hw_ok=''
      if [ "$hw_me" = 0 ]; then
        # Behind a folder with the sticky bit nobody touches what is root's; in it others may make new things.
        case $hw_own/$hw_left/$hw_bits in
          0/1/*[2367]|0/1/*[2367]?) hw_ok='' ;;
          0/*/[1357]???) ;;
          0/*/*[2367]|0/*/*[2367]?) hw_ok='' ;;
          0/*) ;;
          *) hw_ok='' ;;
        esac
      fi
      continue
    fi
    eval "hw_ahead_$hw_no=\$hw_line"
    hw_size=${hw_line%%|*}
    case $hw_kind in
      "regular file"|"regular empty file")
        if [ "$hw_size" -le "${hw_want%:*}" ] || [ "$hw_size" = "${hw_want#*:}" ]; then
          hw_sums="$hw_sums$hw_no "
          set -- "$@" "$hw_path"
        fi ;;
    esac
  done
  if [ -n "$hw_sums" ]; then
    # What cannot be read has no line.
    hw_lines=$(sha256sum -- "$@" 2>/dev/null)
    for hw_line in $hw_lines; do
      hw_path=${hw_line#*  }
      while [ $# -gt 0 ]; do
        hw_no=${hw_sums%% *} hw_sums=${hw_sums#* } hw_found=$1
        shift
        [ "$hw_found" = "$hw_path" ] || continue
        eval "hw_ahead_$hw_no=\$hw_ahead_$hw_no'|'\${hw_line%% *}"
        break
      done
    done
  fi
  set +f; unset IFS
}

hw_look_ahead "$@"
