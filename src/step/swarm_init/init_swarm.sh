#!/bin/sh
# Makes a swarm of which this host is the first manager. The command line would print the join token; the API answers
# with the node id alone.
#
# Variables:
#   request  what the API is asked for, JSON
# Prints: the node id.
# Exit codes: 0; 1 with what the engine says.
# Relies on: curl or docker; api.sh.

hw_call 90 POST /swarm/init "$request"
