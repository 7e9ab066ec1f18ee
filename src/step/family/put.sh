# Puts things at a path, and takes them away: what is shared by all kinds that do. Needs way.sh.
#
# Set by who uses it, before a function is called:
#   hw_p        the path
#   hw_follow   not empty: what it points to is meant
#   hw_t        a name for what is being made, of no other path; it begins with a dot, for folders are read by name
#   hw_set      a function that gives "$hw_to" its owner and mode
#   hw_base     with hw_end the name of a backup in the same folder; empty: the path's own name
#   hw_end      empty: no backup
#
# All work is done from within the folder. Where somebody else may write it, new things are made in a folder of our own
# in there, which nobody else can enter (rename(2) never leaves the file system), and old ones get a name in there
# before they are touched: so nothing is ever done to a name that leads elsewhere by then.

hw_fail() { printf '%s\n' "$@" >&2; exit 1; }

hw_guard() { :; }

hw_no() {
  case $1 in
    led) hw_fail "$hw_p is not touched: $2 is a symbolic link, and $hw_open may write where it is" \
      "hint: name the path that it leads to, or let root alone write the folder of the link and all above it" ;;
    loop) hw_fail "$hw_p cannot be reached: too many symbolic links, the last one $2" ;;
    *) hw_fail "$hw_p has changed under way: ${hw_open:-somebody} put another thing on the way to it; nothing was done there" \
      "hint: see who does that, and run again" ;;
  esac
}

# What went wrong is in hw_e.
hw_disk() {
  case $hw_e in
    *"No space left"*|*quota*) hw_fail "$hw_e" "cannot write $hw_p: no space left (ENOSPC); the old state is unchanged" \
      "hint: free some space or inodes on the file system of ${hw_real:-/}" ;;
    *Read-only*) hw_fail "$hw_e" "cannot write $hw_p: its file system is read-only (EROFS); nothing was changed" \
      "hint: mount it read-write; if nobody made it read-only, dmesg tells why the kernel did" ;;
    *"ermission denied"*|*"not permitted"*) hw_fail "$hw_e" "cannot write $hw_p: no permission; nothing was changed" \
      "hint: set \`become = true\`; for root, see lsattr (immutable files) and SELinux" ;;
    *"resource busy"*) hw_fail "$hw_e" "cannot replace $hw_p: it is a mount point of its own; nothing was changed" \
      "hint: set \`in_place = true\`" ;;
    *"name too long"*) hw_fail "$hw_e" "cannot write $hw_p: a name in it is too long (ENAMETOOLONG); nothing was changed" ;;
    *) hw_fail "$hw_e" "cannot write $hw_p; the old state is unchanged" ;;
  esac
}

# Into the folder of the path; fails where that is not there.
hw_arrive() {
  hw_way "$hw_p" "$hw_follow" || hw_lost
}

hw_lost() {
  [ -z "$hw_via" ] || hw_fail "$hw_p cannot be reached: the symbolic link $hw_via leads nowhere"
  [ ! -e "./$hw_n" ] || [ -d "./$hw_n" ] || hw_fail "$hw_p cannot be made: ${hw_real}/$hw_n is not a directory"
  [ ! -d "./$hw_n" ] || hw_fail "cannot look into $hw_real/$hw_n" "hint: set \`become = true\`"
  hw_fail "$hw_p cannot be made: there is no directory $hw_real/$hw_n"
}

# A place for new things, after hw_look: "./$hw_t" is there, and "$hw_u/$hw_n" is the path.
#
# A folder of our own does not lead out: only who may write a folder can move it to another one (rename(2)), and so its
# parent stays the one that we were in. That it is the one that was just made, and not another one that somebody put in
# its place, its owner, mode and parent tell.
hw_stage() {
  hw_u=. hw_s='' hw_staged=1
  trap hw_tidy EXIT
  trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
  hw_clear
  [ -n "$hw_open" ] || return 0
  hw_e=$(mktemp -d "./$hw_t.XXXXXXXX" 2>&1) || hw_disk
  hw_staged=''
  [ ! -L "$hw_e" ] && cd -P "$hw_e" 2>/dev/null || hw_no moved
  hw_l=$(stat -c '%u %a %d:%i' -- . ..)
  case $hw_l in
    "0 700 "*" $hw_here"|"0 2700 "*" $hw_here") ;;
    *) hw_no moved ;;
  esac
  hw_u=.. hw_s=$hw_e hw_staged=1
}

