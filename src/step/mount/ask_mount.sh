#!/bin/sh
# Asks what is mounted at a path, whether it answers, and who uses it.
#
# No path is touched that can be on a network file system: a dead server would hold whoever asks for ever.
# /proc/self/mountinfo answers without asking a server (proc_pid_mountinfo(5)).
#
# Variables:
#   path      the mount point, absolute
#   helper    a program that mount(8) needs for the type (`mount.nfs`); may be empty
#   bound     a source that is a path of its own: the directory that is bound, or the file that is mounted; may be empty
#   device    a source that is a device: its path; may be empty
#   server    the server in the source, if it has to be looked up; may be empty
#   accounts  list: options that name users and groups (`uid=nobody`)
#   holders   not empty: look for processes that keep it from being unmounted
# Prints: a word and its values a line. Where the path goes through a symbolic link: `LINK`, `TO` (what is in it) and
#   `REAL` (where the path leads), and no more. Else: `HELPER yes`; `MOUNT` and the line of mountinfo for each mount at the
#   path, the last on top; `BELOW` and a mount point under it; `PEER` and the line of another mount of an NFS server;
#   `DEVICE` and its numbers; `BOUND` and where the path of the source leads, `SOURCE` and the mount that it is on;
#   `TOP TYPE TYPE-AROUND DEVICE SOURCE`; `ALIAS` and a mount point of fstab that leads to the path by a link. Then, if
#   nothing is mounted, `DIR ...` and `HAS NAME`; else what is known of it beyond mountinfo (`LIVE`, `POOL`, `BACKING`,
#   `ADDRESS`, `ALL`, `MEMORY`, `ACCOUNT`), `ALIVE CODE:TEXT` (nothing after `ALIVE` if there was no answer), `USER PID
#   CONTAINER NAME` for processes of other mount namespaces, and `BUSY PID NAME`.
# Exit codes: 0; 3 if the kernel does not tell.
# Relies on: awk, stat, readlink, timeout, head (coreutils), ls, sed, sort, getent; network.sh, escape.sh, far.sh,
#   mountinfo.sh, holders.sh.

# Follows $1 name by name as the kernel does; then hw_real is where it leads, hw_link the first link on the way, if there
# is one, and hw_to what is in that. Behind a network file system it looks no further.
hw_walk() {
  hw_done=''; hw_rest=$1/; hw_link=''; hw_to=''; hw_i=0
  while [ -n "$hw_rest" ]; do
    hw_c=${hw_rest%%/*}; hw_rest=${hw_rest#*/}
    case $hw_c in ''|.) continue ;; ..) hw_done=${hw_done%/*}; continue ;; esac
    if hw_far "$hw_done/$hw_c"; then hw_done=$hw_done/$hw_c/$hw_rest; break; fi
    if [ -L "$hw_done/$hw_c" ]; then
      hw_l=$(readlink -- "$hw_done/$hw_c") || break
      [ -n "$hw_link" ] || { hw_link=$hw_done/$hw_c; hw_to=$hw_l; }
      hw_i=$((hw_i + 1)); [ "$hw_i" -lt 40 ] || break
      case $hw_l in /*) hw_done='' ;; esac
      hw_rest=$hw_l/$hw_rest
    else
      hw_done=$hw_done/$hw_c
    fi
  done
  hw_real=${hw_done%/}
}

command -v awk >/dev/null || { echo 'awk: not found' >&2; exit 3; }
hw_walk "$path"
if [ -n "$hw_link" ]; then
  printf 'LINK %s\nTO %s\nREAL %s\n' "$hw_link" "$hw_to" "$hw_real"
  exit 0
fi
if [ -n "$helper" ]; then
  if command -v "$helper" >/dev/null; then echo 'HELPER yes'; else echo 'HELPER no'; fi
fi
hw_s=''
if [ -n "$bound" ]; then
  hw_walk "$bound"; hw_escape "$hw_real"; hw_s=$hw_q
  printf 'BOUND %s\n' "$hw_s"
fi
[ -z "$device" ] || echo "DEVICE $(stat -L -c '%t %T' -- "$device" 2>/dev/null)"

hw_escape "$path"
hw_all=$(hw_e=$hw_q hw_s=$hw_s awk "$hw_over"'END {
  e = ENVIRON["hw_e"]; s = ENVIRON["hw_s"]
  t = over(e, ""); split(chain, c, " "); top = at[t] == e ? t : 0
  for (k = 1; k in c; k++) print "MOUNT " line[c[k]]
  for (k = 1; k <= n; k++) {
    if (index(at[k], e "/") == 1 && under(k, top)) print "BELOW " at[k]
    if (top && k != top && type[top] ~ /^nfs/ && type[k] ~ /^nfs/ && at[k] != e) print "PEER " line[k]
  }
  if (s != "" && (k = over(s, e))) print "SOURCE " line[k]
  if (top) t = over(e, e)
  print "TOP " (top ? type[top] : "-") " " type[t] " " dev[top] " " src[top]
}
function under(k, top,   j, i) {
  if (!top) return 1
  for (j = 0; j < 100; j++) {
    if (up[k] == id[top]) return 1
    for (i = 1; i <= n && id[i] != up[k]; i++);
    if (i > n || i == k) return 0
    k = i
  }
  return 0
}' /proc/self/mountinfo) || exit 3
printf '%s\n' "$hw_all"

if [ -r /etc/fstab ]; then
  while read -r hw_a hw_b hw_c || [ -n "$hw_a" ]; do
    case $hw_a$hw_b in '#'*) continue ;; */*) hw_a=$hw_b ;; *) continue ;; esac
    case $hw_a in *\\*) hw_a=$(hw_unescape "$hw_a") ;; esac
    hw_walk "$hw_a"
    [ -z "$hw_link" ] || [ "$hw_real" != "$path" ] || printf 'ALIAS %s\n' "$hw_b"
  done </etc/fstab
