//! `hosts --scan`: the keys of hosts that `ssh` does not know yet, all at once, to be compared and added.
//!
//! Whoever is behind a jump host is asked only once the key of that one is known: to log in at a host that nobody has
//! vouched for is not for us to decide. A key that is another one than the known one is never replaced.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::args::{Format, Hosts};
use super::environment::{Controller, words};
use super::exit::Exit;
use super::interrupt::Interrupts;
use super::question::{confirm, may_ask};
use super::settings::Display;
use super::{common, output};
use crate::config::Environment as _;
use crate::harmless;
use crate::model::{Host, Login};
use crate::private_folder;
use crate::report::{Look, table};
use crate::transport::askpass::LoginPassword;
use crate::transport::scan::{self, HostKey, Kinds, Standing, Way};
use crate::transport::{Settings, TransportError};

/// Bytes of the list of keys.
const LARGEST: u64 = 8 << 20;

/// Somebody whose key is looked at: a host of the inventory, or one to jump over.
struct Door {
    /// Its name in the inventory; of a jump host, its address.
    name: String,
    login: Login,
    /// The jump hosts on the way, by their positions among the doors.
    behind: Vec<usize>,
    file: Option<PathBuf>,
    hashed: bool,
    state: State,
}

enum State {
    NotLooked,
    Known,
    /// These keys it shows; nobody has decided on them yet.
    Unknown(Vec<HostKey>),
    /// What was added, and to which file.
    Added(Vec<HostKey>, PathBuf),
    /// They stay unknown: why, if the table does not say it, and what that comes to.
    Left(Vec<HostKey>, String, Exit),
    Changed(TransportError),
    Refused(TransportError),
}

impl Door {
    fn is_open(&self) -> bool {
        matches!(self.state, State::Known | State::Added(..))
    }
}

/// Asks the keys of `hosts`, and adds those that are confirmed.
pub(super) async fn scan(
    args: &Hosts,
    hosts: &[Arc<Host>],
    forks: Option<usize>,
    display: &Display,
) -> std::io::Result<Exit> {
    let expected = match args.expect.as_deref().map(Expected::read).transpose() {
        Ok(expected) => expected,
        Err((message, hint)) => return Ok(output::complain(&message, &hint)),
    };
    let login_password = match common::login_password(args.ask_password) {
        Ok(password) => password,
        Err(exit) => return Ok(exit),
    };
    let interrupts = Interrupts::listen(None)?;
    let asking = Asking {
        forks: args.way.forks.or(forks).unwrap_or(common::FORKS),
        settings: Settings {
            connect_timeout: args.way.connect_timeout,
            login_password: login_password.map(LoginPassword::new),
            ..Settings::default()
        },
    };
    let mut declined = false;
    let scanned = async {
        let mut doors = doors(hosts, &asking).await;
        loop {
            asking.look(&mut doors).await;
            let new: Vec<usize> =
                (0..doors.len()).filter(|n| matches!(doors[*n].state, State::Unknown(_))).collect();
            if new.is_empty() {
                break;
            }
            if let Some(expected) = &expected {
                asking.compare(&mut doors, &new, expected).await;
            }
            let new: Vec<usize> =
                new.into_iter().filter(|n| matches!(doors[*n].state, State::Unknown(_))).collect();
            if new.is_empty() {
                continue;
            }
            show(&doors, &new, display);
            let agreed = args.yes || expected.is_some() || {
                // JSON is for programs, which see no table.
                display.format != Format::Json
                    && may_ask()
                    && confirm(question(&doors, &new), &interrupts).await
            };
            declined |= !agreed;
            for n in new {
                let State::Unknown(keys) = std::mem::replace(&mut doors[n].state, State::NotLooked) else {
                    continue;
                };
                doors[n].state = if agreed {
                    add(&doors[n], keys)
                } else {
                    State::Left(keys, String::new(), Exit::Differs)
                };
            }
        }
        doors
    };
    let doors = tokio::select! {
        doors = scanned => doors,
        () = interrupts.wait() => return Ok(Exit::Interrupted),
    };
    let exit = tell(&doors, display);
    if declined && !may_ask() && display.format != Format::Json {
        output::message(
            "hint: there is no terminal to ask on: give --yes, or --expect FILE with the fingerprints",
        );
    }
    // Somebody said no.
    Ok(if declined && may_ask() { Exit::Interrupted } else { exit })
}

