#!/bin/sh
# Asks for packages, all in one go, and what installs them here. rpm and dpkg are local databases: nothing here uses the
# network.
#
# Variables:
#   names    of packages, at least one
#   removal  not empty: asks also for what stands in the way of removing them
# Prints: `manager NAME` (dnf, yum, apt, none). Then lines of words with a tab between: `i NAME VERSION ARCH` for each
#   that is installed, `missing NAME`, `p NAME PACKAGE` where an installed package provides the name; `dead FILE` for a
#   repository that asks mirrorlist.centos.org, which is gone since July 2024; for a removal `needed TEXT`; `interrupted` where
#   a dpkg was cut off in the middle, `busy PID NAME` where one is at work.
# Exit codes: 0; 3 if dpkg cannot tell.
# Relies on: rpm(8), or dpkg-query(1) and apt-get; awk, sort, grep, ls.

hw_nl='
'
hw_tab='	'
hw_lacks=''
if command -v dnf >/dev/null; then hw_manager=dnf
elif command -v yum >/dev/null; then hw_manager=yum
elif command -v apt-get >/dev/null; then hw_manager=apt
else echo manager none; exit 0; fi
echo "manager $hw_manager"
eval "set -- $names"

# The lines of hw_all that begin with $1 and a tab, without that if $2 is not empty.
hw_lines() {
  printf '%s\n' "$hw_all" | while IFS= read -r hw_l; do
    case $hw_l in "$1$hw_tab"*) printf '%s\n' "${hw_l#"$2"}" ;; esac
  done
}

if [ "$hw_manager" = apt ]; then
  for hw_f in /var/lib/dpkg/updates/[0-9]*; do
    [ -e "$hw_f" ] || continue
    # While a dpkg is at work, that is as it should be. The kernel lists who has its lock.
    hw_lock=$(ls -i /var/lib/dpkg/lock 2>/dev/null)
    hw_pid=$(awk -v end=":${hw_lock%% *}" 'end != ":" && substr($6, length($6) - length(end) + 1) == end { print $5; exit }' /proc/locks)
    if [ -n "$hw_pid" ]; then
      hw_name=
      { read -r hw_name <"/proc/$hw_pid/comm"; } 2>/dev/null
      printf 'busy\t%s\t%s\n' "$hw_pid" "$hw_name"
    else
      echo interrupted
    fi
    break
  done
  # shellcheck disable=SC2016 # for dpkg-query to fill in
  hw_all=$(dpkg-query -W -f '${db:Status-Status}\ti\t${Package}\t${Version}\t${Architecture}\n' -- "$@" 2>/dev/null)
  [ $? -le 1 ] || { echo "dpkg-query failed" >&2; exit 3; }
  hw_gone=''
  for hw_n; do
    case "$hw_nl$hw_all" in
      *"${hw_nl}installed${hw_tab}i$hw_tab${hw_n%%:*}$hw_tab"*) ;;
      *) printf 'missing\t%s\n' "$hw_n"; hw_gone="$hw_gone $hw_n" ;;
    esac
  done
  hw_lines installed "installed$hw_tab"
  # shellcheck disable=SC2016 # for dpkg-query to fill in
  [ -z "$hw_gone" ] || dpkg-query -W -f '${db:Status-Status}\t${Package}\t${Provides}\n' |
    awk -F '\t' -v names="$hw_gone" 'BEGIN { n = split(names, w, " ") }
      $1 == "installed" && $3 != "" {
        gsub(/ *\([^)]*\)/, "", $3); gsub(/ /, "", $3)
        for (k = 1; k <= n; k++) if (index("," $3 ",", "," w[k] ",")) print "p\t" w[k] "\t" $2
      }'
  if [ -n "$removal" ] && [ -n "$hw_all" ]; then
    # shellcheck disable=SC2046 # names of packages
    apt-get -s -q remove -- $(printf '%s\n' "$hw_all" | awk -F '\t' '$1 == "installed" { print $3 }') 2>/dev/null |
      awk '$1 == "Remv" { print "needed\t" $2 }'
  fi
  exit 0
fi
hw_all=$(rpm -q --qf 'i\t%{NAME}\t%{EVR}\t%{ARCH}\n' -- "$@")
hw_have=''
for hw_n; do
  case "$hw_nl$hw_all$hw_nl" in
    *"${hw_nl}package $hw_n is not installed$hw_nl"*) ;;
    *) hw_have=1; continue ;;
  esac
  hw_p=$(rpm -q --whatprovides --qf 'p\t'"$hw_n"'\t%{NAME}\n' -- "$hw_n" 2>/dev/null)
  case $hw_p in
    "p$hw_tab"*) printf '%s\n' "$hw_p" ;;
    *) printf 'missing\t%s\n' "$hw_n"; hw_lacks=1 ;;
  esac
done
hw_lines i ''
if [ -n "$hw_lacks" ]; then
  for hw_f in /etc/yum.repos.d/*.repo; do
    if grep -qs '^[[:space:]]*mirrorlist=.*mirrorlist\.centos\.org' "$hw_f"; then printf 'dead\t%s\n' "$hw_f"; break; fi
  done
fi
if [ -n "$removal" ] && [ -n "$hw_have" ]; then
  # shellcheck disable=SC2046 # names of packages
  rpm -e --test -- $(printf '%s\n' "$hw_all" | awk -F '\t' '$1 == "i" { print $2 }' | sort -u) 2>&1 |
    awk '/ is needed by / { sub(/^[ \t]+/, ""); print "needed\t" $0 }'
fi
exit 0
