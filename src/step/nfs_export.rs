//! `nfs_export`: a directory that the kernel's NFS server exports, in the files and live.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, Visitor};

use super::family::config_file;
use super::family::existence::Existence;
use super::family::export_options::{self, Options};
use super::family::exports::{self, Entry, Tables};
use super::family::path::{self, CONTENT_LIMIT, Depth};
use super::family::put;
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::value::one_or_many;
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Asks for all exports of the host.
    AskExports in "nfs_export/ask_exports.sh" { path: Word, names: List, listed: Word }
}
program! {
    /// Makes the exports in the files live.
    ReloadExports in "nfs_export/reload_exports.sh" { path: Word, file: Word, clients: List }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs =
    &[&[AskExports::program, ReloadExports::program], path::PROGRAMS, put::CONTENT];

/// A directory exported over NFS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NfsExport {
    path: String,
    #[serde(default, deserialize_with = "one_or_many")]
    clients: Vec<Client>,
    #[serde(default = "default_options", deserialize_with = "one_or_many")]
    options: Vec<String>,
    file: Option<String>,
    #[serde(default)]
    state: Existence,
    /// What is wanted, from `clients` and `options`.
    #[serde(skip)]
    entries: Vec<Entry>,
}

/// A client, with options of its own if it has some.
#[derive(Debug, Clone)]
struct Client {
    spec: String,
    options: Option<Vec<String>>,
}

impl<'de> Deserialize<'de> for Client {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            spec: String,
            #[serde(default, deserialize_with = "some_or_many")]
            options: Option<Vec<String>>,
        }
        fn some_or_many<'de, D: de::Deserializer<'de>>(d: D) -> Result<Option<Vec<String>>, D::Error> {
            one_or_many(d).map(Some)
        }
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = Client;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a client such as \"192.168.158.0/24\", or a table { spec, options }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Client, E> {
                Ok(Client { spec: text.to_owned(), options: None })
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Client, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Client { spec: table.spec, options: table.options })
            }
        }
        deserializer.deserialize_any(TextOrTable)
    }
}

fn default_options() -> Vec<String> {
    ["rw", "sync", "root_squash", "no_subtree_check"].map(str::to_owned).to_vec()
}

const MAIN_FILE: &str = "/etc/exports";
const DROP_INS: &str = "/etc/exports.d/";

impl Validate for NfsExport {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        if !self.path.starts_with('/') || self.path.contains(['\n', '\0']) {
            invalid.push(Invalid::new("path", format!("{:?} is not an absolute path", self.path)));
        }
        self.path = exports::trim_path(&self.path);
        if !exports::can_be_written(&self.path) {
            invalid.push(Invalid::new("path", format!("exports(5) has no way to write {:?}", self.path)).help(
                "a backslash in front of three octal digits always stands for another character: rename the directory",
            ));
        }
        if let Some(file) = &self.file {
            let drop_in = file
                .strip_prefix(DROP_INS)
                .is_some_and(|f| !f.contains('/') && f.ends_with(".exports") && !f.starts_with('.'));
            if file != MAIN_FILE && !drop_in {
                invalid.push(
                    Invalid::new("file", format!("exportfs does not read {file:?}"))
                        .help("it reads /etc/exports and /etc/exports.d/*.exports"),
                );
            }
        }
        // One string may hold several, as a template over a group gives them: "10.0.0.1 10.0.0.2".
        if let [Client { spec, options: None }] = self.clients.as_slice()
            && !spec.contains(['(', ')'])
            && !spec.trim().is_empty()
        {
            let all = spec.split_whitespace().map(|s| Client { spec: s.to_owned(), options: None });
            self.clients = all.collect();
        }
        if self.clients.is_empty() && self.state == Existence::Present {
            invalid.push(
                Invalid::new("", "there is no client to export to")
                    .help("name networks, addresses or host names: `clients = [\"192.168.158.0/24\"]`"),
            );
        }
        let common = read_options(&self.options, "options", &mut invalid);
        for (n, client) in self.clients.iter().enumerate() {
            let own = client
                .options
                .as_ref()
                .map(|o| read_options(o, &format!("clients[{n}].options"), &mut invalid));
            match exports::canonical_client(&client.spec) {
                Ok(spec) if self.entries.iter().any(|e| e.client == spec) => {
                    invalid.push(Invalid::new(format!("clients[{n}]"), format!("{spec} is named twice")));
                }
                Ok(spec) => self.entries.push(Entry {
                    path: self.path.clone(),
                    client: spec,
                    options: own.unwrap_or_else(|| common.clone()),
                }),
                Err((message, help)) => {
                    let problem = Invalid::new(format!("clients[{n}]"), message);
                    invalid.push(match help {
                        Some(help) => problem.help(help),
                        None => problem,
                    });
                }
            }
        }
        invalid
    }
}

