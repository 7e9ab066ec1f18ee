#!/bin/sh
# Asks for a unit, what triggers it, and where there is no such unit for those that have it as their alias.
#
# `systemctl show` prints `Key=Value` lines in an order of its own, a blank line between units, leaves out keys that it
# does not know, and ends with 0 for a unit that is not there (systemctl(1)). A unit that nobody refers to is forgotten
# once it has run to its end, so that only the journal knows. nfs-server is active even with no threads at all, so these
# are read from the kernel (nfsd(7)).
#
# Variables:
#   unit  its full name
# Prints: `Debian=yes` where packages come from apt; `Threads=N` of nfs-server; what systemctl says of the unit; `Ran=yes`
#   for one that systemd has forgotten and the journal knows to have run; after a blank line what it says of the units
#   that trigger it; after `Namesakes=` between blank lines, of those that would have the name as their alias. Without
#   systemd: the name of the first process.
# Exit codes: 0; 9 without systemd; 124 or 137 if it does not answer; that of systemctl.
# Relies on: systemctl and journalctl (systemd), timeout, grep; escape.sh, has_run.sh.

hw_show() {
  timeout 20 systemctl show -p Id -p Names -p LoadState -p LoadError -p ActiveState -p SubState -p UnitFileState \
    -p Type -p RemainAfterExit -p Result -p ExecMainExitTimestampMonotonic -p SourcePath -p NeedDaemonReload \
    -p WantedBy -p RequiredBy -p UpheldBy -p BoundBy -p TriggeredBy -- "$@"
}

# The names of the files that have the unit as their alias.
hw_find() {
  # shellcheck disable=SC1003 # backslashes
  { hw_q=$unit; hw_swap '\' '\\'; hw_swap . '[.]'; }
  hw_k=${unit##*.}
  timeout 10 grep -lsE "^[[:blank:]]*Alias[[:blank:]]*=(.*[[:blank:]])?$hw_q([[:blank:]]|\$)" \
    -- /etc/systemd/system/*."$hw_k" /run/systemd/system/*."$hw_k" /usr/local/lib/systemd/system/*."$hw_k" /usr/lib/systemd/system/*."$hw_k" /lib/systemd/system/*."$hw_k"
}

# sd_booted(3)
[ -d /run/systemd/system ] && command -v systemctl >/dev/null || { cat /proc/1/comm; exit 9; }
if command -v apt-get >/dev/null; then echo Debian=yes; fi
if [ "$unit" = nfs-server.service ]; then
  if read -r hw_n </proc/fs/nfsd/threads; then echo "Threads=$hw_n"; fi 2>/dev/null
fi
hw_nl='
'
hw_s=$(hw_show "$unit") || exit
printf '%s\n' "$hw_s"
case $hw_s in *Type=oneshot*)
  case $hw_s in *RemainAfterExit=yes*) ;; *ActiveState=inactive*)
    case $hw_s in *ExecMainExitTimestampMonotonic=[1-9]*) ;; *)
      hw_id=${hw_s##*"$hw_nl"Id=}; hw_id=${hw_id#Id=}; hw_id=${hw_id%%"$hw_nl"*}
      ! hw_has_run "$hw_id" || echo Ran=yes ;;
    esac ;;
  esac ;;
esac
case $hw_s in *"TriggeredBy="[!"$hw_nl"]*)
  hw_t=${hw_s##*TriggeredBy=}; hw_t=${hw_t%%"$hw_nl"*}
  # shellcheck disable=SC2086 # names
  { echo; hw_show $hw_t; } ;;
esac
case $hw_s in *LoadState=not-found*)
  hw_c=''
  for hw_f in $(hw_find); do
    hw_f=${hw_f##*/}
    case $hw_f in *@.*) continue ;; esac
    case " $hw_c " in *" $hw_f "*) ;; *) hw_c="$hw_c $hw_f" ;; esac
  done
  # shellcheck disable=SC2086 # names
  if [ "$hw_c" ]; then echo; echo Namesakes=; echo; hw_show $hw_c; fi ;;
esac
