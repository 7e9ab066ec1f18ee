//! What `ssh` says when no connection comes about, and what to do about it. Pure.

use super::TransportError;

/// Why `ssh` gave up.
pub(super) struct Refused {
    pub(super) error: TransportError,
    /// The host, or a jump host, was too busy to talk: worth another try.
    pub(super) again: bool,
    /// It was a jump host or a proxy command that hung up, and with `ControlPersist` `ssh` throws away what that
    /// one said.
    pub(super) proxied: bool,
    /// It did not take the password.
    pub(super) password: bool,
}

/// What `ssh` calls the other side where it speaks through a jump host or a proxy command.
pub(super) const PROXY: &str = "UNKNOWN port 65535";

/// Stands in the log in place of all that a host sent.
pub(super) const FLOOD: &str = "it sends text without end before the login";

/// What `ssh` says, what we say, and what to do. The first that matches counts: causes come before consequences.
/// `{}` is the destination.
const KNOWN: &[(&str, &str, &str)] = &[
    (
        FLOOD,
        "{} is no host to log in to",
        "check `address` and `port` in the inventory, and who answers there",
    ),
    (
        "REVOKED HOST KEY DETECTED",
        "the host key of {} is revoked",
        "somebody has marked it as such in known_hosts: set the host up with another key",
    ),
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host key of {} is another one than in known_hosts",
        "find out why before anything else; if the host was set up anew, `ssh-keygen -R ADDRESS` removes the old key",
    ),
    (
        "Host key verification failed",
        "",
        "`hostwright hosts --scan` shows the fingerprints of all hosts that are not known yet, to compare them at once, \
         and adds their keys",
    ),
    (
        "Could not resolve hostname",
        "the name of {} cannot be resolved",
        "check `address` in the inventory, and DNS",
    ),
    (
        "Too many authentication failures",
        "{} refuses the login after too many keys",
        "say which key to use: ssh_options = [\"IdentitiesOnly=yes\", \"IdentityFile=...\"]",
    ),
    (
        "account has expired",
        "{} refuses the login",
        "the account there has an end: `chage -l USER` on the host shows it, `chage -E -1 USER` takes it away",
    ),
    (
        "users are not permitted to log in",
        "{} lets only root in now",
        "it starts or goes down (pam_nologin(8)): try again, or log in as root",
    ),
    (
        "Permission denied (",
        "{} refuses the login",
        "check `user`, that the key is in the agent (`ssh-add -l`) or named by IdentityFile, and authorized_keys there; \
         with a password only: --ask-password, then `hostwright trust` puts a key there",
    ),
    (
        "Unable to negotiate",
        "{} has no encryption in common with this ssh",
        "an old host: see HostKeyAlgorithms, KexAlgorithms and Ciphers in ssh_config(5), for ssh_options",
    ),
    (
        "Connection refused",
        "{} refuses the connection",
        "check that sshd runs there, and `port` in the inventory",
    ),
    (
        "No route to host",
        "there is no route to {}",
        "check that the host is up, and its address and firewall",
    ),
    ("Network is unreachable", "there is no route to {}", "check the network of the controller"),
    (
        "timed out",
        "{} does not answer in time",
        "check that the host is up, its address and firewall; --connect-timeout waits longer",
    ),
    (
        "too long",
        "the path of the control socket is too long",
        "set XDG_RUNTIME_DIR or TMPDIR to a shorter path",
    ),
    (
        "Bad configuration option",
        "ssh does not know an option",
        "check ssh_options and the ssh configuration",
    ),
    ("command-line", "ssh does not accept an option", "check ssh_options in the inventory"),
    ("Can't open user config file", "ssh cannot read its configuration", "check ssh_config and --ssh-config"),
    ("terminating,", "ssh cannot use its configuration", "check ssh_options and the ssh configuration"),
    ("unsupported option", "ssh does not accept an option", "check ssh_options and the ssh configuration"),
];

