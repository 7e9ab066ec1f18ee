#!/bin/sh
# Asks what a firewalld zone lets in, now and permanently. At most three calls of firewall-cmd, which starts Python each
# time: two where the zone is named, and two more where rules are not listed word by word.
#
# Where firewalld does not run firewall-cmd ends with 252 (firewall-cmd(1)), and the files are asked. The names of services
# are the names of files (firewalld.service(5)).
#
# Variables:
#   zone     its name; empty: that of `address`
#   address  of the host, or a name of it: the zone of its interface is meant; may be empty, for the default zone
#   rules    list: rich rules, each as it was written, and as it is listed or, where that is not known, empty
#   absent   not empty: they are to be gone, so that a zone without any rule has none of them, whatever they mean
#   offline  not empty: ask about rules also where firewalld does not run
# Prints: `absent` or `absent debian` without firewalld; else `runtime CODE`, the listing, `permanent CODE`, the listing,
#   each followed by `?yes`, `?no` or `?` and an error, a tab and the rule for each rule that is not listed word by word;
#   and a line `services` with all known names.
# Exit codes: 0.
# Relies on: firewall-cmd and firewall-offline-cmd, ip, getent, timeout; zone.sh.

hw_nl='
'
hw_tab='	'

# hw_query TOOL [--permanent]: asks about the rules that the listing in hw_o does not show. With several rules firewall-cmd
# answers `'RULE': yes`, in one call, but in some releases it answers wrongly behind a rule that it does not take: then
# each is asked by itself.
hw_query() {
  hw_b=$1 hw_p=${2-}
  hw_l=$hw_o$hw_nl
  [ -z "$absent" ] || case $hw_l in *"$hw_nl${hw_tab}rule "*) ;; *) return 0 ;; esac
  eval "set -- $rules"
  hw_k=$#
  while [ "$hw_k" -gt 0 ]; do
    case ${2:+$hw_l} in *"$hw_nl$hw_tab$2$hw_nl"*) ;; *) set -- "$@" "--query-rich-rule=$1" ;; esac
    shift 2
    hw_k=$((hw_k - 2))
  done
  hw_a=''
  if [ $# -gt 1 ] && [ "$hw_b" = firewall-cmd ]; then
    hw_a=$(timeout 60 firewall-cmd ${hw_p:+"$hw_p"} ${hw_z:+--zone="$hw_z"} "$@" 2>&1)
    case $hw_a in *Warning:*|*Error:*) hw_a='' ;; esac
  fi
  for hw_q do
    case $hw_a in
      *"'${hw_q#*=}': yes"*) hw_y=yes ;;
      *"'${hw_q#*=}': no"*) hw_y=no ;;
      *) hw_y=$(timeout 60 "$hw_b" ${hw_p:+"$hw_p"} ${hw_z:+--zone="$hw_z"} "$hw_q" 2>&1); hw_c=$?
        case $hw_c$hw_y in 0*) hw_y=yes ;; 1*no) hw_y=no ;; esac ;;
    esac
    # shellcheck disable=SC2086 # one line of it
    { set -f; set -- $hw_y; set +f; }
    printf '?%s\t%s\n' "$*" "${hw_q#*=}"
  done
}

if ! command -v firewall-cmd >/dev/null; then
  if command -v apt-get >/dev/null; then echo absent debian; else echo absent; fi
  exit 0
fi
hw_zone firewall-cmd "$zone" "$address"
hw_o=$(timeout 60 firewall-cmd ${hw_z:+--zone="$hw_z"} --list-all); hw_c=$?
printf 'runtime %s\n%s\n' "$hw_c" "$hw_o"
case $hw_c in
  0)
    while read -r hw_z hw_r && [ -z "$hw_z" ]; do :; done <<HW_END
$hw_o
HW_END
    hw_query firewall-cmd
    hw_o=$(timeout 60 firewall-cmd --permanent --zone="$hw_z" --list-all); hw_c=$?
    printf 'permanent %s\n%s\n' "$hw_c" "$hw_o"
    [ "$hw_c" != 0 ] || hw_query firewall-cmd --permanent ;;
  252)
    hw_zone firewall-offline-cmd "$zone" "$address"
    hw_o=$(timeout 60 firewall-offline-cmd ${hw_z:+--zone="$hw_z"} --list-all); hw_c=$?
    printf 'permanent %s\n%s\n' "$hw_c" "$hw_o"
    [ "$hw_c" != 0 ] || [ -z "$offline" ] || hw_query firewall-offline-cmd ;;
  *) exit 0 ;;
esac
printf services
for hw_f in /usr/lib/firewalld/services/*.xml /etc/firewalld/services/*.xml; do
  hw_f=${hw_f##*/}; printf ' %s' "${hw_f%.xml}"
done
echo
