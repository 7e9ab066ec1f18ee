# Puts things at a path, and takes them away: what is shared by the programs that do.
#
# Variables, set by the program:
#   path        absolute
#   follow      not empty: what it points to is meant
#   temporary   a name for what is being made, of no other path; it begins with a dot, for folders are read by name
#   owner       for hw_set: OWNER, OWNER:GROUP or :GROUP; empty: as it is
#   bits        for hw_set: the mode, five octal digits; empty: as it is
# Relies on: GNU coreutils, way.sh.
#
# All work is done from within the folder. Where somebody else may write it, new things are made in a folder of our own
# in there, which nobody else can enter (rename(2) never leaves the file system), and old ones get a name in there
# before they are touched: so nothing is ever done to a name that leads elsewhere by then.

hw_fail() { printf '%s\n' "$@" >&2; exit 1; }

hw_guard() { :; }

hw_no() {
  case $1 in
    led) hw_fail "$path is not touched: $2 is a symbolic link, and $hw_open may write where it is" \
      "hint: name the path that it leads to, or let root alone write the folder of the link and all above it" ;;
    loop) hw_fail "$path cannot be reached: too many symbolic links, the last one $2" ;;
    *) hw_fail "$path has changed under way: ${hw_open:-somebody} put another thing on the way to it; nothing was done there" \
      "hint: see who does that, and run again" ;;
  esac
}

# What went wrong is in hw_e.
hw_disk() {
  case $hw_e in
    *"No space left"*|*quota*) hw_fail "$hw_e" "cannot write $path: no space left (ENOSPC); the old state is unchanged" \
      "hint: free some space or inodes on the file system of ${hw_real:-/}" ;;
    *Read-only*) hw_fail "$hw_e" "cannot write $path: its file system is read-only (EROFS); nothing was changed" \
      "hint: mount it read-write; if nobody made it read-only, dmesg tells why the kernel did" ;;
    *"ermission denied"*|*"not permitted"*) hw_fail "$hw_e" "cannot write $path: no permission; nothing was changed" \
      "hint: set \`become = true\`; for root, see lsattr (immutable files) and SELinux" ;;
    *"resource busy"*) hw_fail "$hw_e" "cannot replace $path: it is a mount point of its own; nothing was changed" \
      "hint: set \`in_place = true\`" ;;
    *"name too long"*) hw_fail "$hw_e" "cannot write $path: a name in it is too long (ENAMETOOLONG); nothing was changed" ;;
    *) hw_fail "$hw_e" "cannot write $path; the old state is unchanged" ;;
  esac
}

# Into the folder of the path; fails where that is not there.
hw_arrive() {
  hw_way "$path" "$follow" || hw_lost
}

hw_lost() {
  [ -z "$hw_via" ] || hw_fail "$path cannot be reached: the symbolic link $hw_via leads nowhere"
  [ ! -e "./$hw_n" ] || [ -d "./$hw_n" ] || hw_fail "$path cannot be made: ${hw_real}/$hw_n is not a directory"
  [ ! -d "./$hw_n" ] || hw_fail "cannot look into $hw_real/$hw_n" "hint: set \`become = true\`"
  hw_fail "$path cannot be made: there is no directory $hw_real/$hw_n"
}

# A place for new things, after hw_look: "./$temporary" is there, and "$hw_u/$hw_n" is the path.
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
  hw_e=$(mktemp -d "./$temporary.XXXXXXXX" 2>&1) || hw_disk
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
  for hw_l in "./$temporary" "./$temporary".*; do
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
  hw_e=$(ln -T -- "$hw_to" "./$temporary.old" 2>&1) || {
    [ -e "$hw_to" ] && [ ! -L "$hw_to" ] || hw_no moved
    case $hw_e in
      *ross-device*) hw_fail "$hw_e" "cannot work on $path: it is a mount point of its own, in a folder that $hw_open may write" ;;
      *"not supported"*|*"not implemented"*) hw_fail "$hw_e" "cannot work on $path: its file system has no hard links, and $hw_open may write its folder" ;;
    esac
    hw_disk
  }
  hw_to=./$temporary.old
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
    [ "${hw_l%% *}" = 2 ] || hw_fail "$path is not touched: it has other names (hard links), and $hw_open may write its folder" \
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

