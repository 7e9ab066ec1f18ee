#!/bin/sh
# Mounts a share of a server, or any other file system, unless something is mounted there.
#
# Where other users may write a folder above the mount point, the folder that was opened is mounted on, not the path: mount
# is told not to look the path up again (`-c`). The helpers of network file systems know only paths: if the path led
# elsewhere meanwhile, what they mounted there is unmounted at once.
#
# Variables:
#   path     the mount point, absolute; it is there
#   source   what is mounted, as mount(8) takes it: SERVER:/PATH, a device, a directory
#   fstype   its type
#   options  for mount(8), with commas between; may be empty
#   flags    of a bind mount, which it gets once it is there, with commas between; may be empty
#   server   the name of the server of a share, for hints; may be empty
# Prints: nothing.
# Exit codes: 0; that of mount(8), or 124 and 137 where it takes too long, with what it said on standard error, a
#   hint, and the command.
# Relies on: mount and umount (util-linux), timeout, awk, sed, ls, tr; escape.sh, mountinfo.sh, mount_point.sh.

hw_mount() { timeout -k 5 60 mount "$@" -t "$fstype" ${options:+-o "$options"} -- "$source" "$hw_on" 2>&1; }

[ -z "$(hw_mounted type "$path")" ] || exit 0
hw_command="mount -t $fstype${options:+ -o $options} -- $source $path"
if hw_ours "$path"; then
  hw_on=$path
  hw_said=$(hw_mount)
  hw_code=$?
else
  hw_into "$path"
  hw_before=$(awk '{ print $1 }' /proc/self/mountinfo)
  if [ -x "/sbin/mount.$fstype" ] || [ -x "/usr/sbin/mount.$fstype" ]; then
    hw_on=$path
    hw_said=$(hw_mount)
  else
    hw_on=.
    hw_said=$(hw_mount -c)
  fi
  hw_code=$?
  if [ "$hw_code" = 0 ] && [ -z "$(hw_mounted type "$path")" ]; then
    hw_new=$(hw_b=$hw_before hw_t=$fstype awk '
      BEGIN { n = split(ENVIRON["hw_b"], b, "\n"); for (i = 1; i <= n; i++) old[b[i]] = 1 }
      !($1 in old) {
        for (i = 7; i < NF && $i != "-"; i++);
        if (ENVIRON["hw_t"] ~ /^(none|auto|bind)$/ || index($(i + 1), ENVIRON["hw_t"]) == 1) print $1, $5
      }' /proc/self/mountinfo)
    hw_ids=$(printf '%s\n' "$hw_new" | sed 's/ .*//' | tr '\n' ' ')
    ( cd -P -- "../${path##*/}" && hw_drop "$hw_ids" ) >/dev/null 2>&1 ||
      printf '%s\n' "$hw_new" | while read -r hw_o hw_o; do
        hw_o=$(hw_unescape "$hw_o")
        ( cd -P -- "$hw_o" && hw_drop "$hw_ids" ) 2>&1 || echo "it may still be mounted on $hw_o" >&2
      done
    hw_moved "what was mounted came to be elsewhere, and is unmounted there"
  fi
fi
if [ "$hw_code" = 0 ] && [ -n "$flags" ]; then
  hw_f=$(hw_mounted flags "$path")
  for hw_o in $(printf '%s' "$flags" | tr , ' '); do
    case ,$hw_f, in *,"$hw_o",*) continue ;; esac
    hw_into "$path"
    hw_said=$(mount -c -o "remount,bind,$hw_f,$flags" -- . 2>&1)
    hw_code=$?
    hw_command="mount -c -o remount,bind,$hw_f,$flags -- ."
    break
  done
fi
[ -z "$hw_said" ] || printf '%s\n' "$hw_said" >&2
[ "$hw_code" != 0 ] || exit 0
case $hw_code:$hw_said in
  *'access denied by server'*) echo "hint: $server does not export this path to this host: compare its /var/lib/nfs/etab with the addresses of this host" ;;
  *'No route to host'*) echo "hint: a firewall on the way rejects it, or $server is down: open the service nfs (2049/tcp) there" ;;
  *'Connection refused'*) echo "hint: nothing listens on port 2049 of $server: is nfs-server running?" ;;
  *'imed out'*|124:*|137:*) echo "hint: $server does not answer: is it up, and does a firewall drop port 2049?" ;;
  *'No such file or directory'*) echo "hint: $server has no such directory, or does not export it to this host" ;;
  *'version or transport protocol is not supported'*|*'Protocol not supported'*) echo "hint: $server does not serve this NFS version: change vers=" ;;
  *'Stale file handle'*) echo "hint: the exported directory was made anew on $server: run exportfs -r there" ;;
  *'busy or already mounted'*) echo "hint: something is mounted there already, or a process stands in $path" ;;
  *'you might need a /sbin/mount.'*) echo "hint: install the tools of this file system (nfs-utils, nfs-common on Debian)" ;;
  *'unknown filesystem type'*) echo "hint: the kernel of this host does not have this file system" ;;
  *'bad option'*|*'ncorrect mount option'*|*'nvalid argument'*) echo "hint: one of the options is not known to this host" ;;
  *'rpc.statd is not running'*) echo "hint: NFSv3 needs rpcbind and rpc.statd on this host: start them, or use vers=4" ;;
  *'ailed to resolve server'*|*'Resource temporarily unavailable'*|*'ame or service not known'*) echo "hint: this host cannot resolve $server: use its address" ;;
  *'ermission denied'*|*'Operation not permitted'*) echo "hint: give the step the rights of root, with become = true" ;;
esac >&2
echo "command: $hw_command" >&2
exit "$hw_code"
