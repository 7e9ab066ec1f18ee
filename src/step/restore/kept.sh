# What a run has kept of a path on this host; see hw_record.
#
# hw_kept RUN NAME: reads the manifest of the run. Leaves hw_kept_in, its folder, hw_before, what was there, and hw_afters,
# what the run has made of it, a line each; all as the manifest has them. Returns 1 if nothing is known of the run, 2 if it
# has not touched the path.
#
# hw_stands FILE NAME: what is there now, hw_state (as the manifest says it, but `file` alone), and how that stands to what
# was kept, hw_stand: `back` is as before, `ours` as the run left it, `changed` neither.

hw_kept() {
  hw_backups "$(id -u)"
  hw_kept_in=$hw_b/$1 hw_before='' hw_afters=''
  # shellcheck disable=SC3067 # dash, bash and busybox have -O
  [ -O "$hw_kept_in" ] && [ ! -L "$hw_kept_in" ] && [ -f "$hw_kept_in/manifest" ] || return 1
  while IFS='	' read -r hw_x hw_y hw_l hw_r; do
    [ "$hw_x" = "$2" ] && [ -n "$hw_r" ] || continue
    hw_before=${hw_before:-$hw_y} hw_afters=$hw_afters$hw_l$hw_nl
  done <"$hw_kept_in/manifest"
  [ -n "$hw_before" ] || return 2
}

hw_stands() {
  hw_stand=changed hw_state=other
  if [ -L "$1" ] && [ -z "$follow" ]; then
    hw_link_was "$1"
    hw_field "$hw_was"
    hw_state=$hw_q
  elif [ -f "$1" ]; then hw_state='file'
  elif [ ! -e "$1" ]; then hw_state=absent
  fi
  case $hw_before in
    file\ *)
      if [ "$hw_state" = file ] && cmp -s -- "$hw_kept_in/$2" "$1" &&
        [ "$(stat -L -c %a -- "$1")" = "${hw_before#file }" ]; then hw_stand=back; fi ;;
    "$hw_state") hw_stand=back ;;
  esac
  [ "$hw_stand" = changed ] || return 0
  hw_x=''
  while IFS= read -r hw_l; do
    case $hw_l in
      file\ *)
        [ "$hw_state" = file ] || continue
        hw_x=${hw_x:-$(sha256sum <"$1")}
        [ "${hw_l#file }" != "${hw_x%% *}" ] || hw_stand=ours ;;
      sealed\ *)
        [ "$hw_state" = file ] || continue
        [ "${hw_l#sealed }" != "$(stat -L -c '%i %Y' -- "$1")" ] || hw_stand=ours ;;
      ?*) [ "$hw_l" != "$hw_state" ] || hw_stand=ours ;;
    esac
  done <<HW_END
$hw_afters
HW_END
}
