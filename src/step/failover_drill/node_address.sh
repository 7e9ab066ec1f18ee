# hw_address_of NODE: where a node is reached. A manager may know itself as 0.0.0.0 (moby/moby#27728).

hw_address_of() {
  hw_found=$(timeout -k 2 20 docker node inspect \
    --format '{{with .ManagerStatus}}{{.Addr}}{{else}}{{.Status.Addr}}:0{{end}}' "$1" 2>/dev/null) || return 1
  hw_found=${hw_found%:*} hw_found=${hw_found#[}
  echo "${hw_found%]}"
}
