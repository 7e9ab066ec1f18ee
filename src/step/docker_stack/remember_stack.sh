#!/bin/sh
# Remembers what was deployed of a stack: in a config beside it, which carries its label and so goes with it.
#
# Variables:
#   name    of the stack
#   marker  of the config
#   file    digest of the compose file
# Prints: nothing.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: docker, timeout, sort, sha256sum (coreutils); run.sh, services.sh.

hw_today
timeout -k 2 20 docker config rm "$marker" >/dev/null 2>&1 || :
echo 'what was deployed' | hw_run timeout -k 2 20 docker config create --label "com.docker.stack.namespace=$name" \
  --label "hostwright.file=$file" --label "hostwright.services=$hw_digest" "$marker" - >/dev/null