/// The hosts and whom they are behind, each once.
async fn doors(hosts: &[Arc<Host>], asking: &Asking) -> Vec<Door> {
    let mut doors: Vec<Door> = Vec::new();
    let there: Vec<&Arc<Host>> = hosts.iter().filter(|h| !h.login.local).collect();
    let ways = asking
        .each(there.iter().map(|h| h.login.clone()), |login| async move { scan::way(&login).await })
        .await;
    let door = |name: String, login: Login, way: Way, behind| Door {
        name,
        login,
        behind,
        file: way.file,
        hashed: way.hashed,
        state: State::NotLooked,
    };
    for (host, way) in there.iter().zip(&ways) {
        let way = Way { jumps: Vec::new(), ..way.clone() };
        doors.push(door(host.name.to_string(), host.login.clone(), way, Vec::new()));
    }
    for (n, way) in ways.into_iter().enumerate() {
        for jump in way.jumps {
            let place = |login: &Login| (login.address.clone(), login.port);
            let known = doors.iter().position(|d| place(&d.login) == place(&jump));
            let at = if let Some(at) = known {
                at
            } else {
                let way = scan::way(&jump).await;
                doors.push(door(jump.address.clone(), jump, way, Vec::new()));
                doors.len() - 1
            };
            // One that is on its own way would wait for ever.
            if at != n && !doors[at].behind.contains(&n) {
                doors[n].behind.push(at);
            }
        }
    }
    doors
}

/// How hosts are asked.
struct Asking {
    forks: usize,
    settings: Settings,
}

impl Asking {
    /// Does something with each login, some at once; in their order.
    async fn each<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        logins: impl Iterator<Item = Login>,
        ask: impl Fn(Login) -> F,
    ) -> Vec<T> {
        let forks = Arc::new(Semaphore::new(self.forks.max(1)));
        let mut tasks = JoinSet::new();
        for (n, login) in logins.enumerate() {
            let (asked, forks) = (ask(login), Arc::clone(&forks));
            tasks.spawn(async move {
                let _permit = forks.acquire_owned().await;
                (n, asked.await)
            });
        }
        let mut answers = tasks.join_all().await;
        answers.sort_by_key(|(n, _)| *n);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    async fn keys(&self, doors: &[Door], which: &[usize], kinds: Kinds) -> Vec<Standing> {
        let settings = Arc::new(self.settings.clone());
        let logins: Vec<Login> = which.iter().map(|n| doors[*n].login.clone()).collect();
        self.each(logins.into_iter(), |login| {
            let settings = Arc::clone(&settings);
            async move { scan::look(&login, kinds, &settings).await }
        })
        .await
    }

    /// Looks at the keys of all that can be got at.
    async fn look(&self, doors: &mut [Door]) {
        loop {
            let fresh = |d: &Door| matches!(d.state, State::NotLooked);
            let ready: Vec<usize> = (0..doors.len())
                .filter(|n| fresh(&doors[*n]) && doors[*n].behind.iter().all(|b| doors[*b].is_open()))
                .collect();
            if ready.is_empty() {
                return;
            }
            for (n, standing) in ready.iter().zip(self.keys(doors, &ready, Kinds::Best).await) {
                doors[*n].state = match standing {
                    Standing::Known => State::Known,
                    Standing::Unknown(keys) => State::Unknown(keys),
                    Standing::Changed(error) => State::Changed(error),
                    Standing::Refused(error) => State::Refused(error),
                };
            }
        }
    }

    /// Leaves of the keys those that the list has; a host of which it has none stays unknown.
    async fn compare(&self, doors: &mut [Door], new: &[usize], expected: &Expected) {
        let mut again = Vec::new();
        for n in new {
            let door = &mut doors[*n];
            let State::Unknown(keys) = &mut door.state else { continue };
            let wanted = expected.of(&door.name, &door.login, keys);
            if wanted.is_empty() {
                let why = format!("{} has no key of it", expected.file);
                door.state = State::Left(std::mem::take(keys), why, Exit::Differs);
                continue;
            }
            if keys.iter().any(|key| wanted.contains(&key.fingerprint())) {
                keys.retain(|key| wanted.contains(&key.fingerprint()));
            } else {
                // The list may have a key of another type.
                again.push(*n);
            }
        }
        for (n, standing) in again.iter().zip(self.keys(doors, &again, Kinds::Each).await) {
            let door = &mut doors[*n];
            let Standing::Unknown(mut keys) = standing else { continue };
            let wanted = expected.of(&door.name, &door.login, &keys);
            let shown: Vec<_> = keys.iter().map(HostKey::fingerprint).collect();
            keys.retain(|key| wanted.contains(&key.fingerprint()));
            door.state = if keys.is_empty() {
                let message =
                    format!("it shows {}, but {} has {}", shown.join(", "), expected.file, wanted.join(", "));
                State::Changed(TransportError::Unreachable {
                    message,
                    hint: Some("somebody else may answer in its place: find out before anything else".into()),
                    lost: false,
                })
            } else {
                State::Unknown(keys)
            };
        }
    }
}

