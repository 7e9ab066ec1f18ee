//! Reaches hosts through OpenSSH: one connection per host, and on it one channel for each privilege in use.
//!
//! The only place that names the `openssh` crate. The control master is started here rather than by the crate's
//! builder, which always sets `StrictHostKeyChecking` (so that what the user's `ssh_config` says would not count)
//! and passes no options on; the crate then takes it over ([`openssh::Session::new_native_mux`] is there for that).

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::askpass::Askpass;
use super::channel::{End, Pipes, Process, seconds, shell_error};
use super::jump::Jumps;
use super::kept::{self, Configuration, Place};
use super::line::Line;
use super::session::Shells;
use super::{BoxFuture, Connector, Session, Settings, TransportError, frames, refused};
use crate::model::{Host, Login};
use crate::private_folder::{self, Claim};
use crate::shell::quote;

/// Bound of connecting when none is given, until the host has shown its key. A host that is not there should not
/// cost as much as one whose login is slow.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses before the next try when a host is too busy to talk.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_millis(1200),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(4),
];

/// Connects through `ssh`.
#[derive(Debug, Clone)]
pub struct Ssh {
    settings: Settings,
    /// Those that did not take the password: it is not tried on them again.
    refusing: Arc<Mutex<Vec<(Login, TransportError)>>>,
    /// The configurations of ssh, by the file that is named.
    configurations: Arc<Mutex<HashMap<Option<PathBuf>, Configuration>>>,
    jumps: Arc<Mutex<Jumps>>,
}

/// Where the master of a connection stands.
enum Spot {
    /// In a folder of this process.
    Own(TempDir, Claim),
    /// Where later runs find it.
    Kept(Place, Duration),
}

impl Spot {
    fn socket(&self) -> PathBuf {
        match self {
            Self::Own(folder, _) => folder.path().join("master"),
            Self::Kept(place, _) => place.socket(),
        }
    }

    fn log(&self) -> PathBuf {
        match self {
            Self::Own(folder, _) => folder.path().join("log"),
            Self::Kept(place, _) => place.log(),
        }
    }

    /// How long the master stays without channels, if it is to end by itself: that of a controller that was killed has none.
    fn persists(&self) -> Duration {
        match self {
            Self::Own(..) => Duration::from_mins(1),
            Self::Kept(_, keep) => *keep,
        }
    }

    /// The connection whose master stands here.
    fn connection(self, destination: &str) -> Connection {
        let log: Arc<Path> = self.log().into();
        let socket = self.socket();
        let (claim, session) = match self {
            Self::Own(folder, claim) => (Some(claim), openssh::Session::new_native_mux(folder)),
            Self::Kept(..) => (None, openssh::Session::resume_mux(socket.clone().into(), None)),
        };
        let kept = claim.is_none().then(|| inode(&socket));
        let master = Master { socket, kept, unruly: AtomicBool::new(false), _claim: claim };
        Connection {
            master: Arc::new(master),
            session: Arc::new(session),
            log,
            destination: destination.into(),
            _jump: None,
        }
    }
}

impl Ssh {
    /// With what all connections of the run share.
    pub fn new(settings: Settings) -> Self {
        Self { settings, refusing: Arc::default(), configurations: Arc::default(), jumps: Arc::default() }
    }

    /// Why the password is not tried on this host again.
    fn refuses(&self, login: &Login) -> Option<TransportError> {
        let refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        refusing.iter().find(|(known, _)| known == login).map(|(_, error)| error.clone())
    }

    fn connect_timeout(&self) -> Duration {
        self.settings.connect_timeout.unwrap_or(CONNECT_TIMEOUT)
    }

