#!/bin/sh
# Asks which lines of a file of known hosts mean a host by a hash of its name (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). Where
# none is hashed, no process is started for that but the one that looks.
#
# Variables:
#   user    whose home the file is in; may be empty
#   path    absolute, or the name of the file in .ssh of that home
#   names   of hosts, at least one
#   remote  seconds that a network file system has to answer; empty: none is touched
#   limit   of the content in bytes: of a larger file nothing is told
# Prints: `NUMBER NAME` for each line, counted from 1; `untold` if there are hashed names and nobody who can read them.
# Exit codes: 0; 3 if the name service does not answer; another one if the file could not be read.
# Relies on: what ask_path.sh does; grep; ssh-keygen (openssh-clients), if there is one; entries.sh, way.sh, network.sh, escape.sh,
#   far.sh, answer.sh.

if [ -n "$user" ]; then
  hw_entry passwd "$user"
  hw_x=${hw_found%:*}; hw_x=${hw_x##*:}
  case $hw_x in /*) ;; *) exit 0 ;; esac
  path=${hw_x%/}/.ssh/$path
fi
follow='' owner='' group='' depth=digest sum='' size='' hw_most=$limit
limit=0
hw_x=$(hw_answer) || exit
# That it is no plain file, or lies far away, is told by who asks for its content.
case $hw_x in "regular file|"*"DIGEST - "*) ;; *) exit 0 ;; esac
[ "${hw_x##* }" -le "$hw_most" ] || exit 0
hw_way "$path" '' || exit 0
hw_look
hw_cat | grep -q '^|1|' || exit 0
command -v ssh-keygen >/dev/null || { echo untold; exit 0; }
eval "set -- $names"
for hw_name; do
  hw_cat | ssh-keygen -F "$hw_name" -f /dev/stdin 2>/dev/null | while read -r hw_a hw_b hw_c hw_d hw_e hw_f hw_rest; do
    case "$hw_a $hw_b $hw_d $hw_e" in "# Host found: line") echo "$hw_f $hw_name" ;; esac
  done
done
exit 0
