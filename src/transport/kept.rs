//! Connections that outlive a run: their control masters stand in a folder of the user's, where the next run finds them.
//!
//! A master is found by a digest of all that makes the connection what it is: the login, the options of the inventory, the
//! configuration files of ssh with all that they include, and the agent. What differs in one of these is another connection.
//! Who may open the folder may use the connections, so it is the user's alone, which is looked at each time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::digest::hex;
use crate::model::{HostName, Login};

/// How long a connection is kept where nothing is said.
pub const KEEP: Duration = Duration::from_mins(1);

/// Where connections are kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// Where.
    pub folder: Folder,
    /// For how long, whatever the inventory says.
    pub time: Option<Duration>,
}

/// The folder of a user's kept connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

/// A place in the folder for the master of one connection.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
    name: String,
}

/// A connection that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The host for which it was made, by its name in the inventory.
    pub host: HostName,
    /// Where to, as `user@address:port`, as far as the inventory says.
    pub destination: String,
    /// When it was made.
    pub since: SystemTime,
    /// For how long it stays without being used.
    pub keep: Duration,
}

/// Where a runtime folder may be, and a control socket below it: its path has 104 to 108 bytes at most, and `ssh` adds 17
/// while it makes it.
const LONGEST: usize = 60;

impl Folder {
    /// The folder of this user, which is made where there is none.
    ///
    /// It is below the runtime folder of the session (`XDG_RUNTIME_DIR`, which goes with the user's last session, see
    /// `pam_systemd(8)`), else in `/tmp`.
    ///
    /// # Errors
    /// What is there belongs to somebody else, or others may open it.
    pub fn of_user() -> io::Result<Self> {
        let user = rustix::process::geteuid().as_raw();
        let folder = runtime(user).map_or_else(
            || PathBuf::from(format!("/tmp/hostwright-connections-{user}")),
            |runtime| runtime.join("hostwright"),
        );
        Self::at(folder, user)
    }

    fn at(folder: PathBuf, user: u32) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if is_private(&folder, user) {
            return Ok(Self(folder));
        }
        Err(io::Error::other(format!("{} is no folder that is yours alone (mode 0700)", folder.display())))
    }

    /// The place of the connection with a host that is kept for so long.
    pub(super) fn place(&self, login: &Login, keep: Duration, configuration: &Configuration) -> Place {
        let mut digest = Sha256::new();
        let mut add = |bytes: &[u8]| {
            digest.update(bytes.len().to_be_bytes());
            digest.update(bytes);
        };
        add(login.address.as_bytes());
        add(format!("{:?} {:?} {keep:?}", login.port, login.user).as_bytes());
        for option in &login.ssh_options {
            add(option.as_bytes());
        }
        add(&configuration.digest);
        for variable in ["SSH_AUTH_SOCK", "HOME", "USER"] {
            add(std::env::var_os(variable).unwrap_or_default().as_encoded_bytes());
        }
        // In another network the same address is another host.
        add(fs::read_link("/proc/self/ns/net").unwrap_or_default().as_os_str().as_encoded_bytes());
        Place { folder: self.0.clone(), name: hex(&digest.finalize()[..12]) }
    }

    /// The connections that stand, by the name of their host. What is left of others is removed.
    pub fn connections(&self) -> Vec<(Kept, Standing)> {
        let mut all = Vec::new();
        for place in self.places() {
            let kept = place.read();
            match kept.filter(|_| place.ask("check")) {
                Some(kept) => all.push((kept, Standing(place))),
                // It is being made, or it is gone.
                None if place.socket().exists() || !place.is_free() => {}
                None => place.clear(),
            }
        }
        all.sort_by(|(a, _), (b, _)| (&a.host, &a.destination).cmp(&(&b.host, &b.destination)));
        all
    }

    fn places(&self) -> Vec<Place> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let places = names.filter_map(|name| {
            Some(Place { folder: self.0.clone(), name: name.strip_suffix(".json")?.to_owned() })
        });
        places.collect()
    }
}

/// A connection that stood when it was looked at.
#[derive(Debug)]
pub struct Standing(Place);

