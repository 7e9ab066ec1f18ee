//! A watcher on hosts for what must never be in the arguments of a process.

use crate::lab::on;

/// Writes down on each host what arguments of processes look like a join token, until [`unseen`].
pub fn watch(hosts: &[&str]) {
    // The brackets keep the watcher from seeing itself.
    let watch = r#"nohup sh -c 'while sleep 0.1; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" "\n" |
        grep -a -o "[S]WMTKN-[a-z0-9-]*" >>/root/tokens; done' >/dev/null 2>&1 </dev/null & echo $! >/root/watcher"#;
    for host in hosts {
        on(host, watch);
        // A watcher that sees nothing would prove nothing.
        on(host, "sh -c 'sleep 2; :' SWMTKN-seen-it-can");
    }
}

/// Ends [`watch`], and asserts that it saw no token.
pub fn unseen(hosts: &[&str]) {
    for host in hosts {
        on(host, "kill $(cat /root/watcher)");
        let seen = on(host, "sort -u /root/tokens");
        assert_eq!(seen, "SWMTKN-seen-it-can", "{host}");
    }
}