/// The keys that hosts are to have.
struct Expected {
    file: String,
    /// Fingerprints, by what hosts are called.
    of: HashMap<String, Vec<String>>,
}

impl Expected {
    fn read(path: &Path) -> Result<Self, (String, String)> {
        let file = path.display().to_string();
        let hint = "each line is \"HOST SHA256:...\", or one of known_hosts; HOST is the name in the inventory or the address";
        let bytes = Controller
            .read_at_most(path, LARGEST)
            .map_err(|why| (format!("cannot read {file}: {why}"), hint.to_owned()))?;
        let text = String::from_utf8_lossy(&bytes);
        let mut of: HashMap<String, Vec<String>> = HashMap::new();
        for (n, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let fingerprint = match words[..] {
                [name, print, ..] if print.starts_with("SHA256:") && !name.starts_with('|') => {
                    Some(print.to_owned())
                }
                [name, ..] if !name.starts_with(['|', '@']) => {
                    HostKey::read(line).map(|key| key.fingerprint())
                }
                _ => None,
            };
            let fingerprint = fingerprint
                .ok_or_else(|| (format!("{file}:{}: it says no key of a host", n + 1), hint.to_owned()))?;
            for name in words[0].split(',') {
                of.entry(name.to_owned()).or_default().push(fingerprint.trim_end_matches('=').to_owned());
            }
        }
        Ok(Self { file, of })
    }

    fn of(&self, name: &str, login: &Login, keys: &[HostKey]) -> Vec<String> {
        let mut called = vec![name, &login.address];
        called.extend(keys.iter().map(|key| &*key.name));
        called.dedup();
        let mut found: Vec<String> =
            called.iter().filter_map(|name| self.of.get(*name)).flatten().cloned().collect();
        found.sort();
        found.dedup();
        found
    }
}

/// One table of all keys that are new.
fn show(doors: &[Door], new: &[usize], display: &Display) {
    if display.format == Format::Json {
        return;
    }
    let mut rows = Vec::new();
    for n in new {
        let State::Unknown(keys) = &doors[*n].state else { continue };
        for key in keys {
            rows.push(vec![doors[*n].name.clone(), key.name.clone(), key.kind.clone(), key.fingerprint()]);
        }
    }
    // Fingerprints are compared and copied: they are not broken.
    let look = Look { width: None, ..display.out };
    output::data(&(table(&["host", "address", "key", "fingerprint"], &rows, look).join("\n") + "\n"));
}

fn question(doors: &[Door], new: &[usize]) -> String {
    let mut files: Vec<String> =
        new.iter().filter_map(|n| doors[*n].file.as_ref()).map(|f| f.display().to_string()).collect();
    files.sort();
    files.dedup();
    let keys =
        if new.len() == 1 { "this key".to_owned() } else { format!("the keys of these {} hosts", new.len()) };
    format!("Compare the fingerprints. Add {keys} to {}? [y/N] ", files.join(", "))
}

/// Adds the keys to the file that `ssh` reads.
fn add(door: &Door, keys: Vec<HostKey>) -> State {
    let Some(file) = &door.file else {
        let why = "ssh keeps known hosts of it in no file, or in one for each host: see UserKnownHostsFile";
        return State::Left(keys, why.into(), Exit::Failed);
    };
    let lines: String = keys.iter().map(HostKey::line).collect();
    let lines = if door.hashed { hashed(&lines) } else { Ok(lines) };
    match lines.and_then(|lines| append(file, &lines)) {
        Ok(()) => State::Added(keys, file.clone()),
        Err(error) => {
            let why = format!("cannot write {}: {}", file.display(), words(&error));
            State::Left(keys, why, Exit::Failed)
        }
    }
}

