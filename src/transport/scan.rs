//! Whether the keys of hosts are known to `ssh`, and which keys hosts show: asked through `ssh` itself, so that ports,
//! jump hosts and whatever else the inventory and `ssh_config` say counts. Nobody is logged in at the host that is asked.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::process::Command;

use super::askpass::Askpass;
use super::ssh::{CONNECT_TIMEOUT, control_folder, end_group, said, target};
use super::{Settings, TransportError, refused};
use crate::model::Login;

/// A key that a host shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// What `known_hosts` calls the host.
    pub name: String,
    /// Its type, such as `ssh-ed25519`.
    pub kind: String,
    /// The key itself, in base64.
    pub key: String,
}

impl HostKey {
    /// Reads a line of `known_hosts`.
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let read = Self { name: words.next()?, kind: words.next()?, key: words.next()? };
        BASE64_STANDARD.decode(&read.key).is_ok().then_some(read)
    }

    /// As `known_hosts` has it.
    pub fn line(&self) -> String {
        format!("{} {} {}\n", self.name, self.kind, self.key)
    }

    /// As `ssh-keygen -l` and `ssh` show it.
    pub fn fingerprint(&self) -> String {
        let key = BASE64_STANDARD.decode(&self.key).unwrap_or_default();
        format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(Sha256::digest(key)))
    }
}

/// How `ssh` stands to the key that a host shows.
#[derive(Debug, Clone)]
pub enum Standing {
    /// It is known.
    Known,
    /// It is not, nor any other of this host; these it shows.
    Unknown(Vec<HostKey>),
    /// Another one is known, or it is revoked; or the host cannot be asked. What `ssh` said, and what to do.
    Refused(TransportError),
    /// As [`Standing::Refused`], because another key is known: never to be replaced by what shows a new one.
    Changed(TransportError),
}

/// How `ssh` goes to a host, by its own word (`ssh -G`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    /// The hosts to jump over, from the first on.
    pub jumps: Vec<Login>,
    /// The file that new keys are added to; `None` if there is none.
    pub file: Option<PathBuf>,
    /// Whether names are hashed there.
    pub hashed: bool,
}

/// Which keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// The one that `ssh` likes best.
    Best,
    /// One of each type.
    Each,
}

/// Types of keys, each with what `HostKeyAlgorithms` has for it.
const KINDS: [&str; 3] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    "rsa-sha2-512,rsa-sha2-256",
];

/// Asks `ssh` which way it goes.
pub async fn way(login: &Login) -> Way {
    let settings = said(Command::new("ssh").arg("-G").args(target(login))).await.unwrap_or_default().0;
    let value = |key: &str| {
        settings.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).filter(|v| *v != "none")
    };
    let mut jumps: Vec<Login> = Vec::new();
    let names: Vec<&str> = value("proxyjump").map(|v| v.split(',').collect()).unwrap_or_default();
    for (n, name) in names.iter().enumerate() {
        let ssh_options =
            if n == 0 { Vec::new() } else { vec![format!("ProxyJump={}", names[..n].join(","))] };
        jumps.push(Login { ssh_config: login.ssh_config.clone(), ssh_options, ..jump(name) });
    }
    let file = value("userknownhostsfile").and_then(first);
    Way {
        jumps,
        file: file.filter(|f| f != Path::new("/dev/null")),
        hashed: value("hashknownhosts") == Some("yes"),
    }
}

/// The first of the files that `ssh` names; what it would fill in (`%h`) is not known here.
fn first(files: &str) -> Option<PathBuf> {
    let file = match files.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => files.split(' ').next()?,
    };
    (!file.contains('%')).then(|| PathBuf::from(file))
}

