# hw_content: puts the content on file descriptor 3 at a path, all of it or nothing, with a backup of what was there: what
# write_file.sh does, of which the variables are told there. By way.sh, put.sh.

hw_other() {
  hw_l=${hw_file#*|}
  hw_fail "$path is not a file but a ${hw_l%%|*}; nothing was changed" "hint: move it away by hand: it may hold data"
}

# What the manifest says of the new content, in hw_now: its digest. From that of a secret one could guess it; there it
# says which file holds it, "$1".
hw_named() {
  hw_now="file $sum"
  [ -z "$mask" ] || hw_now="sealed $(stat -c '%i %Y' -- "$1")" || exit 1
}

# The new file gets the name. The backup is a second name of the old one where that can be: it needs no space and is whole
# at once; a copy where its mode must be another one, for the old one may have more names.
hw_replace() {
  if [ -n "$hw_bak" ]; then
    if [ -n "$hw_less" ] || [ "$backup" = last ] || ! ln -T -- "$hw_o" "$hw_bak" 2>/dev/null; then hw_copy "$hw_o"; fi
  fi
  hw_named "./$temporary"
  hw_record "$hw_was" "$hw_now"
  hw_e=$(mv -fT -- "./$temporary" "$hw_u/$hw_n" 2>&1) || {
    # The file is its own backup.
    [ -z "$hw_bak" ] || rm -f -- "$hw_bak"
    hw_disk
  }
  [ -z "$hw_new" ] || hw_label -- "$hw_u/$hw_n"
}

# The file that is there gets the new content, and stays the same inode.
hw_write() {
  hw_first=$hw_bak
  if [ -z "$hw_bak" ]; then
    hw_bak=./$temporary.bak
    hw_e=$(cp --preserve=all -- "$hw_o" "$hw_bak" 2>&1) || { hw_e="No space left for a copy of the old content"; hw_disk; }
  else
    hw_copy "$hw_o"
  fi
  hw_named "$hw_o"
  hw_record "$hw_was" "$hw_now"
  hw_e=$(dd if="./$temporary" of="$hw_o" bs=65536 conv=fsync status=none 2>&1) || {
    hw_l=$(sha256sum <"$hw_o")
    if [ "${hw_l%% *}" != "$hw_is" ] && ! dd if="$hw_bak" of="$hw_o" bs=65536 conv=fsync status=none; then
      if [ -z "$hw_first" ]; then
        mv -fT -- "$hw_bak" "$hw_u/$temporary.half"
        hw_bak=$hw_real/$temporary.half
      fi
      hw_fail "$hw_e" "$path is half written; its old content is in $hw_bak"
    fi
    rm -f -- "$hw_bak"
    hw_disk
  }
  # Its time is another one now.
  if [ -n "$mask" ]; then
    hw_named "$hw_o"
    hw_record 'file' "$hw_now"
  fi
  hw_to=$hw_o
  hw_set
}

hw_content() {
  umask 077
  if ! hw_way "$path" "$follow"; then
    if [ -z "$make_folders" ] || [ -n "$hw_via" ] || [ -e "./$hw_n" ] || [ -L "./$hw_n" ]; then hw_lost; fi
    hw_look
    case $hw_todo in */*) hw_n=$hw_n/${hw_todo%/*} ;; esac
    hw_folders "$hw_n" "$hw_todo"
    hw_arrive
  fi
  [ "$hw_n" != . ] || hw_fail "$path is not a file but a directory"
  hw_new=1 hw_f=''
  if [ -e "./$hw_n" ] || [ -L "./$hw_n" ]; then hw_f=1; fi
  hw_look $hw_f
  case $hw_file in
    '') ;;
    *'|regular file|'*|*'|regular empty file|'*) hw_new='' ;;
    *'|symbolic link|'*|*'|fifo|'*|*'|socket|'*) [ -n "$force" ] || hw_other ;;
    *) hw_other ;;
  esac
  hw_stage
  if [ -z "$hw_new" ]; then
    if [ -n "$in_place" ]; then hw_grasp; else hw_hold; fi
    hw_o=$hw_to
  fi
  # excl: into no file that somebody else has made; fsync: the bytes are on the disk before they get the name.
  hw_e=$(dd of="./$temporary" bs=65536 conv=excl,fsync <&3 2>&1) || {
    # Without the counts behind it.
    hw_e=${hw_e%%"$hw_nl"[0-9]*}
    hw_disk
  }
  hw_l='' hw_is=''
  if [ -n "$hw_new" ]; then hw_is=absent
  elif [ -n "$expected$in_place" ] || [ "$backup" = last ]; then hw_l=$hw_o
  # The new content may be there already, when an earlier try was cut off.
  elif [ -n "$backup" ] && [ "${size:-${hw_file%%|*}}" = "${hw_file%%|*}" ]; then hw_l=$hw_o
  fi
  # Of what dd tells, the line with the bytes is the third.
  case $hw_l/$hw_e in
    "/"*"$hw_nl${size:-no} byte"*) ;;
    *)
      hw_e=$(sha256sum -- "./$temporary" ${hw_l:+"$hw_l"} 2>&1) || hw_disk
      [ "${hw_e%% *}" = "$sum" ] || hw_fail "the content for $path did not arrive whole; nothing was changed"
      if [ -n "$hw_l" ]; then
        hw_is=${hw_e#*"$hw_nl"}; hw_is=${hw_is#\\}; hw_is=${hw_is%% *}
      fi ;;
  esac
  if [ -n "$expected" ]; then
    case $hw_is in
      "$expected"|"$sum") ;;
      *) hw_fail "$path was changed by someone else in the meantime; it was not touched" "hint: run again" ;;
    esac
  fi
  hw_to=./$temporary
  if [ -n "$hw_new" ]; then
    bits=${bits:-${mode:-00644}}
    hw_set_new
  elif [ -z "$in_place" ]; then
    hw_e=$(cp --attributes-only --preserve=all --no-preserve=timestamps -- "$hw_o" "./$temporary" 2>&1) || hw_disk
    # Without the rights to give it away, `cp` says nothing.
    if [ "$hw_me" != 0 ] && case $owner in [!:]*) false ;; esac; then
      hw_l=$(stat -c %u -- "$hw_o" "./$temporary")
      [ "${hw_l%%"$hw_nl"*}" = "${hw_l#*"$hw_nl"}" ] ||
        hw_fail "cannot keep the owner of $path; nothing was changed" "hint: set \`become = true\`"
    fi
    # Where others may write, what was looked at may be another file than the one that it was copied from.
    if [ -n "$hw_open" ] || [ "$hw_me" != 0 ] || ! hw_is_set; then hw_set; fi
  fi
  if [ -n "$validate" ]; then
    hw_as=$hw_real/$temporary
    # By its name, somebody else's file could be looked at.
    if [ -n "$hw_open" ]; then
      exec 4<"./$temporary"
      hw_as=/proc/self/fd/4
    fi
    (eval "$validate") >&2 || {
      hw_l=$?
      printf '%s\n' "the new content of $path is not valid; nothing was changed" "command: $validator" >&2
      exit "$hw_l"
    }
  fi
  hw_backup
  hw_l=${hw_file#*|*|}; hw_l=${hw_l%%|*}
  # How much less of its mode the old content may have from now on.
  hw_less=
  if [ -z "$hw_new" ] && [ $((0$hw_l & 0${mode:-7777} & 0${mask:-7777})) != $((0$hw_l)) ]; then
    hw_less=$(printf %05o $((0$hw_l & 0${mode:-7777} & 0${mask:-7777})))
  fi
  # One that is always of the state before: none of no file.
  if [ -n "$hw_new" ] && [ "$backup" = last ]; then rm -f -- "$hw_bak"; fi
  hw_was=absent
  if [ -z "$hw_new" ]; then hw_was='file'
  elif [ -L "$hw_u/$hw_n" ]; then hw_link_was "$hw_u/$hw_n"
  elif [ -n "$hw_file" ]; then hw_was=other
  fi
  # Nothing of it changes but, maybe, its owner and mode; and which file it is.
  if [ "$hw_is" = "$sum" ]; then hw_bak='' hw_d=${mask:+$hw_d}; fi
  if [ -n "$hw_new" ]; then hw_bak=''; fi
  # Of several changes in a run the state before the first counts.
  if [ -n "$hw_bak" ] && [ "$backup" != last ] && [ -e "$hw_bak" ]; then hw_bak=''; fi
  if [ -n "$in_place" ] && [ -z "$hw_new" ]; then hw_write; else hw_replace; fi
}
