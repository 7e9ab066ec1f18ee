# hw_answer: says what is at a path, and what stands in the way of putting something there, and ends the program: what
# ask_path.sh asks, of which the variables and the answers are told there. By way.sh, far.sh; hw_foreseen is what
# look_ahead.sh has found out.

hw_no() {
  case $1 in
    led) echo "led $hw_open|$2" ;;
    loop|moved) echo "$1" ;;
    *) echo "$1 $hw_fs" ;;
  esac
  exit 0
}

hw_guard() {
  hw_far "$1" || return 0
  [ -n "$remote" ] || hw_no remote
  [ "$hw_fs $hw_k" != "${hw_up-}" ] || return 0
  timeout -s KILL "$remote" stat -- "$1" >/dev/null 2>&1 || { hw_rc=$?; [ "$hw_rc" -lt 124 ] || hw_no dead; }
  hw_up="$hw_fs $hw_k"
}

# Costs a process only where the owner is another one than wanted.
hw_accounts() {
  if [ -n "$owner" ]; then
    case ${hw_at-} in
      *"|$owner:"*"|"*) ;;
      *) timeout 10 getent passwd "$owner" >/dev/null; [ $? != 2 ] || echo "!user $owner" ;;
    esac
  fi
  if [ -n "$group" ]; then
    hw_o=${hw_at-}
    case ${hw_o##*|} in
      "$group:"*) ;;
      *) timeout 10 getent group "$group" >/dev/null; [ $? != 2 ] || echo "!group $group" ;;
    esac
  fi
}

# Where somebody may put another thing in its place: follows no link, and waits for no pipe.
hw_cat() {
  if [ -n "$hw_open" ]; then dd if="./$hw_n" iflag=nofollow,nonblock bs=65536 status=none; else cat -- "./$hw_n"; fi
}

hw_digest() {
  if [ -n "$hw_known" ]; then hw_sum=$hw_known; return; fi
  if [ -n "$hw_open" ]; then hw_sum=$(hw_cat | sha256sum); else hw_sum=$(sha256sum <"./$hw_n"); fi || exit 4
  hw_sum=${hw_sum%% *}
}

# Goes where it is and looks at it, or tells why not.
hw_find() {
  hw_way "$path" "$follow" || {
    [ -z "$hw_via" ] || { echo dangling; exit 0; }
    hw_k=0; hw_l=$hw_todo
    while :; do case $hw_l in */*) hw_l=${hw_l#*/}; hw_k=$((hw_k + 1)) ;; *) break ;; esac; done
    if [ -d "./$hw_n" ]; then echo "denied $hw_k"; exit 0; fi
    if [ -e "./$hw_n" ] || [ -L "./$hw_n" ]; then echo "blocked $hw_k"; exit 0; fi
    hw_accounts
    echo "absent $((hw_k + 1))"; exit 0
  }
  if [ ! -e "./$hw_n" ] && [ ! -L "./$hw_n" ]; then
    hw_accounts
    echo "absent 0"; exit 0
  fi
  hw_look 1
  [ -n "$hw_file" ] || { stat -- "./$hw_n" >/dev/null; exit 3; }
  hw_size=${hw_file%%|*}; hw_at=${hw_file#*|}
}

hw_answer() {
  # What has been found out ahead needs no care, and no process.
  hw_known=''
  if [ -n "${hw_foreseen-}" ] && cd -P "${path%/*}/" 2>/dev/null; then
    hw_real=${path%/*} hw_n=${path##*/} hw_open=''
    hw_size=${hw_foreseen%%|*} hw_at=${hw_foreseen#*|}
    case $hw_at in *"|"*"|"*"|"*"|"*) hw_known=${hw_at##*|} hw_at=${hw_at%|*} ;; esac
  else
    hw_find
  fi
  hw_accounts
  if [ -L "./$hw_n" ]; then printf '%s|' "$hw_at"; readlink -n -- "./$hw_n"; exit; fi
  echo "$hw_at|"
  [ -n "$depth" ] || exit 0
  if [ "$depth" = entries ]; then
    [ -d "./$hw_n" ] || exit 0
    printf 'ENTRIES '; hw_k=0
    for hw_e in "./$hw_n"/* "./$hw_n"/.[!.]* "./$hw_n"/..?*; do
      { [ -e "$hw_e" ] || [ -L "$hw_e" ]; } || continue
      printf '%s/' "${hw_e##*/}"; hw_k=$((hw_k + 1)); [ "$hw_k" -lt "$limit" ] || break
    done
    exit 0
  fi
  [ -f "./$hw_n" ] || exit 0
  case $hw_real/ in /proc/*|/sys/*) echo KERNEL; exit 0 ;; esac
  hw_sum=-
  case $depth in
    digest) [ "$hw_size" -gt "$limit" ] || hw_digest ;;
    content)
      if [ "$hw_size" -le "$limit" ]; then echo "CONTENT $hw_size"; hw_cat || exit 4; exit 0; fi ;;
    differing)
      if [ "$hw_size" -le "$limit" ] || [ "$hw_size" = "$size" ]; then hw_digest; fi
      if [ "$hw_sum" != "$sum" ] && [ "$hw_size" -le "$limit" ]; then
        echo "CONTENT $hw_size"; hw_cat || exit 4; exit 0
      fi ;;
  esac
  echo "DIGEST $hw_sum $hw_size"
}
