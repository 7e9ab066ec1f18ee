//! Where journals are kept: one file for each run, in a folder that only the user can read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};

use super::header::{Header, VERSION};
use super::writer::Writer;
use crate::event::{Body, Event, Mode, Summary};
use crate::harmless;

/// How long journals are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So many of them.
    pub runs: usize,
    /// So many days.
    pub days: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { runs: 500, days: 180 }
    }
}

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Neither `XDG_STATE_HOME` nor `HOME` says where it could be.
    #[error("neither XDG_STATE_HOME nor HOME is set to an absolute path")]
    Nowhere,
    /// The folder could be read or written by others, or is not a folder of the user.
    #[error("{} {what}", .folder.display())]
    Unsafe {
        /// Which.
        folder: PathBuf,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No run has such an id, or several have.
    #[error("{0}")]
    NotFound(String),
    /// It is not a journal, or one of a newer version.
    #[error("{} {what}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// The journals of a user.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// How a run ended, as its last line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The exit code.
    pub exit: u8,
    /// Whether anything was applied: not where the answer to the question was no.
    pub applied: bool,
}

/// A line of a journal behind its header.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "one at a time is read, and almost all are events")]
pub enum Line {
    /// The last one.
    Ended {
        /// Milliseconds since 1970.
        time: u64,
        /// How the run ended.
        ended: Ended,
    },
    /// An event.
    Event {
        /// Milliseconds since 1970.
        time: u64,
        /// The event.
        #[serde(flatten)]
        event: Event,
    },
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its controller still works on it.
    Running,
    /// Its controller was killed, or its host lost its power.
    Killed,
    /// It has ended.
    Ended(Ended),
}

/// What is known of a run from the ends of its journal.
#[derive(Debug)]
pub struct Entry {
    /// Its first line.
    pub header: Header,
    /// How it stands.
    pub state: State,
    /// What it came to, if it has ended.
    pub summary: Option<Summary>,
    /// From its beginning to its last line.
    pub took: Duration,
    path: PathBuf,
}

/// A whole journal.
#[derive(Debug)]
pub struct Recorded {
    /// Its first line.
    pub header: Header,
    /// Its events.
    pub events: Vec<Event>,
    /// How it stands.
    pub state: State,
}