/// The lines with names that only who knows them can look up, as `HashKnownHosts` wants it.
fn hashed(lines: &str) -> std::io::Result<String> {
    let base = std::env::temp_dir();
    private_folder::clear(&base, "hw-scan.", |_| {});
    let (folder, _claim) = private_folder::make(&base, "hw-scan.")?;
    let file = folder.path().join("known_hosts");
    std::fs::write(&file, lines)?;
    let keygen = Command::new("ssh-keygen")
        .args(["-q", "-H", "-f"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if keygen.success() {
        std::fs::read_to_string(&file)
    } else {
        Err(std::io::Error::other("ssh-keygen -H failed"))
    }
}

fn append(path: &Path, lines: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let before = match std::fs::read(path) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let gap = if before.is_empty() || before.ends_with(b"\n") { "" } else { "\n" };
    // The same address may be in the inventory twice.
    let text = String::from_utf8_lossy(&before);
    let new: String = lines
        .split_inclusive('\n')
        .filter(|line| !text.lines().any(|known| known == line.trim_end()))
        .collect();
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    // In one piece, for `ssh` may read it at the same time.
    file.write_all(format!("{gap}{new}").as_bytes())?;
    file.sync_all()
}

/// Says what it came to.
fn tell(doors: &[Door], display: &Display) -> Exit {
    let mut worst = Exit::Done;
    let mut lines = String::new();
    let (mut known, mut added) = (0, 0);
    for door in doors {
        let mut line = json!({ "host": door.name, "address": door.login.address });
        let (word, why, exit) = match &door.state {
            State::Known => {
                known += 1;
                ("known", None, Exit::Done)
            }
            State::Added(keys, file) => {
                added += 1;
                line["keys"] = listed(keys);
                line["file"] = file.display().to_string().into();
                ("added", None, Exit::Done)
            }
            State::Unknown(_) => ("unknown", None, Exit::Differs),
            State::NotLooked => {
                let names = door.behind.iter().filter(|b| !doors[**b].is_open()).map(|b| &*doors[*b].name);
                let why = format!("it is behind {}", names.collect::<Vec<_>>().join(", "));
                ("not asked", Some((why, None)), Exit::Unreachable)
            }
            State::Left(keys, why, exit) => {
                line["keys"] = listed(keys);
                ("unknown", (!why.is_empty()).then(|| (why.clone(), None)), *exit)
            }
            State::Changed(error) => ("wrong key", Some(said(error)), Exit::Failed),
            State::Refused(error) => ("unreachable", Some(said(error)), Exit::Unreachable),
        };
        line["state"] = word.replace(' ', "_").into();
        if let Some((why, hint)) = why {
            line["message"] = why.as_str().into();
            if display.format != Format::Json {
                output::message(&format!("{}: {word}: {}", door.name, harmless::line(&why)));
                if let Some(hint) = hint {
                    output::message(&format!("  hint: {hint}"));
                }
            }
        }
        worst = match (worst, exit) {
            (Exit::Failed, _) | (_, Exit::Failed) => Exit::Failed,
            (Exit::Unreachable, _) | (_, Exit::Unreachable) => Exit::Unreachable,
            (worst, Exit::Done) => worst,
            (_, exit) => exit,
        };
        lines += &(harmless::json(&line) + "\n");
    }
    if display.format == Format::Json {
        output::data(&lines);
    } else if !display.detail.quiet {
        let of = |n: usize| format!("{n} host{}", if n == 1 { "" } else { "s" });
        let rest = doors.len() - known - added;
        let words = [(added, "added"), (known, "known already"), (rest, "not known")];
        let words: Vec<_> =
            words.iter().filter(|(n, _)| *n > 0).map(|(n, w)| format!("{} {w}", of(*n))).collect();
        output::message(&format!(
            "Host keys: {}.",
            if words.is_empty() { "no host".into() } else { words.join(", ") }
        ));
    }
    worst
}

fn listed(keys: &[HostKey]) -> serde_json::Value {
    keys.iter().map(|key| json!({ "type": key.kind, "fingerprint": key.fingerprint() })).collect()
}

fn said(error: &TransportError) -> (String, Option<String>) {
    let hint = match error {
        TransportError::Unreachable { hint, .. } => hint.clone(),
        _ => None,
    };
    (error.to_string(), hint)
}
