# What is done to a container by its name, in a moment; stopping has no bound, and is left to `docker`.
#
# hw_start NAME, hw_rename NAME NEW, hw_remove NAME
#
# hw_back OLD NAME: gives OLD its name NAME back and starts it, and says so on standard error.
# Relies on: api.sh.

hw_start() { hw_call 180 POST "/containers/$1/start" >/dev/null; }
hw_rename() { hw_call 60 POST "/containers/$1/rename?name=$2" >/dev/null; }
hw_remove() { hw_call 120 DELETE "/containers/$1?force=1" >/dev/null; }
hw_back() { hw_rename "$1" "$2" && hw_start "$2" && echo 'the old container runs again' >&2; }
