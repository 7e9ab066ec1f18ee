//! The careful way to put things at a path, and to take them away: all of it or nothing, nothing of an old file lost
//! but its content, of which a backup stays, and nothing done elsewhere, whatever others do to the path meanwhile.

use std::sync::Arc;

use super::attributes::Attributes;
use super::path::CONTENT_LIMIT;
use super::text;
use crate::model::digest::sha256;
use crate::model::{FileContent, FileState, Secret};
use crate::program;
use crate::program::{Handle, Library};
use crate::shell::Script;
use crate::step::{Action, Change, Context, Field, Invalid, Payload, Value};

/// Walks to a path; see there.
pub(in crate::step) static WAY: Library = Library::new("path/way.sh", include_str!("path/way.sh"), &[]);

/// Works on what is at a path; see there.
pub(in crate::step) static PUT: Library = Library::new("put/put.sh", include_str!("put/put.sh"), &[&WAY]);

/// Puts content at a path; see there.
pub(in crate::step) static CONTENT_AT: Library =
    Library::new("put/content.sh", include_str!("put/content.sh"), &[&PUT]);

program! {
    /// Puts content at a path.
    WriteFile in "put/write_file.sh" uses [CONTENT_AT] {
        path: Word, follow: Flag, temporary: Word, sum: Hidden, size: Number, expected: Word, mode: Word, owner: Word, bits: Word,
        backup: Word, mask: Word, force: Flag, in_place: Flag, make_folders: Flag, validate: Word,
        validator: Word
    }
}
program! {
    /// Sees to it that a path is a directory.
    MakeDirectory in "put/make_directory.sh" uses [PUT] {
        path: Word, follow: Flag, temporary: Word, owner: Word, bits: Word
    }
}
program! {
    /// Gives what is at a path its owner and mode.
    SetAttributes in "put/set_attributes.sh" uses [PUT] {
        path: Word, follow: Flag, temporary: Word, owner: Word, bits: Word, what: Word
    }
}
program! {
    /// Removes what is at a path.
    RemovePath in "put/remove_path.sh" uses [PUT] { path: Word, temporary: Word, backup: Word, what: Word }
}
program! {
    /// Makes a path a symbolic link.
    MakeLink in "put/make_link.sh" uses [PUT] {
        path: Word, temporary: Word, target: Word, backup: Word, force: Flag
    }
}
program! {
    /// Prints a file.
    SendFile in "put/send_file.sh" uses [PUT] { path: Word, limit: Number }
}

/// What puts content at paths, and takes it away.
pub const CONTENT: &[Handle] = &[WriteFile::program, RemovePath::program];
/// What changes mode and owner.
pub const ATTRIBUTES: &[Handle] = &[SetAttributes::program];
/// What makes directories, and removes them.
pub const DIRECTORIES: &[Handle] = &[MakeDirectory::program, RemovePath::program];
/// What makes symbolic links, and removes them.
pub const LINKS: &[Handle] = &[MakeLink::program, RemovePath::program];
/// What sends the content of files.
pub const SENDS: &[Handle] = &[SendFile::program];

/// How content gets to its path.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the playbook")]
pub struct Put<'a> {
    /// Absolute path. It is a regular file or nothing, or what `force` lets go.
    pub path: &'a str,
    /// All of the new content.
    pub content: &'a Arc<[u8]>,
    /// Mode and owner that are wanted; otherwise those of the old file stay.
    pub attributes: &'a Attributes,
    /// The mode that it will have in the end, where that is known.
    pub mode: Option<u32>,
    /// Where the old file is kept.
    pub backup: Backup,
    /// Write into the file that is there: it stays the same inode, which a bind mount of a single file needs.
    pub in_place: bool,
    /// The path may be a symbolic link: its target is written.
    pub follow: bool,
    /// A symbolic link, pipe or socket may be replaced.
    pub force: bool,
    /// Folders that are missing are made.
    pub make_folders: bool,
    /// A command that says whether the new content is good, `%s` stands for its file; and its name for messages.
    pub validate: Option<(&'a str, &'a str)>,
    /// Nobody may see the content, nor its digest, from which a short one could be guessed. A backup is for its
    /// owner alone, for the old content is likely to be a secret as well.
    pub secret: bool,
    /// What the new content was made from: if something else is there by then, nothing is written.
    pub made_from: Option<&'a FileState>,
}

/// Where the old file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backup {
    /// Nowhere.
    No,
    /// In the folder of the run, `/var/lib/hostwright/backups/RUN`, where no program looks; of several changes in one run
    /// the state before the first.
    Run,
    /// As `PATH.bak`, the state before the last change.
    Last,
}

