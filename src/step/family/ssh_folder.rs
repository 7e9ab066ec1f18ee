//! A file in the folder `.ssh` of a user's home: who may log in, and which hosts he knows.
//!
//! Where his home is, the host alone can tell; so the paths are known when it has answered.

use std::sync::Arc;

use super::accounts::{self, ENTRIES};
use super::attributes::Attributes;
use super::path::{
    ANSWER, CONTENT_LIMIT, Depth, Found, Query, REMOTE_TIMEOUT, SHARED_NETWORK, normalise, word,
};
use super::put::{self, Put};
use super::text;
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{Answer, CheckError, Probe, Readings};
use crate::program;
use crate::program::Handle;
use crate::step::{Action, Change, Inverse, Value, Verdict};

program! {
    /// Asks for a user, his folder and a file in it.
    AskSshFile in "ssh_folder/ask_ssh_file.sh" uses [ANSWER, ENTRIES] {
        user: Word, name: Word, remote: Number, limit: Number
    }
}

/// What asks for it.
pub(in crate::step) const ASKS: &[Handle] = &[AskSshFile::program];

/// A question for a file in the folder.
#[derive(Debug, Clone, Copy)]
pub(in crate::step) struct SshFile<'a> {
    /// Whose.
    pub user: &'a str,
    /// Its name in the folder.
    pub name: &'a str,
    /// Ask even on a network file system, if that answers in time.
    pub allow_remote: bool,
}

/// What the host says of it.
#[derive(Debug)]
pub(in crate::step) enum Place {
    /// There is no such user.
    NoUser,
    /// Here.
    At(Box<Here>),
}

/// Where the file is, or is to be.
#[derive(Debug)]
pub(in crate::step) struct Here {
    /// Absolute path of the file.
    pub path: String,
    /// All of its content; empty if it is not there.
    pub text: Arc<[u8]>,
    /// What is at it.
    pub file: Found,
    home: String,
    uid: u32,
    gid: String,
    folder: FileState,
}

/// How the file is to be.
#[derive(Debug, Clone, Copy)]
pub(in crate::step) struct Wish<'a> {
    /// All of its content.
    pub content: &'a Arc<[u8]>,
    /// Its mode, when it is made.
    pub mode: &'a str,
    /// Folder and file are to be his own, that closed to others and this with its mode, also where they are there.
    pub strict: bool,
    /// A secret is in it.
    pub secret: bool,
}