/// Options as they go into the file; `"rw,sync"` in one string is taken apart.
fn read_options(options: &[String], at: &str, invalid: &mut Vec<Invalid>) -> Vec<String> {
    let mut read: Vec<String> = Vec::new();
    // What stands behind a `sec=` is for its flavours, and contradicts nothing before it.
    let mut part = 0;
    for (n, text) in options.iter().enumerate() {
        for option in text.split(',').map(str::trim) {
            let place = || format!("{at}[{n}]");
            if let Err((message, help)) = export_options::check_option(option) {
                let problem = Invalid::new(place(), message);
                invalid.push(match help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
            } else if let Some(other) =
                read[part..].iter().find(|r| export_options::opposite(r) == Some(option))
            {
                invalid.push(Invalid::new(place(), format!("{option:?} contradicts {other:?}")));
            } else if !read[part..].iter().any(|r| r == option) {
                read.push(option.to_owned());
                if option.starts_with("sec=") {
                    part = read.len();
                }
            }
        }
    }
    read
}

impl Step for NfsExport {
    fn probes(&self) -> Vec<Probe> {
        vec![
            path::probe(&self.path, Depth::Attributes),
            path::probe(&self.file(), Depth::Content(CONTENT_LIMIT)),
            self.tables_probe(),
        ]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.tables_probe();
        let tables = exports::parse_tables(&probe, readings.of(&probe)?)?;
        let file = self.file();
        let old = FileText::of(&file, path::read(readings, &file, Depth::Content(CONTENT_LIMIT))?)?;
        let mut others = self.others(readings, &tables, &file);
        let ours = if self.file.is_some() {
            let (inside, outside) = old.split_block(&self.path)?;
            let lines = exports::parse(&outside).into_iter().map(|(n, e)| (file.clone(), n, e));
            others.extend(lines.filter(|(_, _, e)| e.path == self.path));
            inside
        } else {
            old.bytes.as_deref().unwrap_or_default().to_vec()
        };
        let live = match readings.expected(&self.here()) {
            Some(State::Absent) => Vec::new(),
            // An earlier step of the same plan will have run exportfs: live is what the files say.
            Some(_) => exports::parse(&ours).into_iter().map(|(_, e)| e).collect(),
            None => tables.live.clone(),
        };
        let now = Now { file, old, ours, others, live, tables };
        match self.state {
            Existence::Absent => self.check_absent(&now),
            Existence::Present => self.check_present(readings, &now),
        }
    }

    fn inverse(&self, change: &Change) -> Inverse {
        let made = |field: &crate::model::field::Field| field.before == Value::Absent;
        if self.state == Existence::Present && change.fields.iter().all(made) {
            let file = self.file.as_deref().map(|file| ("file", file.into()));
            let keys = [("path", self.path.as_str().into()), ("state", "absent".into())];
            return Inverse::of("nfs_export", keys.into_iter().chain(file));
        }
        // What of a file is not new has its way back with it.
        let order = "if command -v exportfs >/dev/null; then exportfs -ra; fi";
        Inverse::files(change).step("command", [("run", order.into()), ("always", true.into())])
    }

    fn provides(&self) -> Vec<Resource> {
        vec![self.here(), Resource::here(Kind::Path, &self.file())]
    }

    fn needs(&self) -> Vec<Resource> {
        vec![
            Resource::here(Kind::Path, &self.path),
            Resource::here(Kind::Path, MAIN_FILE),
            Resource::here(Kind::Path, &self.file()),
            Resource::here(Kind::Path, "/etc/hosts"),
            Resource::here(Kind::Command, "exportfs"),
            // Its start and stop fill and empty the live table.
            Resource::here(Kind::Unit, "nfs-server.service"),
        ]
    }
}

impl NfsExport {
    fn here(&self) -> Resource {
        Resource::here(Kind::Export, &self.path)
    }

    fn file(&self) -> String {
        self.file.clone().unwrap_or_else(|| {
            let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
            let slug: String =
                self.path.trim_start_matches('/').replace('/', "-").chars().map(safe).collect();
            format!("{DROP_INS}{}.exports", if slug.is_empty() { "root" } else { &slug })
        })
    }

    /// Asks for the tool, all files that exportfs reads, the live table, where the directory really is, and what host names
    /// resolve to.
    fn tables_probe(&self) -> Probe {
        let names =
            self.entries.iter().map(|e| e.client.clone()).filter(|client| exports::is_host_name(client));
        let names: Vec<String> = names.collect();
        let hosts = self.entries.iter().any(|e| exports::is_host(&e.client));
        let listed = if hosts { exports::escape(&self.path) } else { String::new() };
        Probe::new(AskExports { path: &self.path, names: &names, listed: &listed }.script())
    }

    /// Entries for the same directory in files other than the step's own.
    fn others(&self, readings: &Readings, tables: &Tables, own: &str) -> Vec<(String, usize, Entry)> {
        let mut others = Vec::new();
        for (name, text) in tables.files.iter().filter(|(name, _)| name != own) {
            let expected = readings.expected_file(name).map(|file| match &file.content {
                FileContent::Bytes(bytes) => bytes.to_vec(),
                _ => Vec::new(),
            });
            let entries = exports::parse(expected.as_deref().unwrap_or(text.as_bytes())).into_iter();
            others.extend(
                entries
                    .filter(|(_, e)| tables.is_path(&self.path, &e.path))
                    .map(|(n, e)| (name.clone(), n, e)),
            );
        }
        others
    }

    fn check_present(&self, readings: &Readings, now: &Now) -> Result<Verdict, CheckError> {
        let Now { file, old, ours, others, live, tables } = now;
        for (name, line, other) in others {
            if let Some(entry) = self.entries.iter().find(|e| tables.is_same(&e.client, &other.client)) {
                let also = if entry.client == other.client {
                    String::new()
                } else {
                    format!(", the same host as {}", entry.client)
                };
                return Err(CheckError::refused(
                    format!("{name} line {line} already exports {} to {}{also}", other.path, other.client),
                    format!("two files must not export the same to the same client: remove it from {name}"),
                ));
            }
        }
        let directory = path::read(readings, &self.path, Depth::Attributes)?;
        if !matches!(directory.kind, FileKind::Directory | FileKind::Absent) {
            return Err(CheckError::refused(
                format!("{} is not a directory", self.path),
                "export a directory; of a symbolic link, its target".to_owned(),
            ));
        }

        let mut change = Change::new(format!("export {} to {}", self.path, self.client_list()));
        let in_file: Vec<Entry> = exports::parse(ours).into_iter().map(|(_, e)| e).collect();
        if !same(&in_file, &self.entries) {
            let lines: String = self.entries.iter().map(exports::line).collect();
            let text = if self.file.is_some() {
                old.with_block(&self.path, &lines)?
            } else {
                (heading() + &lines).into_bytes()
            };
            change = old.replaced(change, file, text);
        }
        let before = change.fields.len();
        let mut disrupts = Vec::new();
        for entry in &self.entries {
            let here = |l: &&Entry| tables.is_path(&self.path, &l.path);
            let there = live
                .iter()
                .find(|l| here(l) && l.client == entry.client)
                .or_else(|| live.iter().find(|l| here(l) && tables.is_same(&entry.client, &l.client)));
            let name = format!("live for {}", entry.client);
            let Some(there) = there else {
                change = change.field(name, Value::Absent, entry.options.join(","));
                continue;
            };
            let differ = export_options::differences(&there.options, &entry.options);
            if differ.is_empty() {
                continue;
            }
            if export_options::takes_write(&there.options, &entry.options) {
                disrupts.push(format!("{} can no longer write", entry.client));
            }
            let (found, wanted): (Vec<String>, Vec<String>) = differ.into_iter().unzip();
            change = change.field(name, found.join(","), wanted.join(","));
        }
        for stale in self.stale(live, others, tables) {
            if !self.entries.iter().any(|e| exports::covers(&e.client, &stale.client)) {
                disrupts.push(format!("{} loses it", stale.client));
            }
            change = change.field(
                format!("live for {}", stale.client),
                export_options::short(&stale.options),
                Value::Absent,
            );
        }
        if change.fields.is_empty() {
            return Ok(if directory.kind == FileKind::Absent {
                self.without_directory(None)
            } else if tables.tool {
                Verdict::satisfied(format!("exported to {}", self.client_list()))
            } else {
                without_tool(None)
            });
        }
        if before == 0 {
            change.summary = format!("export {} as its file says", self.path);
        }
        change = self.notes(change.action(self.reload()), live, tables);
        if !disrupts.is_empty() {
            change.disrupts = Some(format!("clients of {}: {}", self.path, disrupts.join(", ")));
        }
        change = change.expect(self.here(), State::Present);
        Ok(match (tables.tool, &directory.kind) {
            (_, FileKind::Absent) => self.without_directory(Some(change)),
            (false, _) => without_tool(Some(change)),
            (true, _) => Verdict::Drift(change),
        })
    }

    fn check_absent(&self, now: &Now) -> Result<Verdict, CheckError> {
        let Now { file, old, others, live, tables, .. } = now;
        if let Some((name, line, other)) = others.first() {
            return Err(CheckError::refused(
                format!("{name} line {line} exports {} to {} as well", other.path, other.client),
                format!("it is not of this step's making: remove it from {name}"),
            ));
        }
        let mut change = Change::new(format!("export {} no longer", self.path));
        if self.file.is_some() {
            let (inside, outside) = old.split_block(&self.path)?;
            if !inside.is_empty() || old.bytes.as_ref().is_some_and(|t| **t != *outside) {
                change = old.replaced(change, file, outside);
            }
        } else if let Some(bytes) = &old.bytes {
            change = change
                .field(file, put::show_bytes(bytes), Value::Absent)
                .action(config_file::remove(file))
                .expect(Resource::here(Kind::Path, file), State::Absent);
        }
        let mut clients = Vec::new();
        // Without the tool the table is a leftover: nothing is live.
        for entry in live.iter().filter(|l| tables.tool && tables.is_path(&self.path, &l.path)) {
            clients.push(entry.client.as_str());
            change = change.field(
                format!("live for {}", entry.client),
                export_options::short(&entry.options),
                Value::Absent,
            );
        }
        if change.fields.is_empty() {
            return Ok(Verdict::satisfied("not exported"));
        }
        if !clients.is_empty() {
            change.disrupts = Some(format!("{} can no longer use {}", clients.join(", "), self.path));
        }
        if tables.tool {
            change = self.notes(change.action(self.reload()), live, tables);
        }
        Ok(Verdict::Drift(change.expect(self.here(), State::Absent)))
    }

    fn without_directory(&self, then: Option<Change>) -> Verdict {
        Verdict::Unknown {
            until: Resource::here(Kind::Path, &self.path),
            then,
            otherwise: format!("{} does not exist, so it cannot be exported", self.path),
        }
    }

    fn client_list(&self) -> String {
        let clients: Vec<&str> = self.entries.iter().map(|e| e.client.as_str()).collect();
        clients.join(", ")
    }

    /// Live entries for the directory that no file will list: `exportfs -r` ends them.
    fn stale<'a>(
        &self,
        live: &'a [Entry],
        others: &[(String, usize, Entry)],
        tables: &Tables,
    ) -> Vec<&'a Entry> {
        let wanted = self.entries.iter().map(|e| e.client.as_str());
        let listed: Vec<&str> = wanted.chain(others.iter().map(|(_, _, e)| e.client.as_str())).collect();
        let is_listed = |l: &Entry| listed.iter().any(|client| tables.is_same(client, &l.client));
        live.iter().filter(|l| tables.is_path(&self.path, &l.path) && !is_listed(l)).collect()
    }

    /// What the user should know of a change.
    fn notes(&self, mut change: Change, live: &[Entry], tables: &Tables) -> Change {
        let present = self.state == Existence::Present;
        for entry in self.entries.iter().filter(|_| present) {
            let has = |option: &str| entry.options.iter().any(|o| o == option);
            if has("no_root_squash") {
                change = change
                    .note(format!("no_root_squash: root on {} owns all files of the share", entry.client));
            }
            if has("rw") && (entry.client == "*" || entry.client.ends_with("/0")) {
                change = change.note("anyone who reaches the server may write to the share");
            }
            if exports::is_host_name(&entry.client) && !tables.resolves(&entry.client) {
                change = change.note(format!("{} does not resolve on the server now", entry.client));
            }
        }
        // Made by hand with `exportfs -o`, or left over: -r makes the live table what the files say.
        let listed: Vec<Entry> = tables
            .files
            .iter()
            .flat_map(|(_, text)| exports::parse(text.as_bytes()))
            .map(|(_, e)| e)
            .collect();
        // A file may call a directory by another path (a symbolic link) and a host by another name: what stands in a file
        // and is not live by its own words may be this.
        let by_hand = live.iter().filter(|l| {
            let may_be = |e: &Entry| {
                let host = exports::is_host_name(&e.client) || exports::is_host_name(&l.client);
                let client = tables.is_same(&e.client, &l.client) || exports::is_host(&e.client) && host;
                client && (e.path == l.path || live.iter().all(|l| l.path != e.path))
            };
            !tables.is_path(&self.path, &l.path) && !listed.iter().any(may_be)
        });
        for entry in by_hand {
            change = change.note(format!(
                "the live export of {} to {} is in no file and ends with this",
                entry.path, entry.client
            ));
        }
        change
    }

    /// Runs `exportfs -r`, and fails on what it says of this export.
    fn reload(&self) -> Action {
        let clients: Vec<String> = self.entries.iter().map(|e| e.client.clone()).collect();
        let program = ReloadExports { path: &self.path, file: &self.file(), clients: &clients };
        Action::new("make it live with exportfs -r", program.script())
            .timeout(std::time::Duration::from_secs(90))
    }
}

