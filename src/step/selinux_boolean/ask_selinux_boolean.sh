#!/bin/sh
# Asks the kernel for a switch of the SELinux policy (selinuxfs: its value now and the one to come, `1 1`), and the policy
# store for what was set to last. The store's place is `store-root` of semanage.conf(5), before RHEL 7.3 a folder deeper.
# No process is started for it.
#
# Variables:
#   name  of the boolean
# Prints: `disabled`; or `missing`; or `now DIGIT stored DIGIT`, with `default` for what the policy itself says and
#   `unknown` if there is no store that we know.
# Exit codes: 0; 3 if the store cannot be read.
# Relies on: nothing.

[ -e /sys/fs/selinux/enforce ] || { echo disabled; exit 0; }
# The kernel ends it with no line break, which to `read` is a failure.
hw_now=''
{ read -r hw_now hw_rest </sys/fs/selinux/booleans/"$name"; } 2>/dev/null || [ -n "$hw_now" ] || { echo missing; exit 0; }
hw_type=targeted hw_root=/var/lib/selinux
while IFS='=' read -r hw_key hw_value; do
  case $hw_key in SELINUXTYPE) hw_type=${hw_value%% *} ;; esac
done </etc/selinux/config
if [ -r /etc/selinux/semanage.conf ]; then
  while IFS=' =' read -r hw_key hw_value; do
    case $hw_key in store-root) hw_root=$hw_value ;; esac
  done </etc/selinux/semanage.conf
fi
hw_stored=unknown
for hw_d in "$hw_root/$hw_type/active" "/etc/selinux/$hw_type/active" "/var/lib/selinux/$hw_type/active" \
  "/etc/selinux/$hw_type/modules/active"; do
  [ -d "$hw_d" ] || continue
  [ -r "$hw_d" ] && [ -x "$hw_d" ] || { echo "cannot read $hw_d: the step needs become = true" >&2; exit 3; }
  hw_stored=default
  if [ -e "$hw_d/booleans.local" ]; then
    while IFS='=' read -r hw_key hw_value; do
      [ "$hw_key" != "$name" ] || hw_stored=${hw_value## }
    done <"$hw_d/booleans.local"
  fi
  break
done
echo "now $hw_now stored $hw_stored"