/// `[ssh://][USER@]HOST[:PORT]`, the host perhaps in brackets.
fn jump(text: &str) -> Login {
    let text = text.strip_prefix("ssh://").unwrap_or(text);
    let (user, place) = text.rsplit_once('@').map_or((None, text), |(user, place)| (Some(user), place));
    let (address, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None if place.matches(':').count() == 1 => {
            place.split_once(':').map_or((place, None), |(address, port)| (address, Some(port)))
        }
        None => (place, None),
    };
    Login {
        address: address.to_owned(),
        port: port.and_then(|port| port.parse().ok()),
        user: user.map(str::to_owned),
        ..Login::default()
    }
}

/// Looks at the key of a host.
pub async fn look(login: &Login, kinds: Kinds, settings: &Settings) -> Standing {
    let strict = ["StrictHostKeyChecking=yes".to_owned()];
    let log = match knock(login, &strict, settings).await {
        // One that lets everybody in.
        Ok((true, _)) => return Standing::Known,
        Ok((false, log)) => log,
        Err(error) => return Standing::Refused(error),
    };
    let refused = |log: &str| refused::read(log, &login.address).error;
    match refused::key(&log) {
        refused::Key::Known => return Standing::Known,
        refused::Key::Changed => return Standing::Changed(refused(&log)),
        refused::Key::NotSeen => return Standing::Refused(refused(&log)),
        refused::Key::Unknown => {}
    }
    let wanted: &[Option<&str>] = match kinds {
        Kinds::Best => &[None],
        Kinds::Each => &KINDS.map(Some),
    };
    let mut keys = Vec::new();
    let mut last = String::new();
    for kind in wanted {
        match shown(login, *kind, settings).await {
            Ok((found, log)) => {
                keys.extend(found);
                last = log;
            }
            Err(error) => return Standing::Refused(error),
        }
    }
    if keys.is_empty() { Standing::Refused(refused(&last)) } else { Standing::Unknown(keys) }
}

/// The key that a host shows to whom knows none, and what `ssh` said.
async fn shown(
    login: &Login,
    kind: Option<&str>,
    settings: &Settings,
) -> Result<(Option<HostKey>, String), TransportError> {
    let folder = TempDir::with_prefix("hw-scan.").map_err(|e| unasked(&e))?;
    let file = folder.path().join("known_hosts");
    let mut options = vec![
        "StrictHostKeyChecking=accept-new".to_owned(),
        format!("UserKnownHostsFile={}", file.display()),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        "KnownHostsCommand=none".to_owned(),
        "HashKnownHosts=no".to_owned(),
        "CheckHostIP=no".to_owned(),
        "VerifyHostKeyDNS=no".to_owned(),
    ];
    options.extend(kind.map(|kind| format!("HostKeyAlgorithms={kind}")));
    let (_, log) = knock(login, &options, settings).await?;
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    Ok((known.lines().find_map(HostKey::read), log))
}