fn without_tool(then: Option<Change>) -> Verdict {
    Verdict::Unknown {
        until: Resource::here(Kind::Command, "exportfs"),
        then,
        otherwise: "exportfs not found: install nfs-utils (nfs-kernel-server on Debian)".into(),
    }
}

/// Whether two lists hold the same entries, in whatever order, with options that come to the same.
fn same(a: &[Entry], b: &[Entry]) -> bool {
    let has = |list: &[Entry], entry: &Entry| {
        list.iter().any(|e| {
            (&e.path, &e.client) == (&entry.path, &entry.client)
                && Options::read(&e.options) == Options::read(&entry.options)
        })
    };
    a.len() == b.len() && a.iter().all(|e| has(b, e)) && b.iter().all(|e| has(a, e))
}

fn heading() -> String {
    "# Managed by hostwright (nfs_export): edits here are overwritten.\n".to_owned()
}

/// All that the check looks at.
struct Now {
    file: String,
    old: FileText,
    /// The text that belongs to this step: the whole file, or what is between its marks.
    ours: Vec<u8>,
    /// Entries for the same directory that are not this step's: file, line and entry.
    others: Vec<(String, usize, Entry)>,
    live: Vec<Entry>,
    tables: Tables,
}

/// The step's file, if it is there: bytes, for what others wrote there may be in any encoding, and stays as it is.
struct FileText {
    bytes: Option<Arc<[u8]>>,
    now: FileState,
}