impl Standing {
    /// Closes it, also under who uses it. Whether it was there still.
    pub fn close(self) -> bool {
        self.0.end()
    }
}

impl Place {
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    fn note(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.name))
    }

    /// The right to make it, or to find out whether it stands; `None` while another process has it.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        let path = self.folder.join(format!("{}.lock", self.name));
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let lock = options.open(path)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(lock)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn is_free(&self) -> bool {
        self.lock().is_ok_and(|lock| lock.is_some())
    }

    /// Notes down what the connection is, for people.
    pub(super) fn note_down(&self, host: &HostName, login: &Login, keep: Duration) {
        let user = login.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = login.port.map(|port| format!(":{port}")).unwrap_or_default();
        let destination = format!("{user}{}{port}", login.address);
        let kept = Kept { host: host.clone(), destination, since: SystemTime::now(), keep };
        // Without it the connection is used all the same, and only not listed.
        let _ = serde_json::to_vec(&kept).map(|bytes| fs::write(self.note(), bytes));
    }

    fn read(&self) -> Option<Kept> {
        serde_json::from_slice(&fs::read(self.note()).ok()?).ok()
    }

    /// Sends a request to the master; whether there is one that obeys.
    fn ask(&self, request: &str) -> bool {
        ask_master(&self.socket(), request)
    }

    /// Ends the master, and removes what it has left. Whether it was there still.
    pub(super) fn end(&self) -> bool {
        let ended = self.ask("exit");
        self.clear();
        ended
    }

    /// Removes what a master that is gone has left. The lock stays: somebody may wait for it.
    pub(super) fn clear(&self) {
        for path in [self.socket(), self.log(), self.note()] {
            // What is not there is fine.
            let _ = fs::remove_file(path);
        }
    }
}

/// Sends a request to a control master (`-O` of `ssh(1)`); whether there is one that obeys. Without a configuration, which
/// could name another one.
pub(super) fn ask_master(socket: &Path, request: &str) -> bool {
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-O", request, "-S"]).arg(socket).arg("host");
    let status = ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The runtime folder of the user's session, if there is one that is the user's alone.
fn runtime(user: u32) -> Option<PathBuf> {
    let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = PathBuf::from(format!("/run/user/{user}"));
    let fits =
        |path: &PathBuf| path.is_absolute() && path.as_os_str().len() <= LONGEST && is_private(path, user);
    named.into_iter().chain([usual]).find(fits)
}

/// Whether a path is a folder that this user owns and nobody else may open.
fn is_private(folder: &Path, user: u32) -> bool {
    let is =
        |found: fs::Metadata| found.is_dir() && found.uid() == user && found.mode().is_multiple_of(0o100);
    fs::symlink_metadata(folder).is_ok_and(is)
}

/// The configuration of ssh: of the file that is named, or of the usual ones, with all that they include.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Configuration {
    /// A digest of all of it.
    digest: [u8; 32],
    /// It speaks of jump hosts.
    pub(super) jumps: bool,
}

impl Configuration {
    /// Reads it.
    pub(super) fn read(named: Option<&Path>) -> Self {
        let mut reading = Reading { digest: Sha256::new(), jumps: false };
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        if let Some(file) = named {
            reading.add(file, &home.join(".ssh"), 0);
        } else {
            reading.add(&home.join(".ssh/config"), &home.join(".ssh"), 0);
            reading.add(Path::new("/etc/ssh/ssh_config"), Path::new("/etc/ssh"), 0);
        }
        Self { digest: reading.digest.finalize().into(), jumps: reading.jumps }
    }
}

struct Reading {
    digest: Sha256,
    jumps: bool,
}

impl Reading {
    /// Adds a file, and what it includes: from `folder`, where no other is said (`Include` in `ssh_config(5)`).
    fn add(&mut self, file: &Path, folder: &Path, depth: usize) {
        self.digest.update(file.as_os_str().as_encoded_bytes());
        let Ok(text) = fs::read(file) else { return self.digest.update([0]) };
        self.digest.update(text.len().to_be_bytes());
        self.digest.update(&text);
        let mut included = Vec::new();
        for line in String::from_utf8_lossy(&text).lines() {
            let mut words =
                line.split(|c: char| c.is_whitespace() || c == '=').filter(|word| !word.is_empty());
            let key = words.next().unwrap_or_default();
            self.jumps |= key.eq_ignore_ascii_case("ProxyJump");
            if key.eq_ignore_ascii_case("Include") {
                included.extend(words.flat_map(|pattern| includes(pattern.trim_matches('"'), folder)));
            }
        }
        // As deep as ssh goes.
        if depth < 16 {
            for file in &included {
                self.add(file, folder, depth + 1);
            }
        }
    }
}

