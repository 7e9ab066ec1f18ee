#!/bin/sh
# Unmounts what is mounted at a path, however often; never lazily, for that leaves users on what seems gone.
#
# Variables:
#   path  the mount point, absolute
# Prints: nothing.
# Exit codes: 0; that of umount(8), or 124 and 137 where it takes too long, with what it said on standard error, who uses
#   the mount point (`BUSY PID NAME`), a hint, and the command.
# Relies on: umount (util-linux), systemctl and systemd-escape for automounts, timeout, awk, ls; escape.sh, mountinfo.sh,
#   mount_point.sh, holders.sh.

hw_off() {
  if hw_ours "$path"; then timeout -k 5 30 umount -- "$path" 2>&1; return; fi
  hw_into "$path" 2>&1
  hw_o=$(hw_mounted id "$path")
  hw_drop "$hw_o" "$hw_o" 2>&1
}

hw_n=0
while :; do
  case $(hw_mounted type "$path") in
    '') exit 0 ;;
    autofs)
      hw_unit=$(hw_automount "$path")
      hw_command="systemctl stop $hw_unit"
      hw_said=$(systemctl stop "$hw_unit" 2>&1) ;;
    *)
      hw_command="umount -- $path"
      hw_said=$(hw_off) ;;
  esac
  hw_code=$?
  if [ "$hw_code" = 0 ]; then
    hw_n=$((hw_n + 1)); [ "$hw_n" -lt 20 ] || { echo "$path is mounted again and again" >&2; exit 1; }
    continue
  fi
  printf '%s\n' "$hw_said" >&2
  case $hw_code:$hw_said in
    *busy*)
      hw_holders "$path"
      echo "hint: end the processes listed as BUSY, then run again" ;;
    124:*|137:*) echo "hint: umount did not end within 30 s: is the server reachable?" ;;
  esac >&2
  echo "command: $hw_command" >&2
  exit "$hw_code"
done
