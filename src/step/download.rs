//! `download`: a file from the web, at a path of the host.

use std::time::Duration;

use serde::Deserialize;

use super::family::attributes::{self, Attributes};
use super::family::existence::Existence;
use super::family::path::{self, Depth, Found, Query};
use super::family::put::{self, Backup, CONTENT_AT, Remove};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{FileContent, FileKind, FileState, Kind, MASK, Resource, Secret, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Fetches a file and puts it in its place.
    pub(in crate::step) FetchDownload in "download/fetch_download.sh" uses [CONTENT_AT] {
        url: Hidden, shown: Word, path: Word, temporary: Word, sum: Word, mode: Word, owner: Word, bits: Word, backup: Word
    }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs =
    &[&[FetchDownload::program], path::PROGRAMS, put::CONTENT, put::ATTRIBUTES];

/// A large file over a slow line.
const TIMEOUT: Duration = Duration::from_hours(1);

/// Files are looked at up to this size, in bytes: at some hundred MB/s that is within the bound of a question.
const LIMIT: u64 = 4 << 30;

/// A file from the web.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    url: Option<String>,
    path: String,
    sha256: Option<String>,
    #[serde(default = "yes")]
    pinned: bool,
    mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    #[serde(default = "yes")]
    backup: bool,
    #[serde(default)]
    state: Existence,
    /// A secret went into it.
    #[serde(skip)]
    holds_secret: bool,
}

fn yes() -> bool {
    true
}

impl Validate for Download {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        self.holds_secret = (context.holds_secret)();
        let mut invalid = path::normalise(&mut self.path, "path");
        invalid.extend(Attributes::validate(
            self.mode.as_deref(),
            self.owner.as_deref(),
            self.group.as_deref(),
        ));
        if self.state == Existence::Absent {
            let set = [
                ("url", self.url.is_some()),
                ("sha256", self.sha256.is_some()),
                ("mode", self.mode.is_some()),
                ("owner", self.owner.is_some()),
                ("group", self.group.is_some()),
            ];
            for (key, _) in set.iter().filter(|(_, set)| *set) {
                invalid.push(Invalid::new(*key, format!("`{key}` has no meaning with `state = \"absent\"`")));
            }
            return invalid;
        }
        match self.url.as_deref() {
            None => invalid.push(Invalid::missing("url")),
            Some(url) => {
                let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
                let odd = |c: char| c.is_whitespace() || c.is_control();
                if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) || url.contains(odd) {
                    invalid.push(
                        Invalid::new("url", "this is no address of a file on the web")
                            .help("\"https://HOST/PATH\", or http; a blank in it is written %20"),
                    );
                }
            }
        }
        match &mut self.sha256 {
            Some(sum) => {
                sum.make_ascii_lowercase();
                if sum.len() != 64 || !sum.bytes().all(|b| b.is_ascii_hexdigit()) {
                    invalid.push(
                        Invalid::new("sha256", format!("{sum:?} is no SHA-256"))
                            .help("64 digits and letters from a to f, as `sha256sum` prints them"),
                    );
                }
                if !self.pinned {
                    invalid.push(Invalid::new("pinned", "`sha256` pins it"));
                }
            }
            None if self.pinned => invalid.push(Invalid::missing("sha256").help(
                "so that nobody can put another file there; `pinned = false` takes whatever comes, once, where no file is",
            )),
            None => {}
        }
        invalid
    }
}

impl Step for Download {
    fn probes(&self) -> Vec<Probe> {
        vec![self.query().probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let found = self.query().read(readings)?;
        match &found.file.kind {
            FileKind::File | FileKind::Absent => {}
            other => {
                return Err(CheckError::refused(
                    format!("{} is not a file but a {}", self.path, path::word(other)),
                    "move it away by hand: it may hold data".to_owned(),
                ));
            }
        }
        if self.state == Existence::Absent { Ok(self.absent(&found)) } else { self.present(&found) }
    }

    fn inverse(&self, change: &Change) -> Inverse {
        Inverse::files(change).and(attributes::inverse("file", &self.path, false, change))
    }

    fn provides(&self) -> Vec<Resource> {
        match self.state {
            Existence::Present => vec![Resource::here(Kind::Path, &self.path)],
            Existence::Absent => Vec::new(),
        }
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = self.query().needs();
        if self.state == Existence::Present {
            needs.extend(["curl", "wget"].map(|tool| Resource::here(Kind::Command, tool)));
        }
        needs
    }
}

impl Download {
    fn query(&self) -> Query<'_> {
        let depth = if self.sha256.is_some() { Depth::Digest(LIMIT) } else { Depth::Attributes };
        Query { owner: self.owner.as_deref(), group: self.group.as_deref(), ..Query::new(&self.path, depth) }
    }

