# hw_holders PATH: prints `BUSY PID NAME` for each process with a directory or file open there or below. Links in /proc are
# read, never followed.
hw_holders() {
  # shellcheck disable=SC2012 # their names have no odd characters, and one process reads them all
  ls -l /proc/[0-9]*/cwd /proc/[0-9]*/root /proc/[0-9]*/fd 2>/dev/null | hw_p=$1 awk 'BEGIN { p = ENVIRON["hw_p"] }
    /^\/proc\/[0-9]+\/fd:$/ { split($0, a, "/"); pid = a[3]; next }
    { i = index($0, " -> "); if (!i) next
      t = substr($0, i + 4); if (t != p && index(t, p "/") != 1) next
      n = split(substr($0, 1, i - 1), w, " ")
      if (w[n] ~ /^\/proc\//) { split(w[n], a, "/"); pid = a[3] }
      if (seen[pid]++) next
      c = "?"; getline c <("/proc/" pid "/comm"); close("/proc/" pid "/comm"); print "BUSY " pid " " c }'
}