impl FileText {
    fn of(file: &str, now: FileState) -> Result<Self, CheckError> {
        let bytes = match (&now.kind, &now.content) {
            (FileKind::Absent, _) => None,
            (FileKind::File, FileContent::Bytes(bytes)) => Some(Arc::clone(bytes)),
            (FileKind::File, FileContent::Unread) => Some(Arc::from(&b""[..])),
            _ => {
                return Err(CheckError::refused(
                    format!("{file} is not a text file of a sensible size"),
                    "look at it: exportfs reads it".to_owned(),
                ));
            }
        };
        Ok(Self { bytes, now })
    }

    /// Adds the replacement of the file to a change.
    fn replaced(&self, change: Change, file: &str, text: Vec<u8>) -> Change {
        let before = self.bytes.as_deref().map_or(Value::Absent, put::show_bytes);
        let text: Arc<[u8]> = text.into();
        let action = config_file::replace(file, &text);
        let after = FileState {
            kind: FileKind::File,
            content: FileContent::Bytes(Arc::clone(&text)),
            ..if self.bytes.is_some() { self.now.clone() } else { fresh_file() }
        };
        change
            .field(file, before, put::show_bytes(&text))
            .action(action)
            .expect(Resource::here(Kind::Path, file), State::File(after))
    }

