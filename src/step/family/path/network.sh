# Sets hw_net, unless it is set: the mounts of network file systems, and what is mounted at or below them, a line
# `FSTYPE POINT` each, with `-` for a local one, in the order of mountinfo and escaped as there (proc(5)). On most hosts
# that is little, and no process has to be started to tell for each path where it is.
#
# The shell reads byte by byte: where much is mounted, as by containers, awk is quicker.
hw_read_mounts() {
  hw_net='' hw_seen='' hw_nets='' hw_much=0
  while read -r hw_x hw_x hw_x hw_x hw_mp hw_m; do
    hw_much=$((hw_much + ${#hw_m} + ${#hw_mp}))
    [ "$hw_much" -lt 6000 ] || return 1
    hw_m=${hw_m#* - }; hw_m=${hw_m%% *}
    case $hw_m in
      nfs|nfs4|cifs|smb3|smbfs|ceph|lustre|afs|glusterfs|9p|fuse.*|autofs) hw_nets="$hw_nets ${hw_mp%/}/" ;;
      *) hw_m=- ;;
    esac
    hw_seen="$hw_seen $hw_m $hw_mp"
  done </proc/self/mountinfo || return 1
  [ -n "$hw_nets" ] || return 0
  set -f
  # shellcheck disable=SC2086 # words have no blanks: they are escaped
  set -- $hw_seen
  while [ $# -gt 0 ]; do
    for hw_x in $hw_nets; do
      case $2/ in
        "$hw_x"*)
          hw_net="$hw_net${hw_net:+
}$1 $2"
          break ;;
      esac
    done
    shift 2
  done
  set +f
}

[ "${hw_net+x}" ] || { hw_read_mounts; } 2>/dev/null || hw_net=$(awk '{
  for (i = 7; i < NF && $i != "-"; i++);
  fs = $(i + 1); at[NR] = $5; type[NR] = "-"
  if (fs ~ /^(nfs|nfs4|cifs|smb3|smbfs|ceph|lustre|afs|glusterfs|9p|fuse\..*|autofs)$/) {
    type[NR] = fs; net[++count] = $5 == "/" ? "/" : $5 "/"
  }
} END {
  for (n = 1; n <= NR; n++) for (i = 1; i <= count; i++) if (index(at[n] "/", net[i]) == 1) {
    print type[n], at[n]; break
  }
}' /proc/self/mountinfo)
