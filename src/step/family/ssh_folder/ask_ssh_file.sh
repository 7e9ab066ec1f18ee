#!/bin/sh
# Asks for a user, for the folder .ssh in his home, and for a file in it.
#
# Variables:
#   user    his name
#   name    of the file
#   remote  seconds that a network file system has to answer; empty: none is touched
#   limit   of the content in bytes
# Prints: `absent` if there is no such user; or `user` with his line of passwd(5), then, if his home is an absolute path, what
#   ask_path.sh says of the folder, the first line of it, and what it says of the file with its content.
# Exit codes: 0; 3 if the name service does not answer; another one if one of them could not be read.
# Relies on: what ask_path.sh does; entries.sh, way.sh, network.sh, escape.sh, far.sh, answer.sh.

hw_entry passwd "$user"
[ -n "$hw_found" ] || { echo absent; exit 0; }
echo "user $hw_found"
path=${hw_found%:*}; path=${path##*:}
case $path in /*) ;; *) exit 0 ;; esac
path=${path%/}/.ssh follow='' owner='' group='' depth='' sum='' size=''
hw_folder=$(hw_answer) || exit
# The target of a link may have line breaks in it.
printf '%s\n' "${hw_folder%%"$hw_nl"*}"
path=$path/$name depth=content
hw_answer