/// Goes to a host as far as its key: no way to log in is tried. Returns whether it got in, and what `ssh` said.
async fn knock(
    login: &Login,
    options: &[String],
    settings: &Settings,
) -> Result<(bool, String), TransportError> {
    let timeout = settings.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let mut ssh = Command::new("ssh");
    ssh.arg("-T");
    let (folder, _claim) = control_folder().map_err(|e| unasked(&e))?;
    // The `ssh` to a jump host does not know of `BatchMode`, and must not ask at the terminal either.
    ssh.env("SSH_ASKPASS_REQUIRE", "force").env("SSH_ASKPASS", "false").env("LC_ALL", "C");
    let password = settings.login_password.as_ref();
    let askpass = password.map(|word| Askpass::open(folder.path(), word)).transpose();
    let mut askpass = askpass.map_err(|e| unasked(&e))?;
    if let Some(askpass) = &askpass {
        askpass.equip(&mut ssh).map_err(|e| unasked(&e))?;
        ssh.args(Askpass::OPTIONS.iter().flat_map(|option| ["-o", option]));
    }
    // What comes first counts.
    let ours = [
        "BatchMode=yes",
        "PreferredAuthentications=none",
        "ControlMaster=no",
        "ControlPath=none",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "UpdateHostKeys=no",
        "LogLevel=INFO",
    ];
    for option in ours.into_iter().map(str::to_owned).chain(options.iter().cloned()) {
        ssh.args(["-o", &option]);
    }
    let target = target(login);
    // A timeout of the inventory's own counts before this one.
    let (given, address) = target.split_at(target.len().saturating_sub(2));
    ssh.args(given)
        .args(["-o", &format!("ConnectTimeout={}", timeout.as_secs().max(1))])
        .args(address)
        .arg("true");
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = ssh.spawn().map_err(|e| unasked(&e))?;
    let mut log = Vec::new();
    let bound = timeout * 3;
    let (stderr, pid) = (child.stderr.take(), child.id());
    let ended = async {
        use tokio::io::AsyncReadExt as _;
        if let Some(stderr) = stderr {
            // A banner may be long, or without end.
            let _ = stderr.take(256 << 10).read_to_end(&mut log).await;
        }
        child.wait().await
    };
    let mut refusal = None;
    let ended = tokio::time::timeout(bound, async {
        let Some(askpass) = &mut askpass else { return ended.await };
        tokio::select! {
            ended = ended => ended,
            why = askpass.serve(pid) => {
                refusal = Some(why);
                Err(std::io::ErrorKind::PermissionDenied.into())
            }
        }
    })
    .await;
    if let Some(why) = refusal {
        end_group(&child);
        return Err(why);
    }
    match ended {
        Ok(Ok(status)) => {
            let log = String::from_utf8_lossy(&log).into_owned();
            match askpass {
                // The host itself turns us away in any case.
                Some(mut askpass) if log.contains(refused::PROXY) && askpass.is_refused(&log) => {
                    Err(askpass.wrong())
                }
                Some(mut askpass) => {
                    askpass.taken();
                    Ok((status.success(), log))
                }
                None => Ok((status.success(), log)),
            }
        }
        Ok(Err(error)) => Err(unasked(&error)),
        Err(_) => Err(TransportError::Unreachable {
            message: format!("{} shows no key within {} s", login.address, bound.as_secs()),
            hint: Some("look at its sshd; --connect-timeout waits longer".into()),
            lost: false,
        }),
    }
}

fn unasked(error: &std::io::Error) -> TransportError {
    TransportError::Unreachable {
        message: format!("cannot ask by ssh: {error}"),
        hint: Some("install the OpenSSH client, and see that TMPDIR can be written to".into()),
        lost: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_hosts_are_read_in_all_their_forms() {
        for (text, address, port, user) in [
            ("gate", "gate", None, None),
            ("joe@gate:2222", "gate", Some(2222), Some("joe")),
            ("ssh://joe@corp@gate:22", "gate", Some(22), Some("joe@corp")),
            ("[fd00::1]:22", "fd00::1", Some(22), None),
            ("fd00::1", "fd00::1", None, None),
        ] {
            let login = jump(text);
            assert_eq!((&*login.address, login.port, login.user.as_deref()), (address, port, user), "{text}");
        }
    }

    #[test]
    fn lines_of_known_hosts_have_the_fingerprint_of_ssh() {
        // By `ssh-keygen -lf`.
        let line =
            "[gate]:22 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN me";
        let key = HostKey::read(line).unwrap();
        assert_eq!(key.fingerprint(), "SHA256:PYX4o9UfGwCwG76hFcLAEkmMS0PtIBtV9MNmVgW16Oc");
        assert_eq!(key.line(), line.replace(" me", "\n"));
        assert_eq!(HostKey::read("gate ssh-ed25519 ?"), None);
        assert_eq!(first("/root/.ssh/known_hosts /x"), Some("/root/.ssh/known_hosts".into()));
        assert_eq!(first("\"/a b\" /x"), Some("/a b".into()));
        assert_eq!(first("/etc/%h /x"), None);
    }
}