fi

# shellcheck disable=SC2086 # to be split
{ set -f; set -- ${hw_all##*TOP }; set +f; }
hw_type=$1 hw_dev=$3 hw_src=$4
if [ "$hw_type" = - ]; then
  if ! hw_far "$path"; then
    if [ -d "$path" ]; then
      stat -c 'DIR %a %U' -- "$path"
      # shellcheck disable=SC2012 # what is odd in a name may be replaced: people read it
      ls -A -- "$path" | head -n 3 | sed 's/^/HAS /'
    elif [ -e "$path" ]; then echo 'DIR other'
    else echo 'DIR absent'; fi
  fi
  exit 0
fi

# Who is who.
case $hw_src in
  /dev/*)
    if [ -n "$device" ]; then
      echo "LIVE $(stat -L -c '%t %T' -- "$hw_src" 2>/dev/null)"
      # A file system on several devices shows one of them.
      if [ "$hw_type" = btrfs ]; then
        hw_a=$(readlink -f -- "$device"); hw_b=$(readlink -f -- "$hw_src")
        for hw_c in /sys/fs/btrfs/*/devices; do
          [ ! -e "$hw_c/${hw_a##*/}" ] || [ ! -e "$hw_c/${hw_b##*/}" ] || echo POOL
        done
      fi
    elif [ -n "$bound" ]; then
      case $hw_src in /dev/loop*)
        hw_a=/sys/block/${hw_src##*/}/loop/backing_file
        [ ! -r "$hw_a" ] || { IFS= read -r hw_b <"$hw_a"; printf 'BACKING %s\n' "$hw_b"; } ;;
      esac
    fi ;;
esac
if [ -n "$server" ]; then
  case $hw_type:$hw_src in
    nfs*:"$server":*) ;;
    nfs*) timeout -s KILL 5 getent ahosts "$server" | sed 's/ .*//; s/^/ADDRESS /' | sort -u ;;
  esac
fi
case $hw_type in
  ext[234])
    hw_a=$(readlink "/sys/dev/block/$hw_dev"); hw_a=/proc/fs/ext4/${hw_a##*/}/options
    if [ -r "$hw_a" ]; then
      hw_b=''; while read -r hw_c; do hw_b=$hw_b,$hw_c; done <"$hw_a"
      printf 'ALL %s\n' "${hw_b#,}"
    fi ;;
  tmpfs) while read -r hw_a hw_b hw_c; do [ "$hw_a" != MemTotal: ] || echo "MEMORY $hw_b"; done </proc/meminfo ;;
esac
eval "set -- $accounts"
for hw_o do
  case $hw_o in *uid=*) hw_a=passwd ;; *) hw_a=group ;; esac
  hw_a=$(timeout 10 getent "$hw_a" "${hw_o#*=}") && { hw_a=${hw_a#*:*:}; printf 'ACCOUNT %s %s\n' "${hw_a%%:*}" "$hw_o"; }
done

# What is mounted answers, or does not. Its type is in the list of network.sh if it has a server.
[ "$hw_type" != autofs ] || exit 0
case "
$hw_net" in *"
$hw_type "*)
  # Who asks a dead server sleeps until it is back, and cannot be killed: nobody waits for that process.
  hw_a=$( ( { hw_b=$(timeout -s KILL 5 stat -f -c %T -- "$path" 2>&1); echo "$?:$hw_b"; } 2>/dev/null & ) |
    timeout -s KILL 6 head -n 1)
  echo "ALIVE $hw_a" ;;
esac

# Processes of other mount namespaces, with the container that they are in.
hw_d=$hw_dev awk 'BEGIN { d = ENVIRON["hw_d"]
  while ((getline l <"/proc/self/mountinfo") > 0) { split(l, w, " "); own[w[1]] = 1 }
  for (n = 1; n < ARGC; n++) {
    f = ARGV[n] "/mountinfo"
    while ((getline l <f) > 0) {
      split(l, w, " ")
      if (w[3] != d || (w[1] in own) || w[7] ~ /^(shared|master):/) continue
      own[w[1]] = 1; c = "?"; g = "-"
      getline c <(ARGV[n] "/comm"); close(ARGV[n] "/comm")
      while ((getline k <(ARGV[n] "/cgroup")) > 0)
        if (match(k, /(docker|libpod|crio|containerd)[-:\/][0-9a-f]+/)) {
          g = substr(k, RSTART, RLENGTH); sub(/^[a-z]+[-:\/]/, "", g); g = substr(g, 1, 12)
        }
      close(ARGV[n] "/cgroup")
      print "USER " substr(ARGV[n], 7) " " g " " c
    }
    close(f)
  } }' /proc/[0-9]*
if [ -n "$holders" ]; then hw_holders "$path"; fi
