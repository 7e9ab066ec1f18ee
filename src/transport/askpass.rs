//! The password for logging in, handed to `ssh` when it asks for it (`SSH_ASKPASS` in ssh(1)).
//!
//! `ssh` starts this very program as its helper, which connects to a socket in the private folder of the connection and
//! gets the password there: it is in no argument, environment or file. Each host gets it once; where it is asked for
//! again, it was wrong, and a second try would count towards locking the account.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;
use tokio::sync::{Mutex, OwnedMutexGuard};
use zeroize::Zeroizing;

use super::TransportError;
use crate::model::Secret;

/// Names the socket to the helper.
const VARIABLE: &str = "HOSTWRIGHT_ASKPASS";

/// Bytes of a question.
const LONGEST: u64 = 4096;

/// Bound of a talk with the helper, which comes and goes at once.
const SOON: Duration = Duration::from_secs(5);

/// A password for logging in, and what became of it at jump hosts: many connections go over one of them, and all of
/// them together try it there once.
#[derive(Debug, Clone)]
pub struct LoginPassword {
    secret: Secret,
    jumps: Arc<std::sync::Mutex<HashMap<String, Arc<Mutex<Trial>>>>>,
}

impl LoginPassword {
    /// One that has not been tried yet.
    pub fn new(secret: Secret) -> Self {
        Self { secret, jumps: Arc::default() }
    }

    /// The trial at a jump host; one that is under way is waited for.
    async fn trial(&self, jump: &str) -> OwnedMutexGuard<Trial> {
        let trial = {
            let mut jumps = self.jumps.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(jumps.entry(jump.to_owned()).or_default())
        };
        trial.lock_owned().await
    }
}

/// What became of the password somewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Trial {
    #[default]
    Open,
    Taken,
    Refused,
}

/// Answers the questions of one `ssh`, and of those that it starts for its jump hosts.
#[derive(Debug)]
pub(super) struct Askpass {
    listener: UnixListener,
    socket: PathBuf,
    password: LoginPassword,
    /// The helper that gets no answer. It is kept waiting until its `ssh` has been ended.
    waiting: Option<BufReader<UnixStream>>,
    /// Who has got the password.
    answered: Vec<Asker>,
    /// The jump host at which it is being tried.
    trial: Option<OwnedMutexGuard<Trial>>,
}

/// Who asks for the password.
#[derive(Debug, PartialEq, Eq)]
struct Asker {
    /// `USER@HOST`; empty where `ssh` did not say.
    name: String,
    is_jump: bool,
}

