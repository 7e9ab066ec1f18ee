#!/bin/sh
# Asks which cron there is, and whether it runs: both write /run/crond.pid while they do (cron(8)). No process is
# started for it.
#
# Variables: none
# Prints: `crond` (Red Hat's) or `cron` (Debian's), with ` runs` behind it if it does; `none`, or `none apt` on a host of
#   Debian's kind.
# Exit codes: 0.
# Relies on: nothing.

if command -v crond >/dev/null; then hw_cron=crond
elif command -v cron >/dev/null; then hw_cron=cron
elif command -v apt-get >/dev/null && ! command -v dnf >/dev/null; then echo none apt; exit 0
else echo none; exit 0; fi
hw_pid=''
if [ -e /run/crond.pid ]; then read -r hw_pid </run/crond.pid; fi
if [ -n "$hw_pid" ] && [ -d "/proc/$hw_pid" ]; then echo "$hw_cron runs"; else echo "$hw_cron"; fi