    /// What is between this export's marks, and the text without them.
    fn split_block(&self, path: &str) -> Result<(Vec<u8>, Vec<u8>), CheckError> {
        let (begin, end) = marks(path);
        let (mut inside, mut outside, mut open) = (Vec::new(), Vec::new(), false);
        for line in self.lines() {
            match line.trim_ascii_end() {
                l if l == begin.as_bytes() && !open => open = true,
                l if l == end.as_bytes() && open => open = false,
                _ if open => inside.extend_from_slice(line),
                _ => outside.extend_from_slice(line),
            }
        }
        if open {
            return Err(CheckError::refused(
                format!("the line {begin:?} is not followed by {end:?}"),
                "put the mark back, or remove both".to_owned(),
            ));
        }
        Ok((inside, outside))
    }

    /// The text with `lines` between this export's marks, where they stood or at the end.
    fn with_block(&self, path: &str, lines: &str) -> Result<Vec<u8>, CheckError> {
        self.split_block(path)?;
        let (begin, end) = marks(path);
        let block = format!("{begin}\n{lines}{end}\n");
        let (mut out, mut open, mut placed) = (Vec::new(), false, false);
        for line in self.lines() {
            match line.trim_ascii_end() {
                l if l == begin.as_bytes() && !open => open = true,
                l if l == end.as_bytes() && open => {
                    open = false;
                    if !placed {
                        out.extend_from_slice(block.as_bytes());
                    }
                    placed = true;
                }
                _ if open => {}
                _ => out.extend_from_slice(line),
            }
        }
        if !placed {
            if !out.is_empty() && !out.ends_with(b"\n") {
                out.push(b'\n');
            }
            out.extend_from_slice(block.as_bytes());
        }
        Ok(out)
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.as_deref().unwrap_or_default().split_inclusive(|b| *b == b'\n')
    }
}

fn marks(path: &str) -> (String, String) {
    (format!("# BEGIN hostwright nfs_export {path}"), format!("# END hostwright nfs_export {path}"))
}

fn fresh_file() -> FileState {
    FileState {
        kind: FileKind::File,
        mode: 0o644,
        owner: "root".into(),
        group: "root".into(),
        ..FileState::absent()
    }
}

#[cfg(test)]
mod tests;