    async fn connect_once(
        &self,
        login: &Login,
        persist: bool,
        spot: io::Result<Spot>,
        jump: Option<&Connection>,
    ) -> Result<Connection, refused::Refused> {
        let destination = &login.address;
        let final_error = |error| refused::Refused { error, again: false, proxied: false, password: false };
        let unreachable = |message: String, hint: &str| {
            final_error(TransportError::Unreachable { message, hint: Some(hint.to_owned()), lost: false })
        };
        if destination.is_empty() || destination.starts_with('-') {
            return Err(unreachable(
                format!("{destination:?} is no address"),
                "check `address` in the inventory",
            ));
        }
        let cannot = |error: io::Error| {
            unreachable(
                format!("cannot make a directory for the control socket: {error}"),
                "set XDG_RUNTIME_DIR or TMPDIR to a directory that can be written to",
            )
        };
        let spot = spot.map_err(cannot)?;
        let (socket, log) = (spot.socket(), spot.log());
        // `-E` keeps what ssh says later on, in the background; what it says before it has read its options, and
        // what the ssh of a jump host says, comes on standard error.
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log).map_err(cannot)?;
        let bound = self.connect_timeout();
        let password = self.settings.login_password.as_ref();
        // What asks for the password is gone when that is known to be right.
        let scratch = password.map(|_| control_folder()).transpose().map_err(cannot)?;
        let mut askpass = password
            .zip(scratch.as_ref())
            .map(|(word, (folder, _))| Askpass::open(folder.path(), word))
            .transpose()
            .map_err(cannot)?;
        let mut ssh = Command::new("ssh");
        if let Some(askpass) = &askpass {
            askpass.equip(&mut ssh).map_err(cannot)?;
            ssh.args(Askpass::OPTIONS.iter().flat_map(|option| ["-o", option]));
        }
        let mut ssh = ssh
            .args(jump.map(|jump| format!("-oProxyCommand={}", jump.proxy_command())))
            .args(arguments(login, (&socket, &log), bound, persist.then(|| spot.persists())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                unreachable(format!("cannot start ssh: {error}"), "install the OpenSSH client")
            })?;
        // `ssh` bounds connecting and the key exchange, not the login that follows.
        let ready = self.settings.ready();
        let ready = connect_timeout(login).map_or(ready, |own| ready.max(own * 2));
        // What `ssh` has to say comes first.
        let mut refusal = None;
        let pid = ssh.id();
        let ended = async {
            let Some(askpass) = &mut askpass else { return finished(&mut ssh, &log).await };
            tokio::select! {
                ended = finished(&mut ssh, &log) => return ended,
                why = askpass.serve(pid) => refusal = Some(why),
            }
            end_group(&ssh);
            ssh.wait().await
        };
        let ended = tokio::time::timeout(ready + Duration::from_secs(1), ended).await;
        if let Some(why) = refusal {
            return Err(refused::Refused { password: true, ..final_error(why) });
        }
        match ended {
            Ok(Ok(status)) if status.success() => {
                if let Some(askpass) = &mut askpass {
                    askpass.taken();
                }
                Ok(spot.connection(destination))
            }
            Ok(Ok(_)) => {
                let log = read_log(&log);
                if let Some(mut askpass) = askpass.filter(|askpass| askpass.is_refused(&log)) {
                    return Err(refused::Refused { password: true, ..final_error(askpass.wrong()) });
                }
                let locked = if refused::may_be_locked(&log) { locked_key(login).await } else { None };
                Err(locked.map_or_else(
                    || refused::read(&log, destination),
                    |key| final_error(refused::locked(&key, destination)),
                ))
            }
            Ok(Err(error)) => Err(unreachable(format!("cannot wait for ssh: {error}"), "try again")),
            Err(_) => Err(unreachable(
                format!("{destination} does not let us in within {}", seconds(ready)),
                "the host answers, but the login hangs: look at its sshd and at the directory service that it asks; \
                 --connect-timeout waits longer",
            )),
        }
    }
}

/// The first key of those that `ssh` would use which needs a passphrase that nobody can be asked for.
async fn locked_key(login: &Login) -> Option<String> {
    let settings = said(Command::new("ssh").arg("-G").args(target(login))).await?.0;
    let home = std::env::var("HOME").unwrap_or_default();
    let files = settings.lines().filter_map(|line| line.strip_prefix("identityfile "));
    let agent = settings.lines().find_map(|line| line.strip_prefix("identityagent "));
    let mut held = Command::new("ssh-add");
    held.arg("-L");
    match agent {
        None | Some("SSH_AUTH_SOCK") => {}
        Some(socket) => {
            held.env("SSH_AUTH_SOCK", socket.replacen('~', &home, usize::from(socket.starts_with('~'))));
        }
    }
    let held = said(&mut held).await.unwrap_or_default().0;
    for file in files {
        let file = file.trim_matches('"');
        let file = file.replacen('~', &home, usize::from(file.starts_with('~')));
        let public = std::fs::read_to_string(format!("{file}.pub")).unwrap_or_default();
        let public = public.split_whitespace().nth(1);
        if !Path::new(&file).is_file() || public.is_some_and(|key| held.contains(key)) {
            continue;
        }
        let (_, complaint) = said(Command::new("ssh-keygen").args(["-y", "-P", "", "-f", &file])).await?;
        if complaint.contains("incorrect passphrase") {
            return Some(file);
        }
    }
    None
}