# Makes the folder $1 with those above it that are missing; $2 not empty: hw_set is not for it. They are made aside, and
# get their place with owner and mode.
hw_folders() {
  hw_first=${1%%/*} hw_rest=''
  hw_l=${1%/}
  case $hw_l in */*) hw_rest=/${hw_l#*/} ;; esac
  hw_stage
  hw_e=$(umask 022; mkdir -p -- "./$temporary$hw_rest" 2>&1) || hw_disk
  hw_to=./$temporary$hw_rest
  [ -n "$2" ] || hw_set_new
  hw_e=$(mv -T -- "./$temporary" "$hw_u/$hw_first" 2>&1) || {
    [ ! -e "$hw_u/$hw_first" ] && [ ! -L "$hw_u/$hw_first" ] || hw_no moved
    hw_disk
  }
  hw_label -R -- "$hw_u/$hw_first"
  hw_tidy
  trap - EXIT
}

# Makes the path a directory with all above it that are missing, or gives the one that is there what is wanted.
hw_directory() {
  umask 077
  if hw_way "$path" "$follow"; then
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
      hw_fail "$path has changed under way: it is not a directory any more; nothing was done" "hint: run again"
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
    hw_fail "$path has changed under way: it is not a file any more; nothing was done" "hint: run again"
  hw_look
  if [ -n "$hw_open" ]; then hw_stage; else hw_u=.; fi
  hw_grasp
  hw_set
}

# Whether what was at the path has the owner and the mode that are wanted; after `hw_look 1`.
hw_is_set() {
  hw_y=${hw_file##*|}
  hw_x=${hw_file%|*}; hw_x=${hw_x##*|}
  case ${owner%%:*} in ''|"${hw_x%:*}") ;; *) return 1 ;; esac
  case $owner in *:|*:"${hw_y%:*}") ;; *:*) return 1 ;; esac
  hw_x=${hw_file#*|*|}
  [ -z "$bits" ] || [ $((0${hw_x%%|*})) = $((0$bits)) ]
}

# Gives "$hw_to" the owner and the mode that are wanted. The owner first, for chown takes the setuid and setgid bits away
# (chown(2)); and the mode with five digits, for with fewer chmod leaves those bits of a directory as they are (chmod(1)).
hw_set() {
  if [ -n "${owner-}" ]; then hw_e=$(chown -h -- "$owner" "$hw_to" 2>&1) || hw_disk; fi
  if [ -n "${bits-}" ]; then hw_e=$(chmod -- "$bits" "$hw_to" 2>&1) || hw_disk; fi
}

# The same for what we have just made, which is ours.
hw_set_new() {
  if [ "${owner-}" = "$hw_mine" ]; then owner=''; fi
  hw_set
}

# Where the old state goes, hw_bak, after hw_look: a file of the run's folder, NAME.bak beside it if $backup is `last`,
# none if that is empty.
hw_backup() {
  hw_bak='' hw_d=''
  case ${backup-} in
    '') ;;
    last) hw_bak=$hw_u/$hw_n.bak ;;
    *) hw_store; hw_bak=$hw_d/${temporary#.hw-} ;;
  esac
}

hw_unkept() {
  hw_fail "$@" "cannot keep a backup of $path in $hw_d; nothing was changed" \
    "hint: see that folder, or set \`backup = false\` where the step has that key"
}

# The folder hw_b with what runs of the user with number $1 keep.
hw_backups() {
  hw_b=/var/lib/hostwright/backups
  [ "$1" = 0 ] || hw_b=${XDG_STATE_HOME:-${HOME:-}/.local/state}/hostwright/backups
}

# The folder hw_d of this run, which nobody else can enter. Who makes it clears those of old runs.
hw_store() {
  hw_backups "$hw_me"
  hw_r=${HW_RUN_ID:-manual} hw_d=$hw_b
  case $hw_r in .*|*[!A-Za-z0-9._-]*) hw_unkept "$hw_r is no name for a run" ;; esac
  hw_d=$hw_b/$hw_r
  if [ ! -d "$hw_d" ]; then
    hw_e=$(umask 077; mkdir -p -- "$hw_d" 2>&1) || hw_unkept "$hw_e"
    hw_trust
    hw_forget
  fi
  for hw_x in "${hw_b%/*}" "$hw_b" "$hw_d"; do
    # shellcheck disable=SC3067 # dash, bash and busybox have -O
    [ -d "$hw_x" ] && [ ! -L "$hw_x" ] && [ -O "$hw_x" ] || hw_unkept "$hw_x is not a folder of our own"
  done
}

