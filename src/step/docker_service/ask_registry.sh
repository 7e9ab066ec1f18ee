#!/bin/sh
# Asks the registry of an image for its digest and its platforms, as `docker service create` does: all nodes then run the
# same image, and nodes of other platforms get no task. Without an answer each node looks for itself.
#
# Variables:
#   image  with its tag
# Reads: the value of `X-Registry-Auth` on file descriptor 3, a line that is empty for none.
# Prints: what the registry tells, as the engine's API has it; nothing if it does not.
# Exit codes: 0.
# Relies on: curl or docker; api.sh, request.sh.

IFS= read -r hw_auth <&3
if hw_found=$(hw_request 30 GET "/distribution/$image/json" ''); then
  printf '%s\n' "$hw_found"
else
  echo "no registry told the digest of $image: each node looks for it itself, and they may find different images" >&2
fi
