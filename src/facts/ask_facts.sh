#!/bin/sh
# Asks what is known of a host before any step: its system, addresses, tools and clock.
#
# Variables: none
# Prints: lines KEY=VALUE; what there is nothing of may be missing.
# Exit codes: 0.
# Relies on: /etc/os-release (os-release(5)), uname, id, date (coreutils); ip and getenforce where they are.

# shellcheck source=/dev/null
if [ -r /etc/os-release ]; then . /etc/os-release; fi
echo "os.id=$ID"
echo "os.version=$VERSION_ID"
echo "os.like=$ID_LIKE"
echo "os.name=$PRETTY_NAME"
uname -mrn | { read -r hw_name hw_release hw_machine; echo "hostname=$hw_name"; echo "kernel=$hw_release"; echo "arch=$hw_machine"; }
if [ -r /etc/machine-id ]; then
  read -r hw_id </etc/machine-id
  echo "machine_id=$hw_id"
fi
for hw_tool in dnf yum apt-get; do
  if command -v "$hw_tool" >/dev/null; then echo "package_manager=${hw_tool%-get}"; break; fi
done
if [ -d /run/systemd/system ]; then echo systemd=yes; fi
if command -v getenforce >/dev/null; then echo "selinux=$(getenforce)"; fi
while read -r hw_key hw_value hw_rest; do
  if [ "$hw_key" = MemTotal: ]; then echo "memory=$hw_value"; break; fi
done </proc/meminfo
hw_count=0
while read -r hw_key hw_rest; do
  case $hw_key in processor) hw_count=$((hw_count + 1)) ;; esac
done </proc/cpuinfo
echo "cpus=$hw_count"
echo "user=$(id -un)"
echo "home=$HOME"
echo "time=$(date +%s)"
if command -v ip >/dev/null; then
  ip -o addr show | while read -r hw_number hw_interface hw_family hw_address hw_rest; do
    case $hw_family in inet|inet6) echo "address=$hw_interface $hw_address" ;; esac
  done
fi