# What was made and not used, by this run or one that was cut off.
hw_clear() {
  for hw_l in "./$hw_t" "./$hw_t".*; do
    if [ -e "$hw_l" ] || [ -L "$hw_l" ]; then rm -rf --one-file-system -- "$hw_l"; fi
  done
}

hw_tidy() {
  [ -n "$hw_staged" ] || return 0
  hw_staged=''
  hw_clear
  [ -z "$hw_s" ] || { cd -P .. && rmdir -- "$hw_s" 2>/dev/null; }
}

# A name that nobody can give to another thing, "$hw_to", for the file that is there.
hw_hold() {
  hw_to=$hw_u/$hw_n
  [ -n "$hw_open" ] || return 0
  hw_e=$(ln -T -- "$hw_to" "./$hw_t.old" 2>&1) || {
    [ -e "$hw_to" ] && [ ! -L "$hw_to" ] || hw_no moved
    case $hw_e in
      *ross-device*) hw_fail "$hw_e" "cannot work on $hw_p: it is a mount point of its own, in a folder that $hw_open may write" ;;
      *"not supported"*|*"not implemented"*) hw_fail "$hw_e" "cannot work on $hw_p: its file system has no hard links, and $hw_open may write its folder" ;;
    esac
    hw_disk
  }
  hw_to=./$hw_t.old
  [ -f "$hw_to" ] && [ ! -L "$hw_to" ] || hw_no moved
}

# As hw_hold, for a change of the file itself: that must be here and have no name elsewhere, or the owner of this folder
# would say what root gives away. Making or taking away a name changes the file's ctime, which counts in ticks of 10 ms
# at most. So what it has still, and had longer than a tick ago, is true of all three looks.
hw_grasp() {
  hw_hold
  [ -n "$hw_open" ] || return 0
  for hw_i in 1 2 3; do
    hw_x=$(stat -c %.9Z -- "$hw_to") && sleep 0.03 &&
      hw_y=$(stat -c '%h %d:%i %.9Z' -- "$hw_to" "$hw_u/$hw_n" "$hw_to" 2>/dev/null) || hw_no moved
    hw_l=${hw_y%%"$hw_nl"*} hw_y=${hw_y#*"$hw_nl"}
    [ "${hw_l%% *}" = 2 ] || hw_fail "$hw_p is not touched: it has other names (hard links), and $hw_open may write its folder" \
      "hint: see which file it is with find -inum, and remove the other names"
    case $hw_y in "${hw_l% *} "*) ;; *) hw_no moved ;; esac
    if [ "$hw_y" = "$hw_l$hw_nl$hw_l" ] && [ "${hw_l##* }" = "$hw_x" ]; then return 0; fi
  done
  # It is written to all the time. Here users cannot give names to what is not theirs.
  hw_l=0
  [ ! -r /proc/sys/fs/protected_hardlinks ] || read -r hw_l </proc/sys/fs/protected_hardlinks
  [ "$hw_l" = 1 ] || hw_no moved
}

