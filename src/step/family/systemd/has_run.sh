# hw_has_run UNIT: whether it was run since boot, to its end and with success, by the journal's last word on a start of it
# (SD_MESSAGE_UNIT_STARTED). Where a condition has kept it from running, that has no invocation (before systemd 232 no
# entry at all).
hw_has_run() {
  hw_j=$(timeout 10 journalctl -q -b -n 1 -o export MESSAGE_ID=39f53479d3a045ac8e11786248231fbf "UNIT=$1" 2>/dev/null)
  case $hw_j in *INVOCATION_ID=[0-9a-f]*) return 0 ;; ""|*INVOCATION_ID=*) return 1 ;; esac
}
