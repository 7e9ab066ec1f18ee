#!/bin/sh
# Fetches the lists of packages of a repository alone, so that a wrong address shows here. If that fails, what the run
# wrote is taken back: one repository that cannot be read keeps dnf from installing anything from any other.
#
# Variables:
#   manager       `dnf`, `yum`, `apt-get`
#   repositories  their ids; empty: all that the host has
#   path          the file that describes them
#   temporary     a name for what is being made, of no other path
# Prints: what the manager says.
# Exit codes: 0; 1 after the file was taken back.
# Relies on: dnf, yum or apt-get; GNU coreutils; way.sh, put.sh.

hw_set_aside() {
  follow='' backup='run'
  hw_arrive
  hw_look
  hw_stage
  hw_backup
  hw_e=$(mv -fT -- "$hw_u/$hw_n" "$hw_u/$hw_n.failed" 2>&1) || hw_disk
  [ -e "$hw_bak" ] || return 0
  hw_e=$(dd if="$hw_bak" of="./$temporary" bs=65536 conv=excl,fsync status=none 2>&1) || hw_disk
  hw_e=$(cp --attributes-only --preserve=all -- "$hw_bak" "./$temporary" 2>&1) || hw_disk
  hw_e=$(mv -T -- "./$temporary" "$hw_u/$hw_n" 2>&1) || hw_disk
}

eval "set -- $repositories"
hw_k=$#
case $manager in
  apt-get)
    set -- apt-get -q update -o "Dir::Etc::sourcelist=$path" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 \
      -o APT::Update::Error-Mode=any ;;
  *)
    for hw_id; do set -- "$@" "--enablerepo=$hw_id"; done
    shift "$hw_k"
    [ "$hw_k" = 0 ] || set -- '--disablerepo=*' "$@"
    set -- "$manager" -y -q "$@" makecache
    case $manager/$hw_k in yum/0|dnf/*) ;; *) set -- "$@" fast ;; esac ;;
esac
"$@" && exit 0
hw_set_aside
printf '%s\n' "its lists of packages could not be fetched: the file was taken back, and is now $path.failed" >&2
printf 'command: %s\n' "$*" >&2
exit 1
