# Sets hw_folder: where notifications are written down, a file PLAYBOOK@HANDLER each.

if [ "$(id -u)" = 0 ]; then
  hw_folder=/var/lib/hostwright/pending
else
  hw_folder=${XDG_STATE_HOME:-$HOME/.local/state}/hostwright/pending
fi