hw_label() {
  if [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then restorecon "$@" || :; fi
}

# Puts what comes on file descriptor 3 at the path. Set before:
#   hw_sum    its SHA-256
#   hw_were   SHA-256 that the old content must have; `absent` for none; empty for any
#   hw_mode   mode of a new file, or that is wanted for the old one; empty: its own
#   hw_again  not empty: the backup replaces one that is there
#   hw_mask   what a backup may have of its mode, octal
#   hw_force  not empty: a link, pipe or socket may be replaced
#   hw_within not empty: the file that is there is written
#   hw_make   not empty: folders that are missing are made
#   hw_owned  not empty: an owner is wanted
#   hw_check  not empty: the function hw_valid sees whether the file "$hw_as" is good
hw_put() {
  umask 077
  if ! hw_way "$hw_p" "$hw_follow"; then
    if [ -z "$hw_make" ] || [ -n "$hw_via" ] || [ -e "./$hw_n" ] || [ -L "./$hw_n" ]; then hw_lost; fi
    hw_look
    case $hw_todo in */*) hw_n=$hw_n/${hw_todo%/*} ;; esac
    hw_folders "$hw_n" "$hw_todo"
    hw_arrive
  fi
  [ "$hw_n" != . ] || hw_fail "$hw_p is not a file but a directory"
  hw_bak=${hw_end:+${hw_base:-$hw_n}$hw_end}
  hw_new=1 hw_f=''
  if [ -e "./$hw_n" ] || [ -L "./$hw_n" ]; then hw_f=1; fi
  hw_look $hw_f
  case $hw_file in
    '') ;;
    *'|regular file|'*|*'|regular empty file|'*) hw_new='' ;;
    *'|symbolic link|'*|*'|fifo|'*|*'|socket|'*) [ -n "$hw_force" ] || hw_other ;;
    *) hw_other ;;
  esac
  hw_stage
  if [ -z "$hw_new" ]; then
    if [ -n "$hw_within" ]; then hw_grasp; else hw_hold; fi
    hw_o=$hw_to
  fi
  # excl: into no file that somebody else has made; fsync: the bytes are on the disk before they get the name.
  hw_e=$(dd of="./$hw_t" bs=65536 conv=excl,fsync status=none <&3 2>&1) || hw_disk
  hw_l=''
  if [ -z "$hw_new" ] && [ -n "$hw_were$hw_bak$hw_within" ]; then hw_l=$hw_o; fi
  hw_e=$(sha256sum -- "./$hw_t" ${hw_l:+"$hw_l"} 2>&1) || hw_disk
  [ "${hw_e%% *}" = "$hw_sum" ] || hw_fail "the content for $hw_p did not arrive whole; nothing was changed"
  hw_is=absent
  if [ -n "$hw_l" ]; then
    hw_is=${hw_e#*"$hw_nl"}; hw_is=${hw_is#\\}; hw_is=${hw_is%% *}
  fi
  # The new content itself may be there when an earlier try was cut off.
  if [ -n "$hw_were" ]; then
    case $hw_is in
      "$hw_were"|"$hw_sum") ;;
      *) hw_fail "$hw_p was changed by someone else in the meantime; it was not touched" "hint: run again" ;;
    esac
  fi
  hw_to=./$hw_t
  if [ -n "$hw_new" ]; then
    chmod -- "${hw_mode:-00644}" "$hw_to" || exit 1
    hw_set
  elif [ -z "$hw_within" ]; then
    hw_e=$(cp --attributes-only --preserve=all --no-preserve=timestamps -- "$hw_o" "./$hw_t" 2>&1) || hw_disk
    # Without the rights to give it away, `cp` says nothing.
    if [ "$hw_me" != 0 ] && [ -z "$hw_owned" ]; then
      hw_l=$(stat -c %u -- "$hw_o" "./$hw_t")
      [ "${hw_l%%"$hw_nl"*}" = "${hw_l#*"$hw_nl"}" ] ||
        hw_fail "cannot keep the owner of $hw_p; nothing was changed" "hint: set \`become = true\`"
    fi
    hw_set
  fi
  if [ -n "$hw_check" ]; then
    hw_as=$hw_real/$hw_t
    # By its name, somebody else's file could be looked at.
    if [ -n "$hw_open" ]; then
      exec 4<"./$hw_t"
      hw_as=/proc/self/fd/4
    fi
    hw_valid
  fi
  hw_l=${hw_file#*|*|}; hw_l=${hw_l%%|*}
  # How much less of its mode the old content may have from now on.
  hw_less=
  if [ -z "$hw_new" ] && [ $((0$hw_l & 0${hw_mode:-7777} & 0$hw_mask)) != $((0$hw_l)) ]; then
    hw_less=$(printf %05o $((0$hw_l & 0${hw_mode:-7777} & 0$hw_mask)))
  fi
  # One that is always of the state before: none of no file.
  if [ -n "$hw_new" ] && [ -n "$hw_bak" ] && [ -n "$hw_again" ]; then rm -f -- "$hw_u/$hw_bak"; fi
  if [ "$hw_is" = "$hw_sum" ] || [ -n "$hw_new" ]; then hw_bak=''; fi
  if [ -n "$hw_bak" ] && [ -z "$hw_again" ]; then
    if [ -e "$hw_u/$hw_bak" ] || [ -L "$hw_u/$hw_bak" ]; then hw_bak=''; fi
  fi
  if [ -n "$hw_within" ] && [ -z "$hw_new" ]; then hw_write; else hw_replace; fi
}

hw_other() {
  hw_l=${hw_file#*|}
  hw_fail "$hw_p is not a file but a ${hw_l%%|*}; nothing was changed" "hint: move it away by hand: it may hold data"
}

# The new file gets the name. The backup is a second name of the old one: it needs no space and is whole at once; a copy
# where its mode must be another one, for the old one may have more names.
hw_replace() {
  if [ -n "$hw_bak" ]; then
    if [ -n "$hw_less" ] || [ -n "$hw_again" ]; then
      hw_e=$(cp --preserve=all -- "$hw_o" "./$hw_t.bak" 2>&1) || hw_disk
      [ -z "$hw_less" ] || chmod -- "$hw_less" "./$hw_t.bak" || exit 1
      hw_e=$(mv -fT -- "./$hw_t.bak" "$hw_u/$hw_bak" 2>&1) || hw_disk
    elif ! ln -T -- "$hw_o" "$hw_u/$hw_bak" 2>/dev/null; then
      hw_e=$(cp --preserve=all -- "$hw_o" "./$hw_t.bak" 2>&1 && mv -fT -- "./$hw_t.bak" "$hw_u/$hw_bak" 2>&1) || hw_disk
    fi
  fi
  hw_e=$(mv -fT -- "./$hw_t" "$hw_u/$hw_n" 2>&1) || {
    # The file is its own backup.
    [ -z "$hw_bak" ] || rm -f -- "$hw_u/$hw_bak"
    hw_disk
  }
  [ -z "$hw_new" ] || hw_label -- "$hw_u/$hw_n"
}

# The file that is there gets the new content, and stays the same inode.
hw_write() {
  hw_e=$(cp --preserve=all -- "$hw_o" "./$hw_t.bak" 2>&1) || { hw_e="No space left for a copy of the old content"; hw_disk; }
  hw_e=$(dd if="./$hw_t" of="$hw_o" bs=65536 conv=fsync status=none 2>&1) || {
    hw_l=$(sha256sum <"$hw_o")
    if [ "${hw_l%% *}" != "$hw_is" ] && ! dd if="./$hw_t.bak" of="$hw_o" bs=65536 conv=fsync status=none; then
      hw_bak=${hw_bak:-$hw_t.half}
      mv -fT -- "./$hw_t.bak" "$hw_u/$hw_bak"
      hw_fail "$hw_e" "$hw_p is half written; its old content is in $hw_real/$hw_bak"
    fi
    hw_disk
  }
  if [ -n "$hw_bak" ]; then
    [ -z "$hw_less" ] || chmod -- "$hw_less" "./$hw_t.bak" || exit 1
    mv -fT -- "./$hw_t.bak" "$hw_u/$hw_bak" || exit 1
  fi
  hw_to=$hw_o
  hw_set
}

# Makes the folder $1 with those above it that are missing; $2 not empty: hw_set is not for it. They are made aside, and
# get their place with owner and mode.
hw_folders() {
  hw_first=${1%%/*} hw_rest=''
  hw_l=${1%/}
  case $hw_l in */*) hw_rest=/${hw_l#*/} ;; esac
  hw_stage
  hw_e=$(umask 022; mkdir -p -- "./$hw_t$hw_rest" 2>&1) || hw_disk
  hw_to=./$hw_t$hw_rest
  [ -n "$2" ] || hw_set
  hw_e=$(mv -T -- "./$hw_t" "$hw_u/$hw_first" 2>&1) || {
    [ ! -e "$hw_u/$hw_first" ] && [ ! -L "$hw_u/$hw_first" ] || hw_no moved
    hw_disk
  }
  hw_label -R -- "$hw_u/$hw_first"
  hw_tidy
  trap - EXIT
}

# Sees to it that the path is a directory.
hw_directory() {
  umask 077
  if hw_way "$hw_p" "$hw_follow"; then
    hw_l=$hw_n
    if [ -e "./$hw_n" ] || [ -L "./$hw_n" ]; then hw_change directory; return; fi
  else
    hw_l=$hw_n/$hw_todo
    if [ -n "$hw_via" ] || [ -e "./$hw_n" ] || [ -L "./$hw_n" ]; then hw_lost; fi
  fi
  hw_n=$hw_l
  hw_look
  hw_folders "$hw_n" ''
}

# Gives what is at the path, a `file` or a `directory`, its owner and mode; after hw_way.
hw_change() {
  umask 077
  if [ "$1" = directory ]; then
    [ -d "./$hw_n" ] && [ ! -L "./$hw_n" ] ||
      hw_fail "$hw_p has changed under way: it is not a directory any more; nothing was done" "hint: run again"
    if [ "$hw_n" != . ]; then
      cd -P "./$hw_n" || exit 1
      hw_real=$hw_real/$hw_n hw_n=.
    fi
    hw_look
    hw_to=.
    hw_set
    return
  fi
  [ -f "./$hw_n" ] && [ ! -L "./$hw_n" ] ||
    hw_fail "$hw_p has changed under way: it is not a file any more; nothing was done" "hint: run again"
  hw_look
  if [ -n "$hw_open" ]; then hw_stage; else hw_u=.; fi
  hw_grasp
  hw_set
}

# Removes what is at the path: a `file` (whatever is no directory), a `link`, a directory that is `empty`, or one with
# `all` that is in it. With hw_end a file is kept. Where nothing is, nothing is to be done.
hw_remove() {
  if ! hw_way "$hw_p" ''; then
    if [ -d "./$hw_n" ]; then hw_lost; fi
    return 0
  fi
  hw_look
  [ -e "./$hw_n" ] || [ -L "./$hw_n" ] || return 0
  hw_l=file
  if [ -L "./$hw_n" ]; then hw_l=link; elif [ -d "./$hw_n" ]; then hw_l=directory; fi
  hw_bak=${hw_end:+${hw_base:-$hw_n}$hw_end}
  case $1/$hw_l in
    file/file|file/link)
      if [ -n "$hw_bak" ]; then hw_e=$(mv -fT -- "./$hw_n" "./$hw_bak" 2>&1) || hw_disk
      else hw_e=$(rm -f -- "./$hw_n" 2>&1) || hw_disk; fi ;;
    link/link) hw_e=$(rm -f -- "./$hw_n" 2>&1) || hw_disk ;;
    empty/directory) rmdir -- "./$hw_n" || exit 1 ;;
    # What is mounted below stays, and makes it fail.
    all/directory) rm -rf --one-file-system -- "./$hw_n" || exit 1 ;;
    *) hw_fail "$hw_p has changed under way: it is a $hw_l; nothing was done" "hint: run again" ;;
  esac
}