/// What `ssh` says of a key before it is refused for want of one, and what to do about it.
const KEYS: &[(&str, &str)] = &[
    ("bad permissions", "others may read the file of the key, so ssh does not use it: `chmod 600 FILE`"),
    (
        "agent refused operation",
        "the agent has the key but does not sign: it wants to be asked first, is locked, or its token is gone; \
         try `ssh-add -l`, then remove the key with `ssh-add -d` and add it again",
    ),
    ("communication with agent failed", "the agent does not answer: look at SSH_AUTH_SOCK and `ssh-add -l`"),
    (
        "Load key ",
        "ssh cannot read the key: IdentityFile names a private key in a form it knows, readable by you",
    ),
    ("no such identity", "there is no such key: check IdentityFile"),
    ("Identity file ", "there is no such key: check IdentityFile"),
];

/// What `ssh` says when the other side hung up before saying who it is: `MaxStartups`, or a penalty for too many
/// connections (`sshd_config(5)`); from a jump host too.
const BUSY: &[&str] =
    &["kex_exchange_identification", "Connection reset by", "Connection closed by", "Exceeded MaxStartups"];

/// Reads the log of an `ssh` that failed to connect to `destination`.
pub(super) fn read(log: &str, destination: &str) -> Refused {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let unreachable = |message: String, hint: &str, again: bool| Refused {
        error: TransportError::Unreachable { message, hint: Some(hint.to_owned()), lost: false },
        again,
        proxied: again && log.contains(PROXY),
        password: false,
    };
    let jump = jump_host(&lines);
    let whose = jump.map(|jump| format!("the jump host {jump} of {destination}"));
    let destination = whose.as_deref().unwrap_or(destination);
    if lines.iter().any(|line| line.contains("Permission denied (")) {
        for (needle, hint) in KEYS {
            if let Some(said) = lines.iter().find(|line| line.contains(needle)) {
                return unreachable(format!("{destination} refuses the login: {}", gist(said)), hint, false);
            }
        }
    }
    for (needle, message, hint) in KNOWN {
        if let Some(said) = lines.iter().rev().find(|line| line.contains(needle)) {
            // In the same words for all hosts, so that it is told once.
            let message = match jump {
                _ if !message.is_empty() => message.replace("{}", destination),
                Some(jump) => format!("the host key of its jump host {jump} is not known yet"),
                None => "its host key is not known yet".into(),
            };
            // The rest of that line is noise for host keys, and the gist otherwise.
            let message =
                if needle.starts_with(['R', 'H']) { message } else { format!("{message}: {}", gist(said)) };
            return unreachable(message, hint, false);
        }
    }
    if let Some(said) = lines.iter().find(|line| BUSY.iter().any(|needle| line.contains(needle))) {
        return unreachable(
            format!("{destination} hangs up before the login: {}", gist(said)),
            "too many connections at once for its MaxStartups (or a jump host's): use fewer --forks; \
             or something on the host turns this controller away (fail2ban, hosts.deny)",
            true,
        );
    }
    let said = lines.last().map_or("ssh said nothing", |line| gist(line));
    unreachable(
        format!("cannot connect to {destination}: {said}"),
        "try `ssh -v` to that host with the same options",
        false,
    )
}

/// What became of the key of a host to which nobody logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Known,
    Unknown,
    /// Another one is known.
    Changed,
    /// It did not come to that.
    NotSeen,
}

/// Reads the log of an `ssh` that was not to log in.
pub(super) fn key(log: &str) -> Key {
    let lines: Vec<&str> = log.lines().map(str::trim).collect();
    let says = |needle: &str| lines.iter().any(|line| line.contains(needle));
    match () {
        // All of it is about a jump host, or about the way.
        () if says(PROXY) || says("REVOKED HOST KEY") => Key::NotSeen,
        () if says("REMOTE HOST IDENTIFICATION HAS CHANGED") => Key::Changed,
        () if says("Host key verification failed") => Key::Unknown,
        // What comes after the key.
        () if says("Permission denied (") || says("Too many authentication failures") => Key::Known,
        () if says("No supported authentication methods") => Key::Known,
        () => Key::NotSeen,
    }
}