/// What a program says on both streams; `None` if it does not come to an end.
pub(super) async fn said(command: &mut Command) -> Option<(String, String)> {
    let output = command.stdin(Stdio::null()).env("LC_ALL", "C").kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(5), output).await.ok()?.ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&output.stdout), text(&output.stderr)))
}

/// Ends an `ssh` at once, and those that it has started for jump hosts, which are in its group.
pub(super) fn end_group(ssh: &Child) {
    if let Some(group) = ssh.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
        // If it has ended by itself meanwhile, all the better.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// Waits for the end of `ssh`, and ends it when the host floods it with text: that is written to a file here, often
/// one in memory.
async fn finished(ssh: &mut Child, log: &Path) -> io::Result<ExitStatus> {
    const LONGEST: u64 = 1 << 20;
    loop {
        tokio::select! {
            status = ssh.wait() => return status,
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                if std::fs::metadata(log).is_ok_and(|log| log.len() > LONGEST) {
                    ssh.kill().await?;
                    std::fs::write(log, refused::FLOOD)?;
                    return ssh.wait().await;
                }
            }
        }
    }
}

impl Ssh {
    /// The place of a connection that is kept, and for how long; `None` if it is not.
    fn place(&self, login: &Login) -> Option<(Place, Duration)> {
        let keeping = self.settings.keeping.as_ref()?;
        let time = keeping.time.or(login.keep).unwrap_or(kept::KEEP);
        if time.is_zero() {
            return None;
        }
        Some((keeping.folder.place(login, time, &self.configuration(login)), time))
    }

    fn configuration(&self, login: &Login) -> Configuration {
        let mut known = self.configurations.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || Configuration::read(login.ssh_config.as_deref());
        *known.entry(login.ssh_config.clone()).or_insert_with(read)
    }

    /// Whether a host may be behind jump hosts.
    pub(super) fn may_jump(&self, login: &Login) -> bool {
        let option =
            |option: &String| option.get(..9).is_some_and(|key| key.eq_ignore_ascii_case("ProxyJump"));
        login.ssh_options.iter().any(option) || self.configuration(login).jumps
    }

    /// Whether there is a password for logging in.
    pub(super) fn has_password(&self) -> bool {
        self.settings.login_password.is_some()
    }

    pub(super) fn jumps(&self) -> MutexGuard<'_, Jumps> {
        self.jumps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that an earlier run has left, or another one has open; else a new one, which is kept if it is to be.
    /// Also says whether it was found.
    pub(super) async fn connection(&self, host: &Host) -> Result<(Connection, bool), TransportError> {
        let Some((place, time)) = self.place(&host.login) else {
            return Ok((self.new_connection(&host.login, None).await?, false));
        };
        // Without a lock it is not kept.
        let Some(_lock) = locked(&place).await else {
            return Ok((self.new_connection(&host.login, None).await?, false));
        };
        if place.socket().exists() {
            let connection = Spot::Kept(place.clone(), time).connection(&host.login.address);
            if connection.stands().await {
                return Ok((connection, true));
            }
        }
        Ok((self.new_kept(host, &place, time).await?, false))
    }

    /// Makes a connection in the place of one that is dead.
    pub(super) async fn replace(&self, host: &Host, dead: &Connection) -> Result<Connection, TransportError> {
        let Some((place, time)) = self.place(&host.login) else {
            return self.new_connection(&host.login, None).await;
        };
        let Some(_lock) = locked(&place).await else {
            return self.new_connection(&host.login, None).await;
        };
        // Somebody else may have been first.
        if dead.master.kept == Some(inode(&place.socket())) {
            let place = place.clone();
            let _ = tokio::task::spawn_blocking(move || place.end()).await;
        } else if place.socket().exists() {
            return Ok(Spot::Kept(place, time).connection(&host.login.address));
        }
        self.new_kept(host, &place, time).await
    }