impl SshFile<'_> {
    /// The question.
    pub(in crate::step) fn probe(&self) -> Probe {
        let remote = self.allow_remote.then_some(REMOTE_TIMEOUT.as_secs());
        let limit = Some(u64::from(CONTENT_LIMIT));
        let program = AskSshFile { user: self.user, name: self.name, remote, limit };
        Probe::new(program.script()).sharing(SHARED_NETWORK)
    }

    /// What the answer rests on. Where the home is is not known yet, so it may be any path.
    pub(in crate::step) fn needs(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::User, self.user), Resource::any(Kind::Path), Resource::any(Kind::Mount)]
    }

    /// Reads the answer, or what earlier steps of the plan will leave there.
    pub(in crate::step) fn read(&self, readings: &Readings) -> Result<Place, CheckError> {
        let user = self.user;
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        if accounts::planned(readings, Kind::User, user) == Some(false) {
            return Ok(Place::NoUser);
        }
        let unreadable = || {
            CheckError::unreadable(&probe, answer, "expected a line of passwd(5), and what is in the home")
        };
        let (line, rest) = cut(&answer.stdout);
        let line = std::str::from_utf8(line).map_err(|_| unreadable())?;
        if line == "absent" && answer.ok() {
            return Ok(Place::NoUser);
        }
        let fields: Vec<&str> = line.strip_prefix("user ").ok_or_else(unreadable)?.split(':').collect();
        let [_, _, uid, gid, _, home, _] = fields.as_slice() else { return Err(unreadable()) };
        let uid = uid.parse().map_err(|_| unreadable())?;
        let home = home.strip_suffix('/').unwrap_or(home).to_owned();
        let folder_path = format!("{home}/.ssh");
        let mut plain = folder_path.clone();
        if !normalise(&mut plain, "").is_empty() || plain != folder_path {
            return Err(CheckError::refused(
                format!("the home of {user} is {:?}, which is no plain absolute path", fields[5]),
                format!("correct it with a `user` step: `user = {{ name = \"{user}\", home = \"...\" }}`"),
            ));
        }
        let path = format!("{folder_path}/{}", self.name);
        let part = |stdout: &[u8]| Answer { stdout: stdout.to_vec(), ..answer.clone() };
        let (first, rest) = cut(rest);
        // A failure ends the program where it is.
        let rest = if answer.ok() { rest } else { b"" };
        let query = |path, depth| Query { allow_remote: self.allow_remote, ..Query::new(path, depth) };
        let asked = query(&folder_path, Depth::Attributes);
        let folder = asked.read_with(readings, || asked.part(&probe, &part(first)))?.file;
        let asked = query(&path, Depth::Content(CONTENT_LIMIT));
        let file = asked.read_with(readings, || asked.part(&probe, &part(rest)))?;
        let text = content(&path, &file)?;
        let (here, gid) = (path, (*gid).to_owned());
        Ok(Place::At(Box::new(Here { path: here, text, home, uid, gid, folder, file })))
    }

    /// The verdict where there is no such user.
    pub(in crate::step) fn later(&self, summary: String) -> Verdict {
        Verdict::Unknown {
            until: Resource::here(Kind::User, self.user),
            then: Some(Change::new(summary).field("content", Value::Unknown, Value::AfterApply)),
            otherwise: format!("there is no user {}", self.user),
        }
    }

    /// The verdict that the file has to be as wished; `None` if it is.
    ///
    /// # Errors
    /// Something else is in the place of the folder.
    pub(in crate::step) fn put(
        &self,
        summary: String,
        here: &Here,
        wish: Wish<'_>,
        readings: &Readings,
    ) -> Result<Option<Verdict>, CheckError> {
        let Wish { content: after, mode, strict, secret } = wish;
        let folder = format!("{}/.ssh", here.home);
        let mut change = Change::new(summary);
        match &here.folder.kind {
            FileKind::Directory if !strict => {}
            FileKind::Directory => {
                let wanted = self.own(here, &here.folder, "0700");
                let mut state = here.folder.clone();
                let fields = wanted.difference(&mut state, false);
                if let Some(action) = wanted.action(&folder, false, &fields, &state) {
                    change = change
                        .fields(fields.into_iter().map(|f| named(f, &folder)).collect())
                        .action(action)
                        .expect(Resource::here(Kind::Path, &folder), State::File(state));
                }
            }
            FileKind::Absent => {
                let wanted = self.own(here, &here.folder, "0700");
                let mut state = FileState::fresh(FileKind::Directory);
                wanted.difference(&mut state, true);
                let make = put::directory(&folder, false, &wanted, Some(state.mode));
                change = change
                    .field(&*folder, Value::Absent, format!("0700 {}", self.user))
                    .action(Action::new(format!("make {folder}"), make).tells())
                    .expect(Resource::here(Kind::Path, &folder), State::File(state));
            }
            other => {
                return Err(CheckError::refused(
                    format!("{folder} is not a directory but a {}", word(other)),
                    "replace it by a directory by hand: ssh wants one that is the user's own".to_owned(),
                ));
            }
        }
        let file = &here.file.file;
        let fresh = file.kind == FileKind::Absent;
        let wanted = if strict || fresh { self.own(here, file, mode) } else { Attributes::default() };
        let mut state = if fresh { FileState::fresh(FileKind::File) } else { file.clone() };
        let fields = wanted.difference(&mut state, fresh);
        let same = !fresh && here.text == *after;
        if !same {
            let put = Put {
                mode: Some(state.mode),
                secret,
                made_from: Some(file),
                ..Put::new(&here.path, after, &wanted)
            };
            let before = if fresh { Value::Absent } else { put::show_bytes(&here.text) };
            state.content = FileContent::Bytes(Arc::clone(after));
            change = change
                .field("content", before, put::show_bytes(after))
                .action(put.action(format!("write {}", here.path)));
        } else if let Some(action) = wanted.action(&here.path, false, &fields, &state) {
            change = change.action(action);
        }
        if change.actions.is_empty() {
            return Ok(None);
        }
        let change = change.fields(fields).expect(Resource::here(Kind::Path, &here.path), State::File(state));
        // Of what is missing, the folder itself is made here.
        if here.file.missing_parents.contains(&here.home) {
            let user = Resource::here(Kind::User, self.user);
            let made = readings.expected(&user).is_some();
            return Ok(Some(Verdict::Unknown {
                until: if made { user } else { Resource::here(Kind::Path, &here.home) },
                then: Some(change),
                otherwise: format!(
                    "the home {} of {} is not there; `user` with `create_home = true` makes it",
                    here.home, self.user
                ),
            }));
        }
        Ok(Some(here.file.drift(&here.path, change, true)))
    }

    /// Who has the file, and who may read it.
    fn own(&self, here: &Here, now: &FileState, mode: &str) -> Attributes {
        // Two names may have one number.
        let owner = if now.uid == Some(here.uid) && !now.owner.is_empty() { &now.owner } else { self.user };
        Attributes::new(Some(mode), Some(owner), Some(&here.gid))
    }
}

/// The same field, of another path than that of the file.
fn named(field: crate::step::Field, path: &str) -> crate::step::Field {
    crate::step::Field { name: format!("{} of {path}", field.name), ..field }
}

/// All of a file's content, which may be edited line by line; empty if it is not there.
///
/// # Errors
/// It is no file, or none that can be edited.
pub(in crate::step) fn content(path: &str, found: &Found) -> Result<Arc<[u8]>, CheckError> {
    match (&found.file.kind, &found.file.content) {
        (FileKind::Absent, _) => Ok(Arc::from(&b""[..])),
        (FileKind::File, FileContent::Bytes(bytes)) => match text::obstacle(bytes) {
            None => Ok(Arc::clone(bytes)),
            Some(obstacle) => Err(CheckError::refused(
                format!("{path} {obstacle}: such a file is not edited line by line"),
                "convert it to UTF-8 with line feeds first".to_owned(),
            )),
        },
        (FileKind::File, FileContent::Digest(_, size)) => Err(CheckError::refused(
            format!("{path} is too large to be edited: {size} bytes"),
            format!("files up to {CONTENT_LIMIT} bytes are"),
        )),
        (FileKind::File, FileContent::Unread) => {
            Err(CheckError::refused(format!("what will be in {path} is not known"), None))
        }
        (other, _) => Err(CheckError::refused(
            format!("{path} is not a file but a {}", word(other)),
            "replace it by a file by hand".to_owned(),
        )),
    }
}

/// The way back: the file as it was, and no folder where there was none.
pub(in crate::step) fn inverse(change: &Change) -> Inverse {
    let inverse = Inverse::files(change);
    let made = change.fields.iter().find(|f| f.name.ends_with("/.ssh") && f.before == Value::Absent);
    match made {
        Some(folder) => inverse.and(Inverse::removal("directory", "path", &folder.name)),
        None => inverse,
    }
}

/// The first line, and what is behind it.
fn cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}
