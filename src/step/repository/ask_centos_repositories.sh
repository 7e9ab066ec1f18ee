#!/bin/sh
# Asks for the release, and on a CentOS that has come to its end for the lines of its repository files.
#
# Variables: none
# Prints: `os ID VERSION`; then `F FILE` for each file, and each of its lines behind `L `, or behind `U ` where the last
#   one has no line break, as far as awk can tell (that of GNU).
# Exit codes: 0.
# Relies on: awk, on such a CentOS.

hw_id='' hw_version=''
while IFS='=' read -r hw_key hw_value; do
  hw_value=${hw_value%\"}; hw_value=${hw_value#\"}
  case $hw_key in ID) hw_id=$hw_value ;; VERSION_ID) hw_version=$hw_value ;; esac
done </etc/os-release
echo "os $hw_id $hw_version"
case "$hw_id $hw_version" in
  "centos 7"|"centos 8")
    set -- /etc/yum.repos.d/CentOS*.repo
    [ -e "$1" ] || exit 0
    awk 'FNR == 1 { print "F " FILENAME } { print (PROCINFO["version"] != "" && RT == "" ? "U " : "L ") $0 }' "$@" ;;
esac