/// The jump host that stopped us, if one did: it hung up on us after the `ssh` to it said why.
fn jump_host<'a>(lines: &[&'a str]) -> Option<&'a str> {
    lines.iter().find(|line| line.contains(PROXY))?;
    // The way beyond it is closed, not the jump host.
    if lines.iter().any(|line| line.contains("open failed") || line.contains("forwarding failed")) {
        return None;
    }
    lines.iter().find_map(|line| {
        let between = |before: &str, after: &str| {
            let rest = &line[line.find(before)? + before.len()..];
            rest.split_once(after).map(|(name, _)| name)
        };
        between("connect to host ", " port ")
            .or_else(|| between("Could not resolve hostname ", ":"))
            .or_else(|| between("host key is known for ", " and "))
            .or_else(|| between("Host key for ", " has changed"))
            .or_else(|| between("@", ": Permission denied ("))
    })
}

/// Whether the login was refused for want of a key and nothing was said of any: a locked one may be the reason, of
/// which `ssh` says nothing when it must not ask.
pub(super) fn may_be_locked(log: &str) -> bool {
    let refused = |line: &str| line.contains("Permission denied (") && line.contains("publickey");
    log.lines().any(refused) && !KEYS.iter().any(|(needle, _)| log.contains(needle)) && !log.contains(PROXY)
}

/// A key that needs a passphrase, and no agent has it.
pub(super) fn locked(key: &str, destination: &str) -> TransportError {
    TransportError::Unreachable {
        message: format!(
            "{destination} refuses the login: the key {key} is locked by a passphrase, and no agent has it"
        ),
        hint: Some(format!(
            "unlock it once with `ssh-add {key}` (where no agent runs, first `eval $(ssh-agent)`), or name another \
             key by IdentityFile"
        )),
        lost: false,
    }
}

/// Why a connection that was there is gone, by the end of the log.
pub(super) fn lost(log: &str, destination: &str) -> TransportError {
    let why = log.lines().rev().map(str::trim).find(|line| {
        ["Timeout,", "closed by", "Connection reset", "Broken pipe", "disconnect"]
            .iter()
            .any(|needle| line.contains(needle))
    });
    TransportError::Unreachable {
        message: match why {
            Some(why) => format!("lost the connection to {destination}: {}", gist(why)),
            None => format!("lost the connection to {destination}"),
        },
        hint: None,
        lost: true,
    }
}

