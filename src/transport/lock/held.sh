# hw_held RUN: whether a run other than RUN holds the lock on descriptor 8. Who holds it shares it, once it has written
# down who it is; so what cannot be shared is being taken, or looked at, in this very moment.
hw_held() {
  hw_n=0
  until flock -n -x 8; do
    if flock -n -s 8; then
      flock -u 8
      hw_owner=
      { read -r hw_x hw_owner <"$hw_at/owner"; } 2>/dev/null
      [ "$hw_owner" != "$1" ]
      return
    fi
    hw_n=$((hw_n + 1))
    [ "$hw_n" -lt 50 ] || return 0
    sleep 0.1
  done
  flock -u 8
  return 1
}
