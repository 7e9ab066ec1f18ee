# Sets hw_over, the text of an awk program that reads mountinfo (proc(5)), to be followed by what is to be done with it.
#
# Of each mount, by its number: id, up (the id of the mount that it is on), at (where), type, src, dev, line (all of it).
# over(PATH, SKIP): the number of the mount that the path leads to, as the kernel walks: from the root down, at each
# mount the first mount point on the way. What is mounted over, at the same path or above it, is not seen. `chain` is
# then the numbers of those mounted right at the path. SKIP is a mount point that does not count; may be empty.

# shellcheck disable=SC2016 # awk's own
hw_over='{ for (i = 7; i < NF && $i != "-"; i++);
  n++; id[n] = $1; up[n] = $2; at[n] = $5; type[n] = $(i + 1); src[n] = $(i + 2); dev[n] = $3; line[n] = $0; has[$1] = 1 }
function over(path, skip,   cur, k, best, m) {
  cur = 0; chain = ""
  while (1) {
    best = 0
    for (k = 1; k <= n; k++) {
      if (skip != "" && at[k] == skip) continue
      if (cur ? up[k] != id[cur] || k == cur : (up[k] in has) && up[k] != id[k]) continue
      m = at[k] == "/" ? "/" : at[k] "/"
      if (index(path "/", m) == 1 && (!best || length(at[k]) < length(at[best]))) best = k
    }
    if (!best) return cur
    cur = best
    if (at[cur] == path) chain = chain " " cur
  }
}
'
