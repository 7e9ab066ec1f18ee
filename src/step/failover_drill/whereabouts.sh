# hw_node_of TASK: the inventory name of the node that has the task. Host names of nodes may be equal.

hw_node_of() {
  hw_id=$(timeout -k 2 20 docker inspect --type task --format '{{.NodeID}}' "$1") || return 0
  [ -n "$hw_id" ] || { echo 'no node'; return 0; }
  hw_address=$(hw_address_of "$hw_id") || hw_address=$hw_id
  hw_name_of "$hw_address" || echo "$hw_address"
}
