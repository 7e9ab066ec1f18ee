#!/bin/sh
# Throws the lists of packages of all repositories away, and fetches them anew.
#
# Variables: none
# Prints: what yum says.
# Exit codes: 0; that of yum.
# Relies on: yum; run.sh.

hw_run yum -q clean metadata
hw_run yum -y -q makecache