# Nobody else may put another folder in its place.
hw_trust() {
  [ "$hw_me" = 0 ] || return 0
  hw_x=$hw_d
  set --
  while [ -n "$hw_x" ]; do set -- "$@" "$hw_x"; hw_x=${hw_x%/*}; done
  hw_l=$(stat -c '%u %a %F' -- / "$@") || hw_unkept
  while read -r hw_x hw_y hw_i; do
    case $hw_x/$hw_y/$hw_i in
      0/*[2367]/directory|0/*[2367]?/directory) case $hw_y in [1357]???) ;; *) hw_unkept "others may write above it" ;; esac ;;
      0/*/directory) ;;
      *) hw_unkept "a folder above it is not root's" ;;
    esac
  done <<HW_END
$hw_l
HW_END
}

# Backups of runs go that are older than 90 days, or beyond the newest 50.
hw_forget() {
  find "$hw_b/" -mindepth 1 -maxdepth 1 -type d -mtime +90 -exec rm -rf -- {} + 2>/dev/null
  set -- "$hw_b"/*
  [ $# -gt 50 ] || return 0
  hw_i=0
  # shellcheck disable=SC2012 # names of runs have no strange characters
  hw_l=$(ls -1t -- "$hw_b")
  for hw_x in $hw_l; do
    hw_i=$((hw_i + 1))
    [ "$hw_i" -le 50 ] || [ "$hw_x" = "$hw_r" ] || rm -rf -- "${hw_b:?}/$hw_x"
  done
}

# Text as a field of the manifest, in hw_q: backslash, tab and line break are `\\`, `\t` and `\n`.
hw_field() {
  hw_q=$1
  for hw_x in "\\" '	' "$hw_nl"; do
    case $hw_x in "\\") hw_y="\\\\" ;; "$hw_nl") hw_y='\n' ;; *) hw_y='\t' ;; esac
    hw_l=$hw_q hw_q=''
    while :; do
      case $hw_l in
        *"$hw_x"*) hw_q=$hw_q${hw_l%%"$hw_x"*}$hw_y hw_l=${hw_l#*"$hw_x"} ;;
        *) hw_q=$hw_q$hw_l; break ;;
      esac
    done
  done
}

# Writes into the manifest of the run, after `hw_look 1`, what was at the path, $1, and what will be, $2: `absent`, `other`,
# `link TARGET`; before `file MODE`, of which the copy is there; after `file SHA256`, or `sealed INODE MTIME` for a secret.
# A line: NAME, BEFORE, AFTER, PATH, with tabs between. Of several lines of one path the first tells what was before the
# run, and all of them what it may have made.
hw_record() {
  [ -n "$hw_d" ] || return 0
  hw_x=${hw_file#*|*|}
  case $1 in file) set -- "file ${hw_x%%|*}" "$2" ;; esac
  hw_field "$1"; set -- "$hw_q" "$2"
  hw_field "$2"; set -- "$1" "$hw_q"
  hw_field "$hw_real/$hw_n"
  printf '%s\t%s\t%s\t%s\n' "${temporary#.hw-}" "$1" "$2" "$hw_q" 2>/dev/null >>"$hw_d/manifest" ||
    hw_unkept "cannot write its manifest"
}

# What the link "$1" leads to, as the manifest has it, in hw_was.
hw_link_was() {
  hw_l=$(readlink -n -- "$1" && echo /) || hw_no moved
  hw_was="link ${hw_l%/}"
}

# Copies the file $1 to the backup, with all that it has; the bytes are on the disk then.
hw_copy() {
  hw_e=$(cp --preserve=all -- "$1" "$hw_bak.new" 2>&1 &&
    dd if=/dev/null of="$hw_bak.new" count=0 conv=notrunc,fsync status=none 2>&1) || hw_uncopied
  [ -z "${hw_less-}" ] || chmod -- "$hw_less" "$hw_bak.new" || hw_uncopied
  hw_e=$(mv -fT -- "$hw_bak.new" "$hw_bak" 2>&1) || hw_uncopied
}

hw_uncopied() {
  rm -f -- "$hw_bak.new"
  [ -n "$hw_d" ] || hw_disk
  hw_unkept "$hw_e"
}