impl Backup {
    /// As programs are told.
    pub(in crate::step) fn word(self) -> &'static str {
        match self {
            Self::No => "",
            Self::Run => "run",
            Self::Last => "last",
        }
    }
}

impl From<bool> for Backup {
    fn from(yes: bool) -> Self {
        if yes { Self::Run } else { Self::No }
    }
}

impl<'a> Put<'a> {
    /// Replaces what is at `path`, with a backup, and with the attributes that are there.
    pub fn new(path: &'a str, content: &'a Arc<[u8]>, attributes: &'a Attributes) -> Self {
        Self {
            path,
            content,
            attributes,
            mode: None,
            backup: Backup::Run,
            in_place: false,
            follow: false,
            force: false,
            make_folders: false,
            validate: None,
            secret: false,
            made_from: None,
        }
    }

    /// Returns the action.
    pub fn action(&self, label: impl Into<String>) -> Action {
        let mode = self.mode.or(self.attributes.mode);
        let (validate, validator) = self.validate.unwrap_or_default();
        let sum = sha256(self.content);
        let program = WriteFile {
            path: self.path,
            follow: self.follow,
            temporary: &temporary(self.path),
            sum: if self.secret {
                program::Value::Secret(Secret::new(sum))
            } else {
                program::Value::Plain(sum)
            },
            size: (!self.in_place && self.backup != Backup::Last && self.made_from.is_none())
                .then_some(self.content.len() as u64),
            expected: &self.made_from(),
            mode: &mode.map(digits).unwrap_or_default(),
            owner: &self.attributes.owner_and_group(),
            bits: &self.attributes.bits(mode),
            backup: self.backup.word(),
            mask: if self.secret { "0700" } else { "" },
            force: self.force,
            in_place: self.in_place,
            make_folders: self.make_folders,
            validate: &validate.replace("%s", "\"$hw_as\""),
            validator,
        };
        Action::new(label, program.script()).payload(Payload(Arc::clone(self.content))).tells()
    }

    fn made_from(&self) -> String {
        match self.made_from.map(|file| &file.content) {
            None => String::new(),
            Some(FileContent::Bytes(bytes)) => sha256(bytes),
            Some(FileContent::Digest(sum, _)) => sum.clone(),
            Some(FileContent::Unread) => "absent".to_owned(),
        }
    }
}

/// A name for what is being made at `path`, of no other path.
pub(in crate::step) fn temporary(path: &str) -> String {
    format!(".hw-{}", &sha256(path.as_bytes())[..16])
}

/// Five digits: with fewer `chmod` leaves some bits of a directory as they are (chmod(1)).
pub(super) fn digits(mode: u32) -> String {
    format!("{mode:05o}")
}

/// Makes a directory with all above it that are missing, or gives the one that is there what is wanted.
pub fn directory(path: &str, follow: bool, attributes: &Attributes, mode: Option<u32>) -> Script {
    let (owner, bits) = (&attributes.owner_and_group(), &attributes.bits(mode));
    MakeDirectory { path, follow, temporary: &temporary(path), owner, bits }.script()
}

/// Gives the directory or file that is at the path what is wanted.
pub fn change(
    path: &str,
    follow: bool,
    directory: bool,
    attributes: &Attributes,
    mode: Option<u32>,
) -> Script {
    let (owner, bits) = (&attributes.owner_and_group(), &attributes.bits(mode));
    let what = if directory { "directory" } else { "file" };
    SetAttributes { path, follow, temporary: &temporary(path), owner, bits, what }.script()
}

/// What is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remove {
    /// What is no directory.
    File(Backup),
    /// A symbolic link.
    Link,
    /// An empty directory.
    Empty,
    /// A directory with all that is in it, but for what is mounted there.
    All,
}

/// Where an action puts a file or a link, or removes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Placed<'a> {
    /// The path.
    pub path: &'a str,
    /// What it points to is meant.
    pub follow: bool,
    /// The file stays the same inode.
    pub in_place: bool,
    /// What was there is kept in the folder of the run.
    pub kept: bool,
}

