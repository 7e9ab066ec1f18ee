//! The careful way to put things at a path, and to take them away: all of it or nothing, nothing of an old file lost
//! but its content, of which a backup stays, and nothing done elsewhere, whatever others do to the path meanwhile.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::attributes::Attributes;
use super::path::CONTENT_LIMIT;
use super::text;
use crate::model::{FileContent, FileState, Secret};
use crate::sh;
use crate::shell::{Library, Script};
use crate::step::{Action, Change, Context, Field, Invalid, Payload, Value};

/// Walks to a path; see there.
pub(super) static WAY: Library = Library::new("way.sh", include_str!("way.sh"));

/// Works on what is at a path; see there.
static PUT: Library = Library::new("put.sh", include_str!("put.sh"));

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
    /// As `PATH.RUN.bak`; of several changes in one run the state before the first.
    Run,
    /// As `PATH.bak`, the state before the last change.
    Last,
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

    /// Returns the action. It reads the content from file descriptor 3 into a file of a name of its own in the same
    /// folder (so that what a cut-off run left is cleared by the next), and renames that.
    ///
    /// - `dd conv=excl,fsync` (coreutils) follows no planted link, and puts the bytes on the disk before they
    ///   get the name; `sync FILE` would do on coreutils 8.24 alone, and before that sync everything, dead
    ///   network file systems included.
    /// - `cp --attributes-only` copies mode, owner, ACLs, extended attributes and SELinux context.
    pub fn action(&self, label: impl Into<String>) -> Action {
        let mode = self.mode.or(self.attributes.mode);
        let check = self.validate.map(|(command, name)| {
            let code = Script::new().user_code(&command.replace("%s", "\"$hw_as\""));
            sh!(
                r#"hw_valid() {
( {}
) >&2 || hw_fail "the new content of $hw_p is not valid, says" {} "nothing was changed"
}
"#,
                code,
                name
            )
        });
        let script =
            program(self.path, self.follow).script(&setting(&self.attributes.set(mode))).script(&sh!(
                "hw_sum={} hw_were={} hw_mode={} {} hw_again={} hw_mask={}\n\
                 hw_force={} hw_within={} hw_make={} hw_owned={} hw_check={}\n{}hw_put\n",
                self.digest(),
                self.made_from(),
                mode.map_or_else(Script::new, |mode| sh!("{}", format!("{mode:05o}"))),
                backup_name(self.path, self.follow, self.backup),
                self.backup == Backup::Last,
                if self.secret { "0700" } else { "7777" },
                self.force,
                self.in_place,
                self.make_folders,
                self.attributes.owner.is_some(),
                check.is_some(),
                check.unwrap_or_default()
            ));
        Action::new(label, script).payload(Payload(Arc::clone(self.content)))
    }

    fn made_from(&self) -> Script {
        match self.made_from.map(|file| &file.content) {
            None => Script::new(),
            Some(FileContent::Bytes(bytes)) => sh!("{}", sha256(bytes)),
            Some(FileContent::Digest(sum, _)) => sh!("{}", sum),
            Some(FileContent::Unread) => Script::new().raw("absent"),
        }
    }

    fn digest(&self) -> Script {
        let sum = sha256(self.content);
        if self.secret { sh!("{}", Secret::new(sum)) } else { sh!("{}", sum) }
    }
}

/// The beginning of a program that works on what is at `path`; see `put.sh`.
fn program(path: &str, follow: bool) -> Script {
    Script::new().library(&WAY).library(&PUT).script(&sh!(
        "hw_p={} hw_follow={} hw_t=.hw-{}\n",
        path,
        follow,
        sha256(path.as_bytes())[..16].to_owned()
    ))
}

/// The function that gives attributes to `$hw_to`.
fn setting(set: &Script) -> Script {
    sh!("hw_set() {\n{}:\n}\n", set)
}

/// Makes a directory with all above it that are missing, or gives the one that is there what is wanted.
pub fn directory(path: &str, follow: bool, attributes: &Attributes, mode: Option<u32>) -> Script {
    program(path, follow).script(&setting(&attributes.set(mode))).raw("hw_directory\n")
}

/// Gives the directory or file that is at the path what is wanted.
pub fn change(
    path: &str,
    follow: bool,
    directory: bool,
    attributes: &Attributes,
    mode: Option<u32>,
) -> Script {
    program(path, follow)
        .script(&setting(&attributes.set(mode)))
        .raw("hw_way \"$hw_p\" \"$hw_follow\" || hw_lost\nhw_change ")
        .raw(if directory { "directory\n" } else { "file\n" })
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

/// Removes what is at the path; where nothing is, nothing is done.
pub fn remove(path: &str, what: Remove) -> Script {
    let (word, backup) = match what {
        Remove::File(backup) => ("file", backup),
        Remove::Link => ("link", Backup::No),
        Remove::Empty => ("empty", Backup::No),
        Remove::All => ("all", Backup::No),
    };
    program(path, false).script(&sh!("{}\nhw_remove {}\n", backup_name(path, false, backup), word))
}

/// Makes the path a symbolic link; with `force` in place of a file, which is kept.
pub fn link(path: &str, target: &str, force: bool) -> Script {
    let backup = backup_name(path, false, force.into());
    program(path, false).script(&sh!("hw_force={} {}\nhw_link {}\n", force, backup, target))
}

/// Prints the file at the path, or at what that points to, if it has at most so many bytes.
pub fn send(path: &str, limit: u64) -> Script {
    program(path, true).script(&sh!("hw_send {}\n", limit))
}

/// How the backup is named: of what is there in the end, where links are followed.
fn backup_name(path: &str, follow: bool, backup: Backup) -> Script {
    let name = path.rsplit('/').next().unwrap_or_default();
    // A name has at most 255 bytes (NAME_MAX), and the run's id needs some.
    let base = if name.len() > 180 {
        let end = (0..=150).rev().find(|n| name.is_char_boundary(*n)).unwrap_or(0);
        format!("{}~{}", &name[..end], &sha256(name.as_bytes())[..8])
    } else {
        name.to_owned()
    };
    // cron runs every file there, backups too, unless a dot hides it.
    let base = if path.starts_with("/etc/cron.") { format!(".{base}") } else { base };
    let base = if follow { Script::new() } else { sh!("{}", base) };
    match backup {
        Backup::No => Script::new().raw("hw_base='' hw_end=''"),
        Backup::Run => sh!("hw_base={} hw_end=.${HW_RUN_ID:-manual}.bak", base),
        Backup::Last => sh!("hw_base={} hw_end=.bak", base),
    }
}

/// The SHA-256 of `bytes`, lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
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