    async fn new_kept(
        &self,
        host: &Host,
        place: &Place,
        time: Duration,
    ) -> Result<Connection, TransportError> {
        let connection = self.new_connection(&host.login, Some((place, time))).await?;
        if connection.is_kept() {
            place.note_down(&host.name, &host.login, time);
        }
        Ok(connection)
    }

    /// Makes a connection, again and again where the host is only too busy.
    pub(super) async fn new_connection(
        &self,
        login: &Login,
        keep: Option<(&Place, Duration)>,
    ) -> Result<Connection, TransportError> {
        let mut pauses = PAUSES.iter();
        let mut persist = true;
        if let Some(error) = self.refuses(login) {
            return Err(error);
        }
        let mut jump = self.jump(login).await?;
        loop {
            let start = tokio::time::Instant::now();
            let spot = match keep.filter(|_| persist) {
                Some((place, time)) => {
                    place.clear();
                    Ok(Spot::Kept(place.clone(), time))
                }
                None => control_folder().map(|(folder, claim)| Spot::Own(folder, claim)),
            };
            match self.connect_once(login, persist, spot, jump.as_ref()).await {
                Ok(connection) => return Ok(Connection { _jump: jump.map(Box::new), ..connection }),
                // Why the way beyond the jump host is closed, only an `ssh` of its own is told; unless that takes too long.
                Err(_) if jump.is_some() && start.elapsed() < self.connect_timeout() => {
                    jump = None;
                }
                Err(refused) => match pauses.next() {
                    Some(pause) if refused.again => {
                        persist &= !refused.proxied;
                        tokio::time::sleep(jittered(*pause)).await;
                    }
                    _ => {
                        if self.settings.login_password.is_some() && refused.password {
                            let mut refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
                            refusing.push((login.clone(), refused.error.clone()));
                        }
                        return Err(refused.error);
                    }
                },
            }
        }
    }
}

/// The right to make the connection of this place: who is first makes it, and the others take it over. `None` where there
/// can be no lock.
async fn locked(place: &Place) -> Option<std::fs::File> {
    loop {
        match place.lock() {
            Ok(Some(lock)) => return Some(lock),
            Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(_) => return None,
        }
    }
}

impl Connector for Ssh {
    fn connect<'a>(&'a self, host: &'a Arc<Host>) -> BoxFuture<'a, Result<Box<dyn Session>, TransportError>> {
        Box::pin(async move {
            let (connection, found) = self.connection(host).await?;
            let line = Line::new(self.clone(), Arc::clone(host), connection, found);
            Ok(Box::new(Shells::new(line, self.settings.clone(), &host.name)) as Box<dyn Session>)
        })
    }
}

/// A private directory for one control socket, where the path stays well below the 104 to 108 bytes that a socket's
/// path may have; `ssh` adds 17 while it makes the socket.
pub(super) fn control_folder() -> io::Result<(TempDir, Claim)> {
    static CLEARED: Once = Once::new();
    let base = base_of_control_folders();
    CLEARED.call_once(|| private_folder::clear(&base, CONTROL, |folder| exit_master(&folder.join("master"))));
    private_folder::make(&base, CONTROL)
}

/// How the name of a control folder begins.
const CONTROL: &str = "hw.";

fn base_of_control_folders() -> PathBuf {
    const LONGEST: usize = 60;
    let short = |path: &PathBuf| path.is_absolute() && path.as_os_str().len() <= LONGEST && path.is_dir();
    let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(short);
    base.or_else(|| Some(std::env::temp_dir()).filter(short)).unwrap_or_else(|| "/tmp".into())
}