/// What `ssh` asks.
#[derive(Debug, PartialEq, Eq)]
enum Question<'a> {
    /// The password of this user and host.
    Password(&'a str),
    /// Something else that a host wants to know: a code, a new password.
    More(&'a str),
    /// What concerns this machine: the passphrase of a key, whether to trust a host. There is no answer to it here, and
    /// `ssh` goes on without.
    Local,
}

impl Askpass {
    /// Listens in `folder`, which nobody else may enter.
    pub(super) fn open(folder: &Path, password: &LoginPassword) -> io::Result<Self> {
        let socket = folder.join("ask");
        let listener = UnixListener::bind(&socket)?;
        let password = password.clone();
        Ok(Self { listener, socket, password, waiting: None, answered: Vec::new(), trial: None })
    }

    /// Makes `ssh` ask here, and only here.
    pub(super) fn equip(&self, ssh: &mut Command) -> io::Result<()> {
        // Through /proc the helper is this program also when its file has been replaced meanwhile.
        let own = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
        let helper = if own.exists() { own } else { std::env::current_exe()? };
        ssh.env("SSH_ASKPASS", helper).env("SSH_ASKPASS_REQUIRE", "force").env(VARIABLE, &self.socket);
        Ok(())
    }

    /// Options of `ssh`, before all others.
    pub(super) const OPTIONS: [&'static str; 4] = [
        "BatchMode=no",
        "NumberOfPasswordPrompts=1",
        "PasswordAuthentication=yes",
        "KbdInteractiveAuthentication=yes",
    ];

    /// Answers until something is asked that is not to be answered: then `ssh`, and those for its jump hosts, have to be
    /// ended before this is dropped, for they would go on with an empty password. Returns why. `ssh`: its process, whose
    /// own questions are those of the host; others are of jump hosts.
    pub(super) async fn serve(&mut self, ssh: Option<u32>) -> TransportError {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // It is asked again, or `ssh` gives up by itself.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // Others cannot get to the socket; should the folder be open to them nevertheless, they get nothing.
            let Ok(peer) = stream.peer_cred() else { continue };
            if peer.uid() != rustix::process::geteuid().as_raw() {
                continue;
            }
            let is_jump = peer.pid().and_then(parent).is_some_and(|parent| Some(parent) != ssh);
            let mut stream = BufReader::new(stream);
            let mut asked = Vec::new();
            let mut bounded = (&mut stream).take(LONGEST);
            let heard = tokio::time::timeout(SOON, bounded.read_until(0, &mut asked)).await;
            if !matches!(heard, Ok(Ok(_))) {
                continue;
            }
            let asked = String::from_utf8_lossy(&asked).trim_end_matches('\0').to_owned();
            match question(&asked) {
                Question::Local => {}
                Question::More(what) => {
                    self.waiting = Some(stream);
                    return more(what);
                }
                Question::Password(whose) => {
                    let who = Asker { name: whose.to_owned(), is_jump };
                    if self.may_have(&who).await {
                        self.answered.push(who);
                        let answer = Zeroizing::new(format!("+{}", self.password.secret.expose()));
                        // A helper that went away asks no more.
                        let _ = tokio::time::timeout(SOON, stream.write_all(answer.as_bytes())).await;
                    } else {
                        self.waiting = Some(stream);
                        return self.wrong();
                    }
                }
            }
        }
    }

    /// Whether the password is to be tried there.
    async fn may_have(&mut self, asker: &Asker) -> bool {
        let again = self.answered.iter().any(|known| known.name == asker.name || known.name.is_empty());
        if again || (asker.name.is_empty() && !self.answered.is_empty()) {
            return false;
        }
        // Whoever asks is behind the one before.
        self.taken();
        if !asker.is_jump {
            return true;
        }
        let trial = self.password.trial(&asker.name).await;
        match *trial {
            Trial::Open => self.trial = Some(trial),
            Trial::Taken => {}
            Trial::Refused => {
                self.answered.push(Asker { name: asker.name.clone(), is_jump: true });
                return false;
            }
        }
        true
    }

    /// The jump host that has got the password has taken it.
    pub(super) fn taken(&mut self) {
        if let Some(mut trial) = self.trial.take() {
            *trial = Trial::Taken;
        }
    }

    /// Whether the end of the log of `ssh` says that the last one did not take the password.
    pub(super) fn is_refused(&self, log: &str) -> bool {
        let Some(last) = self.answered.last() else { return false };
        let denial = log.lines().rev().find_map(|line| line.split_once(": Permission denied ("));
        // A host may have another name here (`HostKeyAlias`), but comes after all jump hosts.
        denial.is_some_and(|(whose, _)| !last.is_jump || whose.ends_with(&last.name))
    }

    /// The last that got it did not take it.
    pub(super) fn wrong(&mut self) -> TransportError {
        if let Some(mut trial) = self.trial.take() {
            *trial = Trial::Refused;
        }
        let whose = self.answered.last().map(|asker| &asker.name).filter(|name| !name.is_empty());
        TransportError::Unreachable {
            message: match whose {
                Some(whose) => format!("{whose} refuses the password"),
                None => "the host refuses the password".into(),
            },
            hint: Some(
                "it was tried once, so that no account gets locked: check it, and `user`; many hosts let root in by a \
                 key alone (PermitRootLogin)"
                    .into(),
            ),
            lost: false,
        }
    }
}

