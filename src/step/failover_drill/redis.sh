# hw_ask NODE WORD...: one question to one node, at `port`, in the protocol of Redis (RESP 2); prints the answer. Its exit
# code is 0; 2 for an error, 3 for no value, another one if there was no answer. The password, hw_password, goes to the
# client on standard input, the code of the client is the argument: a POSIX shell cannot open a connection.

# shellcheck disable=SC2016 # for bash
hw_client='exec 5<>"/dev/tcp/$1/$2" || exit 1
IFS= read -r password
say() { printf "*%d\r\n" "$#"; for word; do printf "\$%d\r\n%s\r\n" "${#word}" "$word"; done; }
answer() { IFS= read -r line <&5 || exit 1; line=${line%$(printf "\r")}; }
shift 2
{ [ -z "$password" ] || say AUTH "$password"; say "$@"; } >&5
if [ -n "$password" ]; then answer; case $line in +OK) ;; *) echo "$line"; exit 2 ;; esac; fi
answer
case $line in \$-1) exit 3 ;; \$*) answer; echo "$line" ;; -*) echo "$line"; exit 2 ;; *) echo "$line" ;; esac'

hw_ask() {
  hw_node=$1
  shift
  printf '%s\n' "$hw_password" | timeout -k 1 3 bash -c "$hw_client" drill "$hw_node" "$port" "$@" 2>/dev/null 6>&-
}