/// The arguments of the control master. Of an option given twice, the first counts (`ssh_config(5)`): first comes what
/// we rely on, then what the inventory says, then what it may change.
///
/// `persist`: for how long a master stays that has no channels any more. Without, it stays for good, but tells what a jump
/// host says (`ssh_proxy_connect` in OpenSSH's sshconnect.c).
fn arguments(
    login: &Login,
    (socket, log): (&Path, &Path),
    connect_timeout: Duration,
    persist: Option<Duration>,
) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::new();
    let mut add = |words: &[&std::ffi::OsStr]| all.extend(words.iter().map(OsString::from));
    add(&["-M".as_ref(), "-f".as_ref(), "-N".as_ref(), "-T".as_ref()]);
    add(&["-E".as_ref(), log.as_ref(), "-S".as_ref(), socket.as_ref()]);
    if let Some(config) = &login.ssh_config {
        add(&["-F".as_ref(), config.as_ref()]);
    }
    let persist = persist.map_or_else(|| "no".to_owned(), |time| time.as_secs().max(1).to_string());
    for option in [
        "BatchMode=yes",
        // Its forwardings are for people at a terminal; twenty masters cannot all listen on one port.
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        &format!("ControlPersist={persist}"),
    ] {
        add(&["-o".as_ref(), option.as_ref()]);
    }
    for option in &login.ssh_options {
        add(&["-o".as_ref(), option.as_ref()]);
    }
    let timeout = format!("ConnectTimeout={}", connect_timeout.as_secs().max(1));
    for option in [timeout.as_str(), "ServerAliveInterval=15", "ServerAliveCountMax=4"] {
        add(&["-o".as_ref(), option.as_ref()]);
    }
    if let Some(port) = login.port {
        add(&["-p".as_ref(), port.to_string().as_ref()]);
    }
    if let Some(user) = &login.user {
        add(&["-l".as_ref(), user.as_ref()]);
    }
    add(&["--".as_ref(), login.address.as_ref()]);
    all
}

/// The arguments that say where to, and what the inventory says.
pub(super) fn target(login: &Login) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: &std::ffi::OsStr| all.extend([option.into(), value.to_owned()]);
    if let Some(config) = &login.ssh_config {
        add("-F", config.as_ref());
    }
    for option in &login.ssh_options {
        add("-o", option.as_ref());
    }
    if let Some(port) = login.port {
        add("-p", port.to_string().as_ref());
    }
    if let Some(user) = &login.user {
        add("-l", user.as_ref());
    }
    add("--", login.address.as_ref());
    all
}

/// `ConnectTimeout` of the inventory's options, which counts before ours.
fn connect_timeout(login: &Login) -> Option<Duration> {
    let value = login.ssh_options.iter().find_map(|option| {
        let (key, value) = option.split_once('=')?;
        key.trim().eq_ignore_ascii_case("ConnectTimeout").then_some(value)
    })?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Between half and the whole of `pause`, so that many hosts behind one jump host do not come back all at once.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the whole pause is as good.
    let known = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut byte));
    let share = if known.is_ok() { u32::from(byte[0]) } else { 255 };
    pause / 2 + pause * share / 510
}

/// The end of the log: it grows with what a banner says.
fn read_log(log: &Path) -> String {
    const LONGEST: u64 = 16 << 10;
    let mut bytes = Vec::new();
    // Without a log nothing is known, which is then said.
    let _ = std::fs::File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(length.saturating_sub(LONGEST)))?;
        file.take(LONGEST).read_to_end(&mut bytes)
    });
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The process that holds a connection.
///
/// Asked to stop, it first waits for its channels, and a host whose shell does not end would keep it, and what runs
/// there, forever: with such a one it has to exit at once.
#[derive(Debug)]
struct Master {
    socket: PathBuf,
    unruly: AtomicBool,
    /// Others may use it too, now or later: which file its socket is.
    kept: Option<u64>,
    _claim: Option<Claim>,
}

/// Which file that is; 0 where there is none.
fn inode(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).map_or(0, |found| found.ino())
}

impl Drop for Master {
    fn drop(&mut self) {
        // One that has been replaced is not ours to end. Another run that uses this one makes a connection of its own.
        if *self.unruly.get_mut() && self.kept.is_none_or(|socket| socket == inode(&self.socket)) {
            exit_master(&self.socket);
        }
    }
}

/// Lets a control master exit at once. When it is gone already, all is well.
fn exit_master(socket: &Path) {
    kept::ask_master(socket, "exit");
}

/// A shell of which nobody knows that it has ended.
struct Loose(Option<Arc<Master>>);

impl Loose {
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Loose {
    fn drop(&mut self) {
        if let Some(master) = &self.0 {
            master.unruly.store(true, Ordering::Relaxed);
        }
    }
}

/// A connection that stands.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    // Before the session: it goes first.
    master: Arc<Master>,
    session: Arc<openssh::Session>,
    log: Arc<Path>,
    destination: Arc<str>,
    /// It goes through this one, which ends after it.
    _jump: Option<Box<Connection>>,
}

impl Connection {
    /// How `ssh` reaches a host behind this one (`ssh_config(5)`; it comes before what is said of jump hosts elsewhere).
    fn proxy_command(&self) -> String {
        let socket = quote(&self.master.socket.to_string_lossy()).replace('%', "%%");
        format!("ssh -F none -S {socket} -W '[%h]:%p' jump-host")
    }