    /// The address without what may be a secret in it.
    fn shown(&self) -> String {
        let url = self.url.as_deref().unwrap_or_default();
        if self.holds_secret {
            return MASK.to_owned();
        }
        // A name and a password before the host, and what is behind a question mark, are shown to nobody.
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.rsplit('@').next().unwrap_or(host);
        let path = path.split(['?', '#']).next().unwrap_or(path);
        format!("{scheme}://{host}/{path}")
    }

    fn present(&self, found: &Found) -> Result<Verdict, CheckError> {
        let now = &found.file;
        let fresh = now.kind == FileKind::Absent;
        let right = match (&self.sha256, &now.content) {
            _ if fresh => false,
            (None, _) => true,
            (Some(wanted), FileContent::Digest(sum, size)) if sum.is_empty() => {
                return Err(CheckError::refused(
                    format!("{} is too large to be looked at: {size} bytes", self.path),
                    format!("files up to 4 GB are; wanted is the SHA-256 {wanted}"),
                ));
            }
            (Some(wanted), content) => content_is(content, wanted),
        };
        let wanted = Attributes::new(self.mode.as_deref(), self.owner.as_deref(), self.group.as_deref());
        let mut after = if fresh { FileState::fresh(FileKind::File) } else { now.clone() };
        let fields = wanted.difference(&mut after, fresh);
        let here = Resource::here(Kind::Path, &self.path);
        if right {
            let Some(action) = wanted.action(&self.path, false, &fields, &after) else {
                let reason = self.sha256.as_ref().map_or_else(
                    || "there, whatever it is".to_owned(),
                    |sum| format!("sha256 {}", sum.get(..12).unwrap_or(sum)),
                );
                return Ok(Verdict::satisfied(reason));
            };
            let change = Change::new(action.label.clone())
                .fields(fields)
                .action(action)
                .expect(here, State::File(after));
            return Ok(found.drift(&self.path, change, false));
        }
        let shown = self.shown();
        let url = self.url.as_deref().unwrap_or_default().to_owned();
        let secret =
            self.holds_secret || !url.starts_with(shown.trim_end_matches('/')) || url.len() > shown.len();
        let fetch = FetchDownload {
            url: if secret { program::Value::Secret(Secret::new(url)) } else { program::Value::Plain(url) },
            shown: &shown,
            path: &self.path,
            temporary: &put::temporary(&self.path),
            sum: self.sha256.as_deref().unwrap_or_default(),
            mode: &format!("{:05o}", after.mode),
            owner: &wanted.owner_and_group(),
            bits: &wanted.bits(Some(after.mode)),
            backup: Backup::from(self.backup).word(),
        };
        after.content = match &self.sha256 {
            // How large it will be, nobody knows yet.
            Some(sum) => FileContent::Digest(sum.clone(), 0),
            None => FileContent::Unread,
        };
        let before = if fresh { Value::Absent } else { put::show(&now.content) };
        let value = self.sha256.as_ref().map_or(Value::AfterApply, |sum| format!("sha256 {sum}").into());
        let mut change = Change::new(format!("fetch {} from {shown}", self.path))
            .field("content", before, value)
            .fields(fields)
            .action(Action::new(format!("fetch {shown}"), fetch.script()).timeout(TIMEOUT).lasting())
            .expect(here, State::File(after));
        if !self.pinned {
            change = change.note(if shown.starts_with("http://") {
                "nobody checks what comes, and on the way everybody could change it: give its `sha256`"
            } else {
                "nobody checks what comes: give its `sha256`"
            });
        }
        Ok(found.drift(&self.path, change, false))
    }

    fn absent(&self, found: &Found) -> Verdict {
        if found.file.kind == FileKind::Absent {
            return Verdict::satisfied("not there");
        }
        let label = format!("remove {}", self.path);
        let remove = put::remove(&self.path, Remove::File(self.backup.into()));
        Verdict::Drift(
            Change::new(label.clone())
                .field("state", "file", Value::Absent)
                .action(Action::new(label, remove).tells())
                .expect(Resource::here(Kind::Path, &self.path), State::Absent),
        )
    }
}

/// Whether content has this SHA-256, as far as it is known.
fn content_is(content: &FileContent, wanted: &str) -> bool {
    match content {
        FileContent::Digest(sum, _) => sum == wanted,
        FileContent::Bytes(bytes) => crate::model::digest::sha256(bytes) == wanted,
        FileContent::Unread => false,
    }
}