/// Without the name of the program and without a carriage return at the end.
fn gist(line: &str) -> &str {
    line.trim().strip_prefix("ssh: ").unwrap_or_else(|| line.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(log: &str) -> (String, bool) {
        let refused = read(log, "db1");
        match refused.error {
            TransportError::Unreachable { message, hint: Some(_), lost: false } => (message, refused.again),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn knows_what_ssh_says() {
        let cases = [
            (
                "@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n@@@@@\r\nHost key verification failed.\r\n",
                "the host key of db1 is another one than in known_hosts",
            ),
            (
                "No ED25519 host key is known for [127.0.0.1]:2222 and you have requested strict checking.\r\nHost key verification failed.\r\n",
                "its host key is not known yet",
            ),
            (
                "ssh: Could not resolve hostname db1: Name or service not known\r\n",
                "the name of db1 cannot be resolved: Could not resolve hostname db1: Name or service not known",
            ),
            (
                "root@db1: Permission denied (publickey,password).\r\n",
                "db1 refuses the login: root@db1: Permission denied (publickey,password).",
            ),
            (
                "ssh: connect to host db1 port 22: Connection refused\r\n",
                "db1 refuses the connection: connect to host db1 port 22: Connection refused",
            ),
            (
                "Connection timed out during banner exchange\r\nConnection to 10.0.0.1 port 22 timed out\r\n",
                "db1 does not answer in time: Connection to 10.0.0.1 port 22 timed out",
            ),
            (
                "channel 0: open failed: connect failed: No route to host\r\nstdio forwarding failed\r\nkex_exchange_identification: Connection closed by remote host\r\n",
                "there is no route to db1: channel 0: open failed: connect failed: No route to host",
            ),
            (
                "command-line: line 0: Bad configuration option: foo\r\n",
                "ssh does not know an option: command-line: line 0: Bad configuration option: foo",
            ),
            ("", "cannot connect to db1: ssh said nothing"),
            (
                "@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\nPermissions 0644 for '/k' are too open.\nLoad key \"/k\": bad permissions\r\nroot@db1: Permission denied (publickey).",
                "db1 refuses the login: Load key \"/k\": bad permissions",
            ),
            (
                "Load key \"/k\": Permission denied\r\nroot@db1: Permission denied (publickey).",
                "db1 refuses the login: Load key \"/k\": Permission denied",
            ),
            (
                "sign_and_send_pubkey: signing failed for ED25519 \"me\" from agent: agent refused operation\nroot@db1: Permission denied (publickey).",
                "db1 refuses the login: sign_and_send_pubkey: signing failed for ED25519 \"me\" from agent: agent refused operation",
            ),
            (
                "no such identity: /k: No such file or directory\nssh: connect to host db1 port 22: Connection refused",
                "db1 refuses the connection: connect to host db1 port 22: Connection refused",
            ),
            (
                "Your account has expired; please contact your system administrator.\nConnection closed by 10.0.0.1 port 22",
                "db1 refuses the login: Your account has expired; please contact your system administrator.",
            ),
            (
                "ssh: connect to host gate port 22: Connection refused\r\nkex_exchange_identification: Connection closed by remote host\r\nConnection closed by UNKNOWN port 65535",
                "the jump host gate of db1 refuses the connection: connect to host gate port 22: Connection refused",
            ),
            (
                "ssh: Could not resolve hostname gate: Name or service not known\r\nConnection closed by UNKNOWN port 65535",
                "the name of the jump host gate of db1 cannot be resolved: Could not resolve hostname gate: Name or service not known",
            ),
            (
                "No ED25519 host key is known for [gate]:2 and you have requested strict checking.\nHost key verification failed.\nConnection closed by UNKNOWN port 65535",
                "the host key of its jump host [gate]:2 is not known yet",
            ),
            (
                "Host key for gate has changed and you have requested strict checking.\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.\nConnection closed by UNKNOWN port 65535",
                "the host key of the jump host gate of db1 is another one than in known_hosts",
            ),
            (
                "joe@gate: Permission denied (publickey).\r\nConnection closed by UNKNOWN port 65535",
                "the jump host gate of db1 refuses the login: joe@gate: Permission denied (publickey).",
            ),
            (
                "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\nConnection closed by UNKNOWN port 65535",
                "db1 refuses the connection: channel 0: open failed: connect failed: Connection refused",
            ),
        ];
        for (log, expected) in cases {
            assert_eq!(message(log), (expected.to_owned(), false));
        }
    }

    #[test]
    fn knows_what_became_of_a_key() {
        for (log, expected) in [
            ("** banner **\nroot@db1: Permission denied (publickey,password).\r\n", Key::Known),
            ("", Key::NotSeen),
            (
                "No ED25519 host key is known for db1 and you have requested strict checking.\r\nHost key verification failed.\r\n",
                Key::Unknown,
            ),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.\n",
                Key::Changed,
            ),
            ("Host key verification failed.\nConnection closed by UNKNOWN port 65535", Key::NotSeen),
            (
                "joe@gate: Permission denied (publickey).\r\nConnection closed by UNKNOWN port 65535",
                Key::NotSeen,
            ),
            ("ssh: connect to host db1 port 22: Connection refused\r\n", Key::NotSeen),
        ] {
            assert_eq!(key(log), expected, "{log}");
        }
    }

    #[test]
    fn tries_again_when_the_host_is_busy() {
        let log = "kex_exchange_identification: read: Connection reset by peer\r\nConnection reset by 10.0.0.1 port 22\r\n";
        let (message, again) = message(log);
        assert!(again);
        assert_eq!(
            message,
            "db1 hangs up before the login: kex_exchange_identification: read: Connection reset by peer"
        );
    }
}