# Makes the path a symbolic link to $1. A file there is replaced if hw_force is not empty, and kept.
hw_link() {
  hw_arrive
  hw_bak=$hw_base$hw_end
  hw_new=1
  if [ -e "./$hw_n" ] && [ ! -L "./$hw_n" ]; then
    hw_new=''
    [ -n "$hw_force" ] && [ -f "./$hw_n" ] ||
      hw_fail "$hw_p has changed under way: it is not a symbolic link; nothing was done" "hint: run again"
    if [ -e "./$hw_bak" ] || [ -L "./$hw_bak" ]; then hw_bak=''; fi
  fi
  hw_look
  hw_stage
  hw_e=$(ln -sT -- "$1" "./$hw_t" 2>&1) || hw_disk
  if [ -n "$hw_new" ]; then hw_bak=''; fi
  if [ -n "$hw_bak" ]; then hw_e=$(ln -T -- "$hw_u/$hw_n" "$hw_u/$hw_bak" 2>&1) || hw_disk; fi
  # A rename puts the new link in the old one's place at once.
  hw_e=$(mv -fT -- "./$hw_t" "$hw_u/$hw_n" 2>&1) || {
    [ -z "$hw_bak" ] || rm -f -- "$hw_u/$hw_bak"
    hw_disk
  }
}

# Prints the file at the path, or at what it points to, if it has at most $1 bytes.
hw_send() {
  hw_arrive
  hw_look 1
  case $hw_file in
    *'|regular file|'*|*'|regular empty file|'*) ;;
    '') hw_fail "there is no $hw_p" ;;
    *) hw_l=${hw_file#*|}; hw_fail "$hw_p is not a file but a ${hw_l%%|*}" ;;
  esac
  [ "${hw_file%%|*}" -le "$1" ] || hw_fail "$hw_p is too large: ${hw_file%%|*} bytes"
  if [ -n "$hw_open" ]; then
    dd if="./$hw_n" iflag=nofollow,nonblock bs=65536 status=none | head -c "$1"
  else
    head -c "$1" -- "./$hw_n"
  fi
}