impl Store {
    /// The journals of this user: `$XDG_STATE_HOME/hostwright/runs`, or the same below `~/.local/state`
    /// (XDG Base Directory Specification).
    ///
    /// # Errors
    /// [`JournalError::Nowhere`].
    pub fn of_user() -> Result<Self, JournalError> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Ok(Self::at(state.ok_or(JournalError::Nowhere)?.join("hostwright/runs")))
    }

    /// Journals in this folder.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Begins the journal of a run: makes the folder, clears what is too old, and writes the header to the disk. `failed`
    /// is called, once, if the journal cannot be written further.
    ///
    /// # Errors
    /// Why there will be no journal.
    pub fn begin(
        &self,
        header: &Header,
        keep: Keep,
        failed: impl FnOnce(&io::Error) + Send + 'static,
    ) -> Result<Writer, JournalError> {
        self.make_folder()?;
        self.clear(keep);
        let path = self.path(&header.run);
        let at = |error| JournalError::Io { path: path.clone(), error };
        let mut file = open(&path, OpenOptions::new().append(true).create_new(true)).map_err(at)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| at(e.into()))?;
        let line = harmless::json(header) + "\n";
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Half a header is no journal.
            let _ = std::fs::remove_file(&path);
            return Err(at(error));
        }
        Ok(Writer::start(file, failed))
    }

    /// Writes how a run ended. A journal that could not be written until here is left as it is.
    ///
    /// # Errors
    /// Why that cannot be written.
    pub fn end(&self, run: &str, ended: Ended) -> Result<(), JournalError> {
        #[derive(Serialize)]
        struct Last {
            time: u64,
            ended: Ended,
        }
        let path = self.path(run);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let last = Last { time: u64::try_from(time.as_millis()).unwrap_or(u64::MAX), ended };
        let line = harmless::json(&last) + "\n";
        let write = || {
            let mut file = open(&path, OpenOptions::new().append(true))?;
            file.write_all(line.as_bytes())?;
            file.sync_data()
        };
        write().map_err(|error| JournalError::Io { path: path.clone(), error })
    }

    fn path(&self, run: &str) -> PathBuf {
        self.folder.join(format!("{run}.jsonl"))
    }

    /// Makes the folder, which nobody else may read or write.
    fn make_folder(&self) -> Result<(), JournalError> {
        let at = |error| JournalError::Io { path: self.folder.clone(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(at)?;
        let found = std::fs::symlink_metadata(&self.folder).map_err(at)?;
        let wrong = |what: &str| Err(JournalError::Unsafe { folder: self.folder.clone(), what: what.into() });
        match () {
            () if !found.is_dir() => wrong("is not a folder; remove it"),
            () if found.uid() != rustix::process::geteuid().as_raw() => {
                wrong("belongs to somebody else; set XDG_STATE_HOME to a folder of yours")
            }
            () if found.mode() & 0o077 != 0 => wrong("is open to others; chmod 700 it"),
            () => Ok(()),
        }
    }

    /// The files of all runs, the newest first: an id begins with the time.
    fn files(&self) -> Result<Vec<PathBuf>, JournalError> {
        let at = |error| JournalError::Io { path: self.folder.clone(), error };
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at(error)),
        };
        let mut files: Vec<PathBuf> =
            entries.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>().map_err(at)?;
        files.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
        files.sort();
        files.reverse();
        Ok(files)
    }

    /// Removes the oldest journals, as far as their runs are over. What cannot be removed stays for the next time.
    fn clear(&self, keep: Keep) {
        let Ok(files) = self.files() else { return };
        let age =
            |path: &Path| path.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        let oldest = Duration::from_secs(keep.days.saturating_mul(24 * 3600));
        for (n, path) in files.iter().enumerate() {
            // The one that is about to begin counts as well.
            let goes = n + 1 >= keep.runs.max(1) || age(path).is_some_and(|age| age > oldest);
            if goes && !is_locked(path) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// All runs, the newest first. What is no journal is passed over.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn entries(&self) -> Result<impl Iterator<Item = Entry>, JournalError> {
        Ok(self.files()?.into_iter().filter_map(|path| entry(path).ok()))
    }

    /// The run whose id begins with `id`, or ends with it; `last` is the newest.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn find(&self, id: &str) -> Result<Entry, JournalError> {
        let files = self.files()?;
        let name = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut found = files.iter().filter(|path| {
            let name = name(path);
            id == "last" || name.starts_with(id) || name.ends_with(&format!("-{id}"))
        });
        let none = || {
            JournalError::NotFound(if files.is_empty() {
                format!("there is no run yet in {}", self.folder.display())
            } else {
                format!("no run is called {id}; `history` lists them")
            })
        };
        let first = found.next().ok_or_else(none)?;
        match found.next() {
            Some(second) if id != "last" => Err(JournalError::NotFound(format!(
                "{id} may mean {} or {}; give more of it",
                name(second),
                name(first)
            ))),
            _ => entry(first.clone()),
        }
    }
}

impl Entry {
    /// The run whose journal this file is, wherever it lies.
    ///
    /// # Errors
    /// It cannot be read, or is no journal.
    pub fn of_file(path: &Path) -> Result<Self, JournalError> {
        entry(path.to_owned())
    }

    /// Reads all of it. A line that was not written to its end is left out.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(self) -> Result<Recorded, JournalError> {
        let Self { header, state, path, .. } = self;
        let at = |error| JournalError::Io { path: path.clone(), error };
        let mut reader = BufReader::new(open(&path, OpenOptions::new().read(true)).map_err(at)?);
        let mut events = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(at)? == 0 {
                break;
            }
            if let Ok(Line::Event { event, .. }) = serde_json::from_slice(&line) {
                events.push(event);
            }
        }
        Ok(Recorded { header, events, state })
    }

    /// Whether it was an apply of which something may be left to do.
    pub fn is_unfinished(&self) -> bool {
        self.header.mode == Mode::Apply && !matches!(self.state, State::Ended(Ended { exit: 0, .. }))
    }
}

