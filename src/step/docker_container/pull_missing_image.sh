#!/bin/sh
# Pulls an image unless it is there.
#
# Variables:
#   image  its reference
# Prints: nothing.
# Exit codes: 0; another one with what went wrong on standard error.
# Relies on: docker, which knows the credentials of registries; curl or docker; api.sh, run.sh.

hw_call 60 GET "/images/$image/json" >/dev/null 2>&1 || hw_run docker pull -q "$image" >/dev/null
