# What is mounted at a path, and how to get there and unmount it so that nobody leads root elsewhere. The path may lie in
# a folder that another user may write, who could put a link to any other place under a name in it. So a name is never
# used twice: one goes into the folder, looks where that led, and acts on where one is. Uses mountinfo.sh, escape.sh.
#
# hw_mounted type|flags|id PATH: prints this of what is mounted there, on top; nothing if nothing is.
# hw_into PATH: goes there name by name, and ends the program where a name leads elsewhere than to itself. A folder that
#   is moved away meanwhile shows, for its path is asked of the kernel.
# hw_moved TEXT: ends the program, for $path has changed under way.
# hw_drop IDS [ELSE]: unmounts the mount that the current folder is the root of, if it is one of these; kernels before
#   3.15 do not tell, then it counts as ELSE. Its name in the folder around it is sure: nobody can rename a mount point.
# hw_ours PATH: whether root alone may change what the names above it mean. If so, a path is as good as an opened folder,
#   and mount(8) may see to helpers and its own records as ever.
# hw_automount PATH: prints the name of systemd's unit for an automount there.

hw_mounted() {
  hw_escape "$2"
  hw_e=$hw_q hw_k=$1 awk "$hw_over"'END {
    t = over(ENVIRON["hw_e"], ""); if (at[t] != ENVIRON["hw_e"]) exit
    split(line[t], w, " "); k = ENVIRON["hw_k"]; print k == "flags" ? w[6] : k == "id" ? id[t] : type[t]
  }' /proc/self/mountinfo
}

hw_into() {
  cd / || exit 1
  hw_at=''; hw_r=${1#/}/
  while [ -n "$hw_r" ]; do
    hw_c=${hw_r%%/*}; hw_r=${hw_r#*/}
    [ -n "$hw_c" ] || continue
    hw_at=$hw_at/$hw_c
    cd -P -- "./$hw_c" 2>/dev/null || {
      [ -e "./$hw_c" ] || [ -L "./$hw_c" ] || { echo "cannot go to $hw_at: it is gone" >&2; exit 1; }
      hw_moved "$hw_at cannot be entered"
    }
    [ "$PWD" = "$hw_at" ] || hw_moved "$hw_at leads to $PWD"
  done
}

hw_moved() {
  echo "$path has changed under way: $1" >&2
  echo "hint: another user may write a folder above it, and did so just now: see who, then run again" >&2
  exit 1
}

hw_id() {
  while read -r hw_k hw_v; do [ "$hw_k" != mnt_id: ] || echo "$hw_v"; done </proc/self/fdinfo/9
} 9<.

hw_drop() {
  hw_v=$(hw_id)
  case " $1 " in *" ${hw_v:-${2:--}} "*) ;; *) echo "$PWD is not what is to be unmounted" >&2; return 1 ;; esac
  hw_c=${PWD##*/}
  cd -P .. && timeout -k 5 30 umount -i -c -- "./$hw_c"
}

hw_ours() {
  hw_d=$1; set --
  while hw_d=${hw_d%/*}; [ -n "$hw_d" ]; do set -- "$hw_d" "$@"; done
  # shellcheck disable=SC2012 # only mode and owner are read
  ls -lnd -- / "$@" 2>/dev/null | awk 'BEGIN { ok = 1 }
    !/^d/ || $3 != 0 || /^........w/ || (/^.....w/ && ($4 != 0 || /^..........[+]/)) { ok = 0 }
    END { exit !ok }'
}

hw_automount() { systemd-escape -p --suffix=automount -- "$1"; }