/// The files that a pattern of `Include` names, in their order. Wildcards count in the name of the file alone.
fn includes(pattern: &str, folder: &Path) -> Vec<PathBuf> {
    let home = std::env::var("HOME").unwrap_or_default();
    let path = match pattern.strip_prefix("~/") {
        Some(rest) => Path::new(&home).join(rest),
        None => folder.join(pattern),
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    if !name.contains(['*', '?', '[']) {
        return vec![path];
    }
    // More than match is no harm: another digest is another connection.
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn user() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn only_a_folder_of_the_users_own_is_used() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("hostwright");
        assert!(Folder::at(path.clone(), user()).is_ok());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
        assert!(Folder::at(path.clone(), user()).is_ok(), "it is found again");
        assert!(Folder::at(path.clone(), user() + 1).is_err(), "it is somebody else's");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        let why = Folder::at(path.clone(), user()).unwrap_err().to_string();
        assert!(why.ends_with("is no folder that is yours alone (mode 0700)"), "{why}");
        let link = base.path().join("link");
        let other = base.path().join("other");
        DirBuilder::new().mode(0o700).create(&other).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        assert!(Folder::at(link, user()).is_err(), "it is a link");
    }

    #[test]
    fn what_differs_is_another_connection() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder(base.path().to_owned());
        let login = Login { address: "web-01".into(), ..Login::default() };
        let name = |login: &Login, keep, configuration| folder.place(login, keep, configuration).name;
        let [one, other] = [0, 1].map(|n| Configuration { digest: [n; 32], jumps: false });
        let first = name(&login, KEEP, &one);
        assert_eq!(first, name(&login.clone(), KEEP, &one));
        let others = [
            name(&Login { user: Some("anna".into()), ..login.clone() }, KEEP, &one),
            name(&Login { port: Some(2222), ..login.clone() }, KEEP, &one),
            name(&Login { ssh_options: vec!["ProxyJump=b".into()], ..login.clone() }, KEEP, &one),
            name(&Login { address: "web-02".into(), ..login.clone() }, KEEP, &one),
            name(&login, KEEP * 2, &one),
            name(&login, KEEP, &other),
        ];
        assert!(others.iter().all(|other| *other != first));
        // With what ssh adds while it makes the socket.
        assert!(folder.place(&login, KEEP, &one).socket().as_os_str().len() + 17 < 104);
    }

    #[test]
    fn what_a_configuration_includes_counts() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("config");
        let more = base.path().join("more.d");
        fs::create_dir(&more).unwrap();
        fs::write(more.join("a"), "Host *\n").unwrap();
        fs::write(&file, format!("include = {}/*\n", more.display())).unwrap();
        let configuration = Configuration::read;
        let first = configuration(Some(&file));
        assert_eq!(first, configuration(Some(&file)));
        assert!(!first.jumps);
        fs::write(more.join("a"), "Host *\nproxyjump=gate\n").unwrap();
        let second = configuration(Some(&file));
        assert!(second.jumps);
        assert_ne!(first, second);
        fs::write(more.join("b"), "").unwrap();
        assert_ne!(second, configuration(Some(&file)));
        // One that includes itself has an end.
        fs::write(&file, format!("Include {}\n", file.display())).unwrap();
        configuration(Some(&file));
    }

    #[test]
    fn one_process_at_a_time_makes_a_connection() {
        let base = tempfile::tempdir().unwrap();
        let place = Place { folder: base.path().to_owned(), name: "x".into() };
        let lock = place.lock().unwrap().unwrap();
        assert!(place.lock().unwrap().is_none());
        drop(lock);
        assert!(place.lock().unwrap().is_some());
    }
}
