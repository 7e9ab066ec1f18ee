//! A watcher on hosts for what must never be in the arguments of a process.

use crate::lab::on;

/// What join tokens begin with.
pub const TOKEN: &str = "SWMTKN-";

/// Writes down on each host what in the arguments of processes begins with `secret`, until [`unseen`].
pub fn watch(hosts: &[&str], secret: &str) {
    // The brackets keep the watcher from seeing itself.
    let (first, rest) = secret.split_at(1);
    let watch = format!(
        r#"nohup sh -c 'while sleep 0.1; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" "\n" |
        grep -a -o "[{first}]{rest}[A-Za-z0-9-]*" >>/root/seen; done' >/dev/null 2>&1 </dev/null & echo $! >/root/watcher"#
    );
    for host in hosts {
        on(host, &watch);
        // A watcher that sees nothing would prove nothing.
        on(host, &format!("sh -c 'sleep 2; :' {}", marker(secret)));
    }
}

/// Ends [`watch`], and asserts that it saw nothing but that it can see.
pub fn unseen(hosts: &[&str], secret: &str) {
    for host in hosts {
        on(host, "kill $(cat /root/watcher)");
        assert_eq!(on(host, "sort -u /root/seen"), marker(secret), "in the arguments of a process of {host}");
    }
}

fn marker(secret: &str) -> String {
    format!("{}-seen-it-can", secret.trim_end_matches('-'))
}
