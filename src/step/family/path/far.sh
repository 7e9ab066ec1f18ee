# Tells what lies on a network file system, where nothing may be looked at: its server may be dead. By hw_net of
# network.sh, without a process; escape.sh.
#
# hw_far PATH: whether it is, or lies on, one. Leaves in hw_fs its type (`-` or nothing for a local one), and in hw_k how
# long its mount point is.

hw_far() {
  hw_fs='' hw_k=0
  [ -n "$hw_net" ] || return 1
  hw_escape "$1"
  set -f; IFS='
'
  for hw_m in $hw_net; do
    hw_mp=${hw_m#* }; hw_mp=${hw_mp%/}
    case ${hw_q%/}/ in "$hw_mp"/*) [ "${#hw_mp}" -lt "$hw_k" ] || { hw_k=${#hw_mp}; hw_fs=${hw_m%% *}; } ;; esac
  done
  set +f; unset IFS
  case $hw_fs in ''|-) return 1 ;; esac
}