    pub(super) fn is_kept(&self) -> bool {
        self.master.kept.is_some()
    }

    fn lost(&self) -> TransportError {
        refused::lost(&read_log(&self.log), &self.destination)
    }

    /// Whether the master is still there.
    pub(super) async fn stands(&self) -> bool {
        // Another one may stand where this one was.
        if self.master.kept.is_some_and(|socket| socket != inode(&self.master.socket)) {
            return false;
        }
        matches!(tokio::time::timeout(Duration::from_secs(2), self.session.check()).await, Ok(Ok(())))
    }

    /// Starts a shell.
    pub(super) async fn launch(&self, arguments: &[String]) -> Result<Pipes, TransportError> {
        let command = frames::command_line(arguments);
        let spawned = Arc::clone(&self.session)
            .arc_raw_command(command)
            .stdin(openssh::Stdio::piped())
            .stdout(openssh::Stdio::piped())
            .stderr(openssh::Stdio::piped())
            .spawn()
            .await;
        let mut child = match spawned {
            Ok(child) => child,
            Err(_) if !self.stands().await => return Err(self.lost()),
            Err(error) => {
                let why =
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                let hint = "the host's sshd allows too few sessions on a connection (MaxSessions), or none";
                return Err(shell_error(
                    format!("cannot open a session on the connection: {why}"),
                    Some(hint),
                ));
            }
        };
        let taken = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let (Some(stdin), Some(stdout), Some(stderr)) = taken else {
            unreachable!("all three were asked for as pipes");
        };
        Ok(Pipes {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            process: Box::new(Remote {
                child,
                loose: Loose(Some(Arc::clone(&self.master))),
                connection: self.clone(),
            }),
        })
    }
}

/// A shell on the host.
struct Remote {
    child: openssh::Child<Arc<openssh::Session>>,
    loose: Loose,
    connection: Connection,
}

impl Process for Remote {
    fn ended(self: Box<Self>) -> BoxFuture<'static, End> {
        Box::pin(async move {
            let Self { child, loose, connection } = *self;
            let status = tokio::time::timeout(Duration::from_secs(2), child.wait()).await;
            let code = match status {
                Ok(Ok(status)) => Some(status.code()),
                // The crate's word for exit code 127.
                Ok(Err(openssh::Error::Remote(_))) => Some(Some(127)),
                _ => None,
            };
            if let Some(code) = code {
                loose.ended();
                return End::Exited(code);
            }
            // A shell that a signal ended and a connection that broke look the same; a master that lost its
            // connection takes a moment to exit.
            for _ in 0..10 {
                if !connection.stands().await {
                    return End::Lost(connection.lost());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            End::Exited(None)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn inventory_options_come_before_what_they_may_change() {
        let login = Login {
            address: "db1".into(),
            port: Some(2222),
            user: Some("admin".into()),
            ssh_config: Some("/etc/hw/ssh".into()),
            ssh_options: vec!["ConnectTimeout=3".into(), "StrictHostKeyChecking=accept-new".into()],
            keep: None,
            local: false,
        };
        let paths = (Path::new("/run/hw.x/master"), Path::new("/run/hw.x/log"));
        let words = arguments(&login, paths, CONNECT_TIMEOUT, Some(Duration::from_mins(1)));
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            words.join(" "),
            "-M -f -N -T -E /run/hw.x/log -S /run/hw.x/master -F /etc/hw/ssh -o BatchMode=yes \
             -o ClearAllForwardings=yes -o PermitLocalCommand=no -o ControlPersist=60 -o ConnectTimeout=3 \
             -o StrictHostKeyChecking=accept-new -o ConnectTimeout=10 -o ServerAliveInterval=15 \
             -o ServerAliveCountMax=4 -p 2222 -l admin -- db1"
        );
        assert_eq!(connect_timeout(&login), Some(Duration::from_secs(3)));
    }

    #[test]
    fn the_control_folder_is_private() {
        let (folder, _claim) = control_folder().unwrap();
        assert_eq!(folder.path().metadata().unwrap().permissions().mode() & 0o7777, 0o700);
        assert!(folder.path().join("master").as_os_str().len() + 17 < 104);
    }

    #[test]
    fn pauses_vary() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(1));
            assert!((500..=1000).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
