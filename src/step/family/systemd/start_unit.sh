#!/bin/sh
# Starts, restarts or reloads a unit and watches whether it stays up.
#
# Before that, systemd reads its files if they have changed. `NeedDaemonReload` says so of a file that systemd has read,
# but not of a drop-in in a folder that is new: it has a list of the folders of its own (systemd 252,
# `unit_find_dropin_paths`). So the drop-ins on the disk are looked up in `DropInPaths`: the first of a name wins
# (systemd.unit(5)); an empty one, or a link to /dev/null, counts for none.
#
# Variables:
#   unit   its full name
#   verb   `start`, `restart` or `reload-or-restart`
#   fresh  not empty: systemd has just read all files of units
# Prints: nothing.
# Exit codes: 0; 1 if it does not start or stay up, with why and the end of its journal on standard error.
# Relies on: systemctl and journalctl (systemd), sleep that takes fractions, timeout; run.sh, has_run.sh.

hw_say() {
  echo "$unit: $1" >&2
  journalctl -u "$unit" -n 20 --no-pager -o cat >&2
  [ -z "${2-}" ] || echo "command: $2" >&2
  exit 1
}

# The value of a key.
hw_of() { case $hw_now in *"$1="*) hw_v=${hw_now##*"$1="}; echo "${hw_v%%
*}" ;; esac; }

hw_stale() {
  case $hw_now in *NeedDaemonReload=yes*) return 0 ;; esac
  hw_read=" $(hw_of DropInPaths) " hw_seen=' '
  for hw_d in /etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system; do
    for hw_n in $(hw_of Names) "${unit%%@*}@.${unit##*.}"; do
      for hw_f in "$hw_d/$hw_n.d"/*.conf; do
        [ -e "$hw_f" ] || continue
        case $hw_seen in *" ${hw_f##*/} "*) continue ;; esac
        hw_seen="$hw_seen${hw_f##*/} "
        [ -s "$hw_f" ] || continue
        case $hw_read in *" $hw_f "*) ;; *) return 0 ;; esac
      done
    done
  done
  return 1
}

if [ -z "$fresh" ]; then
  hw_now=$(systemctl show -p NeedDaemonReload -p Names -p DropInPaths -- "$unit")
  if hw_stale; then hw_run systemctl daemon-reload; fi
fi
systemctl "$verb" -- "$unit" || hw_say "did not start" "systemctl $verb -- $unit"
hw_n=0
while :; do
  hw_now=$(systemctl show -p Type -p ActiveState -p SubState -p ConditionResult -p ConditionTimestampMonotonic -p TriggeredBy -- "$unit")
  case $hw_now in
    *ActiveState=failed*) hw_say "failed right after its start" ;;
    *SubState=auto-restart*) hw_say "ended right after its start, and systemd starts it again and again" ;;
    *ActiveState=inactive*)
      # One that nobody refers to is forgotten at its end, with all that was known of it.
      case $hw_now in
        *Type=oneshot*ConditionTimestampMonotonic=0*)
          hw_has_run "$unit" || hw_say "was not run: does a condition of its unit not hold?" ;;
        *ConditionTimestampMonotonic=[1-9]*)
          case $hw_now in *ConditionResult=no*) hw_say "was not started: a condition of its unit does not hold" ;; esac ;;
      esac
      case $hw_now in
        *Type=oneshot*|*TriggeredBy=*.socket*|*TriggeredBy=*.path*) ;;
        *Type=*) hw_say "does not run any more right after its start; what is meant to end has Type=oneshot, and what a timer starts is kept by its timer" ;;
      esac ;;
  esac
  # A unit that tells when it is ready has said so by now; another one may still fall over.
  case $hw_now in *Type=simple*|*Type=exec*|*Type=idle*) ;; *) break ;; esac
  hw_n=$((hw_n + 1))
  [ "$hw_n" -lt 4 ] || break
  sleep 0.5
done