impl<'a> Placed<'a> {
    /// What a script puts or removes, if it is one of these programs.
    pub fn by(script: &'a Script) -> Option<Self> {
        let call = script.calls().last()?;
        let removes = std::ptr::eq(call.program, RemovePath::program());
        let ours = [
            WriteFile::program(),
            MakeLink::program(),
            super::super::restore::RestorePath::program(),
            super::super::download::FetchDownload::program(),
        ];
        if !removes && !ours.iter().any(|program| std::ptr::eq(call.program, *program)) {
            return None;
        }
        if removes && matches!(call.value("what"), "empty" | "all") {
            return None;
        }
        Some(Self {
            path: call.value("path"),
            follow: !call.value("follow").is_empty(),
            in_place: !call.value("in_place").is_empty(),
            kept: call.value("backup") == "run",
        })
    }
}

/// Removes what is at the path; where nothing is, nothing is done.
pub fn remove(path: &str, what: Remove) -> Script {
    let (what, backup) = match what {
        Remove::File(backup) => ("file", backup),
        Remove::Link => ("link", Backup::Run),
        Remove::Empty => ("empty", Backup::No),
        Remove::All => ("all", Backup::No),
    };
    RemovePath { path, temporary: &temporary(path), backup: backup.word(), what }.script()
}

/// Makes the path a symbolic link; with `force` in place of a file, which is kept.
pub fn link(path: &str, target: &str, force: bool) -> Script {
    let backup = Backup::Run;
    MakeLink { path, temporary: &temporary(path), target, backup: backup.word(), force }.script()
}

/// Prints the file at the path, or at what that points to, if it has at most so many bytes.
pub fn send(path: &str, limit: u64) -> Script {
    SendFile { path, limit: Some(limit) }.script()
}

/// Content as people see it: text for a diff, or size and digest.
pub fn show(content: &FileContent) -> Value {
    match content {
        FileContent::Unread => Value::Unknown,
        FileContent::Digest(sha256, size) => Value::Binary { sha256: sha256.clone(), size: *size },
        FileContent::Bytes(bytes) => show_bytes(bytes),
    }
}

/// As [`show`], for content that is all there. A few bytes that are no text do not hide the text around them.
pub fn show_bytes(bytes: &[u8]) -> Value {
    let size = bytes.len() as u64;
    if size <= u64::from(CONTENT_LIMIT) {
        let (text, odd) = text::readable(bytes);
        if odd * 10 <= bytes.len() {
            return Value::Content(text);
        }
    }
    Value::Binary { sha256: sha256(bytes), size }
}

/// Whether `content` is `bytes`, as far as it is known.
pub fn same(content: &FileContent, bytes: &[u8]) -> bool {
    match content {
        FileContent::Unread => false,
        FileContent::Digest(sum, _) => *sum == sha256(bytes),
        FileContent::Bytes(now) => **now == *bytes,
    }
}

impl Change {
    /// Adds fields.
    #[must_use]
    pub fn fields(mut self, fields: Vec<Field>) -> Self {
        self.fields.extend(fields);
        self
    }

    /// Adds actions.
    #[must_use]
    pub fn actions(mut self, actions: impl IntoIterator<Item = Action>) -> Self {
        self.actions.extend(actions);
        self
    }
}

/// Where content comes from: at most one of these.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The content itself.
    pub content: Option<&'a str>,
    /// A file of the controller.
    pub source: Option<&'a str>,
    /// A file of the controller that is rendered.
    pub template: Option<&'a str>,
}

impl Sources<'_> {
    /// The keys that are set.
    pub fn given(&self) -> Vec<&'static str> {
        [("content", self.content), ("source", self.source), ("template", self.template)]
            .into_iter()
            .filter_map(|(key, value)| value.map(|_| key))
            .collect()
    }

    /// Reads the content, if any is given.
    pub fn read(&self, context: &Context<'_>) -> Result<Option<Arc<[u8]>>, Invalid> {
        if let [first, second, ..] = self.given().as_slice() {
            return Err(Invalid::new(*second, format!("`{first}` and `{second}` exclude each other")));
        }
        let load = |key: &str, name: &str| {
            (context.read)(name).map_err(|why| {
                Invalid::new(key, format!("cannot read {name}: {why}"))
                    .help("the path is relative to the playbook")
            })
        };
        if let Some(content) = self.content {
            return Ok(Some(content.as_bytes().into()));
        }
        if let Some(name) = self.source {
            return load("source", name).map(Some);
        }
        let Some(name) = self.template else { return Ok(None) };
        let bytes = load("template", name)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Invalid::new("template", format!("{name} is not UTF-8 text"))
                .help("send it as it is with `source`")
        })?;
        let text = (context.render)(name, text)
            .map_err(|why| Invalid::new("template", format!("cannot render {name}: {why}")))?;
        Ok(Some(text.into_bytes().into()))
    }
}
