#!/bin/sh
# Asks which time zone the host has (localtime(5)), and whether its data knows the wanted one. No process is started for it
# but readlink, and find where that does not.
#
# Variables:
#   zone  the wanted one
# Prints: `link TARGET`, `file` or `none` for /etc/localtime; `name NAME` if there is /etc/timezone, which is Debian's; `systemd`
#   if that runs; then `there`; or `no data`; or `missing` and behind it the names of all zones that there are, a line each.
# Exit codes: 0; 3 if one of them cannot be read.
# Relies on: readlink; find (of GNU or busybox).

if [ -L /etc/localtime ]; then
  hw_l=$(readlink -- /etc/localtime) || exit 3
  echo "link $hw_l"
elif [ -e /etc/localtime ]; then echo file
else echo none; fi
if [ -e /etc/timezone ]; then
  hw_l=''
  read -r hw_l </etc/timezone || [ -n "$hw_l" ] || [ ! -s /etc/timezone ] || exit 3
  echo "name $hw_l"
fi
[ ! -d /run/systemd/system ] || echo systemd
cd /usr/share/zoneinfo 2>/dev/null || { echo no data; exit 0; }
if [ -f "./$zone" ]; then echo there; exit 0; fi
# Where the tables are left out, as in images of containers, Etc is there at most.
[ -d ./Europe ] || { echo no data; exit 0; }
echo missing
find . -type d '(' -name posix -o -name right ')' -prune -o -type f ! -name '*.*' ! -name '*leap*' -print | while read -r hw_l; do
  case $hw_l in ./[A-Z]*) echo "${hw_l#./}" ;; esac
done
exit 0
