# Sets hw_net, unless it is set: the mounts of network file systems, and what is mounted at or below them, a line
# `FSTYPE POINT` each, with `-` for a local one, in the order of mountinfo and escaped as there (proc(5)). On most hosts
# that is little, and no process has to be started to tell for each path where it is.
[ "${hw_net+x}" ] || hw_net=$(awk '{
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