/// Opens a journal, and nothing that a link leads to.
fn open(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    how.mode(0o600).custom_flags(flags).open(path)
}

/// Whether a writer holds it.
fn is_locked(path: &Path) -> bool {
    let Ok(file) = open(path, OpenOptions::new().read(true)) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

/// A header longer than this is none.
const HEADER: u64 = 4 << 20;

/// So much of the end is looked at for the last lines, at first.
const TAIL: u64 = 64 << 10;

fn entry(path: PathBuf) -> Result<Entry, JournalError> {
    let at = |error| JournalError::Io { path: path.clone(), error };
    let wrong = |what: &str| JournalError::Unreadable { path: path.clone(), what: what.into() };
    let mut file = open(&path, OpenOptions::new().read(true)).map_err(at)?;
    // Before its end is read: a run that ends meanwhile is said to run.
    let running = flock(&file, FlockOperation::NonBlockingLockShared).is_err();
    let length = file.metadata().map_err(at)?.len();
    let mut first = Vec::new();
    BufReader::new((&file).take(HEADER)).read_until(b'\n', &mut first).map_err(at)?;
    let value: serde_json::Value = serde_json::from_slice(&first).map_err(|_| wrong("is not a journal"))?;
    if value.get("journal").and_then(serde_json::Value::as_u64) != Some(VERSION.into()) {
        return Err(wrong("was written by another version of Hostwright"));
    }
    let header: Header = serde_json::from_value(value).map_err(|_| wrong("is not a journal"))?;
    let mut tail = TAIL;
    let (mut summary, mut ended, mut last) = (None, None, None);
    loop {
        file.seek(SeekFrom::Start(length.saturating_sub(tail))).map_err(at)?;
        let mut bytes = Vec::new();
        (&file).take(tail).read_to_end(&mut bytes).map_err(at)?;
        for line in bytes.split(|b| *b == b'\n').rev() {
            match serde_json::from_slice(line) {
                Ok(Line::Ended { time, ended: how }) => {
                    last = last.or(Some(time));
                    ended = Some(how);
                }
                Ok(Line::Event { time, event }) => {
                    last = last.or(Some(time));
                    if let Body::RunFinished { summary: whole, .. } = event.body {
                        summary = Some(whole);
                    }
                    break;
                }
                Err(_) => {}
            }
        }
        // A summary of a thousand hosts is long.
        if (ended.is_none() && last.is_some()) || summary.is_some() || tail >= length {
            break;
        }
        (ended, last) = (None, None);
        tail = tail.saturating_mul(8);
    }
    let state = match ended {
        Some(ended) => State::Ended(ended),
        None if running => State::Running,
        None => State::Killed,
    };
    let began = u64::try_from(header.started.timestamp().as_millisecond()).unwrap_or(0);
    let took = Duration::from_millis(last.unwrap_or(began).saturating_sub(began));
    Ok(Entry { header, state, summary, took, path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Reporter as _;

    fn header(run: &str) -> Header {
        Header {
            journal: VERSION,
            hostwright: "0.1.0".into(),
            run: run.into(),
            mode: Mode::Apply,
            started: Header::now(),
            user: "anna".into(),
            controller: "desk".into(),
            folder: "/srv".into(),
            arguments: vec!["apply".into(), "playbooks".into()],
            hosts: Vec::new(),
            playbooks: vec!["10-nfs".into()],
            files: std::collections::BTreeMap::new(),
            revision: None,
            resumes: None,
            undoes: None,
            shard: None,
            saved_plan: None,
        }
    }

    fn warning(message: &str) -> Event {
        Event { at_ms: 1, body: Body::Warning { host: None, message: message.into() } }
    }

    fn finished(changed: usize) -> Event {
        let mut summary = Summary::default();
        summary.total.changed = changed;
        Event { at_ms: 2, body: Body::RunFinished { summary, exchanges: std::collections::BTreeMap::new() } }
    }

    fn begin(store: &Store, run: &str, keep: Keep) -> Writer {
        store.begin(&header(run), keep, |error| panic!("{error}")).unwrap()
    }

    #[test]
    fn a_run_is_running_then_killed_or_ended() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("a/runs"));
        let mut writer = begin(&store, "20260101T000000Z-1", Keep::default());
        writer.event(&warning("one\u{202e}\x1b[31m"));
        assert_eq!(store.find("last").unwrap().state, State::Running);
        drop(writer);
        let entry = store.find("20260101").unwrap();
        assert_eq!((entry.state, entry.summary.is_some()), (State::Killed, false));
        assert!(entry.is_unfinished());
        assert_eq!(entry.read().unwrap().events, [warning("one\u{202e}\x1b[31m")]);

        let mut writer = begin(&store, "20260102T000000Z-1", Keep::default());
        writer.event(&finished(3));
        drop(writer);
        store.end("20260102T000000Z-1", Ended { exit: 0, applied: true }).unwrap();
        let entry = store.find("last").unwrap();
        assert_eq!(entry.state, State::Ended(Ended { exit: 0, applied: true }));
        assert_eq!(entry.summary.as_ref().unwrap().total.changed, 3);
        assert!(!entry.is_unfinished());
        assert!(store.find("2026").unwrap_err().to_string().contains("may mean"));
        assert!(store.find("x").unwrap_err().to_string().contains("no run is called x"));
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(&folder.path().join("a/runs")), 0o700);
        assert_eq!(mode(&folder.path().join("a/runs/20260101T000000Z-1.jsonl")), 0o600);
        let text = std::fs::read_to_string(folder.path().join("a/runs/20260101T000000Z-1.jsonl")).unwrap();
        assert!(!text.contains('\x1b') && !text.contains('\u{202e}'), "{text}");
    }

    #[test]
    fn a_line_that_was_cut_off_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("runs"));
        let mut writer = begin(&store, "r-1", Keep::default());
        for n in 0..1000 {
            writer.event(&warning(&format!("{n} {}", "x".repeat(200))));
        }
        drop(writer);
        let path = folder.path().join("runs/r-1.jsonl");
        let bytes = std::fs::read(&path).unwrap();
        for cut in [1, 5, 100, 300] {
            std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
            let events = store.find("r-1").unwrap().read().unwrap().events;
            assert!(events.len() >= 998, "{cut}: {}", events.len());
        }
        std::fs::write(&path, "{\"journal\":99}\n").unwrap();
        assert!(store.find("r-1").unwrap_err().to_string().contains("another version"));
        assert_eq!(store.entries().unwrap().count(), 0);
    }

    #[test]
    fn the_oldest_go_and_a_running_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("runs"));
        let keep = Keep { runs: 3, days: 30 };
        let running = begin(&store, "r-0", keep);
        for n in 1..6 {
            drop(begin(&store, &format!("r-{n}"), keep));
        }
        let names: Vec<_> = store.entries().unwrap().map(|e| e.header.run).collect();
        assert_eq!(names, ["r-5", "r-4", "r-3", "r-0"]);
        drop(running);
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused_and_a_full_disk_is_told() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        std::fs::create_dir(&runs).unwrap();
        std::fs::set_permissions(&runs, std::fs::Permissions::from_mode(0o755)).unwrap();
        let store = Store::at(runs);
        let error = store.begin(&header("r"), Keep::default(), |_| {}).unwrap_err();
        assert!(error.to_string().ends_with("is open to others; chmod 700 it"), "{error}");
        // Always full.
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (told, tell) = std::sync::mpsc::channel();
        let mut writer = Box::new(Writer::start(full, move |error| told.send(error.kind()).unwrap()));
        for _ in 0..3 {
            writer.event(&warning("x"));
        }
        drop(writer);
        assert_eq!(tell.recv().unwrap(), io::ErrorKind::StorageFull);
    }
}