/// The process that started a process.
fn parent(process: i32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn more(what: &str) -> TransportError {
    let what: Vec<&str> = what.split_whitespace().collect();
    TransportError::Unreachable {
        message: format!("the host wants more than a password: {}", what.join(" ").trim_end_matches(':')),
        hint: Some("log in once with `ssh` and do what it asks for, then try again".into()),
        lost: false,
    }
}

/// Understands what `ssh` asks: `USER@HOST's password: ` of its own, `(USER@HOST) WORDS` of the host.
fn question(asked: &str) -> Question<'_> {
    let asked = asked.trim_start();
    if let Some((whose, "")) = asked.split_once("'s password: ") {
        return Question::Password(whose);
    }
    let (whose, words) = match asked.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        Some((whose, words)) if whose.contains('@') => (whose, words),
        // Before OpenSSH 8.4 it does not say who asks.
        _ if asked.to_ascii_lowercase().starts_with("password") => ("", asked),
        // A password that has expired.
        _ if asked.contains("'s old password") || asked.contains("'s new password") => {
            return Question::More(asked);
        }
        _ => return Question::Local,
    };
    let lower = words.to_lowercase();
    let other = ["new", "current", "old", "code", "token", "otp", "pin:", "response", "duo", "verification"];
    if other.iter().any(|word| lower.contains(word)) {
        Question::More(words)
    } else {
        Question::Password(whose)
    }
}

/// If `ssh` has started us as its helper: prints what it is told, and returns whether it was told something.
pub fn help(mut line: impl Iterator<Item = OsString>) -> Option<bool> {
    let socket = std::env::var_os(VARIABLE)?;
    let (_, asked, None) = (line.next(), line.next()?, line.next()) else { return None };
    let talk = || -> io::Result<bool> {
        let mut stream = net::UnixStream::connect(&socket)?;
        stream.write_all(asked.as_encoded_bytes())?;
        stream.write_all(&[0])?;
        let mut reader = io::BufReader::with_capacity(1, &mut stream).take(LONGEST);
        let mut sign = Vec::new();
        if (&mut reader).take(1).read_until(b'+', &mut sign)? == 0 || sign != b"+" {
            return Ok(false);
        }
        let mut answer = Zeroizing::new(Vec::with_capacity(1024));
        reader.read_to_end(&mut answer)?;
        answer.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&answer)?;
        out.flush().map(|()| true)
    };
    Some(talk().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_apart() {
        for (asked, expected) in [
            ("root@10.0.0.5's password: ", Question::Password("root@10.0.0.5")),
            ("(root@10.0.0.5) Password: ", Question::Password("root@10.0.0.5")),
            ("(root@db) Passwort: ", Question::Password("root@db")),
            ("Password: ", Question::Password("")),
            ("(root@db) Verification code: ", Question::More("Verification code: ")),
            ("(root@db) New password: ", Question::More("New password: ")),
            ("(root@db) Current password: ", Question::More("Current password: ")),
            ("Enter root@db's old password: ", Question::More("Enter root@db's old password: ")),
            ("Enter passphrase for key '/root/.ssh/id_ed25519': ", Question::Local),
            ("Enter PIN for ED25519-SK key /root/.ssh/id: ", Question::Local),
            (
                "The authenticity of host 'db (10.0.0.5)' can't be established.\nAre you sure?",
                Question::Local,
            ),
        ] {
            assert_eq!(question(asked), expected, "{asked}");
        }
    }

    /// Asks as the helper does; nothing is told when the password is not to be told.
    async fn ask(socket: PathBuf, asked: &'static str) -> String {
        let talk = move || {
            let mut stream = net::UnixStream::connect(socket).unwrap();
            stream.write_all(asked.as_bytes()).unwrap();
            stream.write_all(&[0]).unwrap();
            let mut told = String::new();
            stream.read_to_string(&mut told).unwrap();
            told
        };
        tokio::task::spawn_blocking(talk).await.unwrap()
    }

    #[tokio::test]
    async fn each_host_gets_the_password_once() {
        let folder = tempfile::tempdir().unwrap();
        let password = LoginPassword::new(Secret::new("a b+c".into()));
        let mut askpass = Askpass::open(folder.path(), &password).unwrap();
        let socket = folder.path().join("ask");
        let asking = async {
            let first = [
                ask(socket.clone(), "Enter passphrase for key '/k': ").await,
                ask(socket.clone(), "joe@gate's password: ").await,
                ask(socket.clone(), "(root@db) Password: ").await,
            ];
            let _last = ask(socket.clone(), "root@db's password: ").await;
            first
        };
        let (error, told) = tokio::join!(
            async {
                let error = askpass.serve(parent(std::process::id().cast_signed())).await;
                // Nobody listens any more: the one that asks hears so.
                drop(askpass);
                error
            },
            asking
        );
        assert_eq!(told, ["", "+a b+c", "+a b+c"]);
        assert_eq!(error.to_string(), "root@db refuses the password");
    }
}
