//! `repository`: where a host gets its packages from.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::family::RUN;
use super::family::centos_vault::{self, NoAddress, Release};
use super::family::config_file;
use super::family::existence::Existence;
use super::family::path::{self, CONTENT_LIMIT, Depth};
use super::family::put::{self, PUT};
use super::family::text;
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::value::one_or_many;
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Asks who installs packages, and for the keys that rpm trusts.
    AskPackageManager in "repository/ask_package_manager.sh" { keys: Flag }
}
program! {
    /// Asks for the release, and for the repository files of one at its end.
    AskCentosRepositories in "repository/ask_centos_repositories.sh"
}
program! {
    /// Has rpm trust a key, after a look at it.
    ImportKey in "repository/import_key.sh" uses [RUN] { key: Word, fingerprint: Word }
}
program! {
    /// Fetches the lists of packages of a repository, or takes its file back.
    FetchPackageLists in "repository/fetch_package_lists.sh" uses [PUT] {
        manager: Word, repositories: List, path: Word, temporary: Word
    }
}
program! {
    /// Fetches the lists of packages of all repositories.
    RefreshPackageLists in "repository/refresh_package_lists.sh" uses [RUN]
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[
    &[
        AskPackageManager::program,
        AskCentosRepositories::program,
        ImportKey::program,
        FetchPackageLists::program,
        RefreshPackageLists::program,
    ],
    path::PROGRAMS,
    put::CONTENT,
];

/// The name of the [`Kind::Repository`] that stands for "the archive was chosen".
pub(super) const VAULT: &str = "centos-vault";

/// Lists of packages over a slow line, from a mirror that may be slow as well.
const FETCH_TIMEOUT: Duration = Duration::from_mins(10);

/// A repository of packages.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Repository {
    id: String,
    state: Existence,
    description: Option<String>,
    #[serde(deserialize_with = "one_or_many")]
    baseurl: Vec<String>,
    mirrorlist: Option<String>,
    metalink: Option<String>,
    gpgcheck: Option<bool>,
    #[serde(deserialize_with = "one_or_many")]
    gpgkey: Vec<String>,
    enabled: Option<bool>,
    priority: Option<u32>,
    suite: Option<String>,
    #[serde(deserialize_with = "one_or_many")]
    components: Vec<String>,
    content: Option<String>,
    key_file: Option<String>,
    fingerprint: Option<String>,
    centos_vault: bool,
    vault: Option<String>,
    #[serde(skip)]
    key: Option<Arc<[u8]>>,
}

/// Whose form the file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// yum.conf(5), dnf.conf(5).
    Repo,
    /// sources.list(5), the form of paragraphs.
    Sources,
    /// sources.list(5), the form of one line each.
    List,
}

impl Form {
    fn file(self, id: &str) -> String {
        match self {
            Self::Repo => format!("/etc/yum.repos.d/{id}.repo"),
            Self::Sources => format!("/etc/apt/sources.list.d/{id}.sources"),
            Self::List => format!("/etc/apt/sources.list.d/{id}.list"),
        }
    }

    fn key_file(self, id: &str) -> String {
        if self == Self::Repo {
            format!("/etc/pki/rpm-gpg/RPM-GPG-KEY-{id}")
        } else {
            format!("/etc/apt/keyrings/{id}.asc")
        }
    }
}

impl Validate for Repository {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        let sources = [
            ("baseurl", !self.baseurl.is_empty()),
            ("mirrorlist", self.mirrorlist.is_some()),
            ("metalink", self.metalink.is_some()),
            ("content", self.content.is_some()),
        ];
        let given: Vec<&str> = sources.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
        if self.centos_vault {
            if !self.id.is_empty() || !given.is_empty() || self.state == Existence::Absent {
                invalid.push(
                    Invalid::new("centos_vault", "this choice is a step of its own")
                        .help("beside it only `vault`, the address of the archive, may stand"),
                );
            }
        } else {
            if self.id.is_empty() {
                invalid.push(Invalid::missing("id"));
            } else if !self.id.chars().all(good) || self.id.starts_with('.') {
                invalid.push(Invalid::new("id", format!("{:?} is not the id of a repository", self.id)));
            }
            if self.vault.is_some() {
                invalid.push(Invalid::new("vault", "this needs `centos_vault = true`"));
            }
            match (self.state, given.as_slice()) {
                (Existence::Present, []) => invalid.push(Invalid::new(
                    "",
                    "nothing says where it is: write `baseurl`, `mirrorlist`, `metalink` or `content`",
                )),
                (Existence::Present, ["content", ..] | [.., "content"]) if given.len() > 1 => {
                    invalid.push(Invalid::new("content", "this is the whole file: no address beside it"));
                }
                _ => {}
            }
        }
        for (key, texts) in [("baseurl", &self.baseurl), ("gpgkey", &self.gpgkey)] {
            for (n, text) in texts.iter().enumerate() {
                let address = text.contains("://") || (key == "gpgkey" && text.starts_with('/'));
                if !address || text.contains(char::is_whitespace) {
                    invalid.push(Invalid::new(format!("{key}[{n}]"), format!("{text:?} is not an address")));
                }
            }
        }
        let lines = [&self.description, &self.mirrorlist, &self.metalink, &self.suite];
        let texts = lines.into_iter().flatten().chain(&self.components);
        if texts.into_iter().any(|text| text.contains(['\n', '\r'])) {
            invalid.push(Invalid::new("", "a value has a line break, and would become another line"));
        }
        if self.suite.is_some() && self.baseurl.is_empty() {
            invalid.push(Invalid::new("suite", "a repository of apt needs `baseurl`"));
        }
        if self.form() != Form::Repo && self.gpgkey.iter().any(|key| key.contains("://")) {
            invalid.push(
                Invalid::new("gpgkey", "apt reads keys from files only")
                    .help("put the key beside the playbook and name it with `key_file`"),
            );
        }
        self.validate_key(context, &mut invalid);
        invalid
    }
}

impl Repository {
    fn validate_key(&mut self, context: &Context<'_>, invalid: &mut Vec<Invalid>) {
        if let Some(file) = &self.key_file {
            match (context.read)(file) {
                Ok(bytes) if !bytes.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----") => {
                    invalid.push(
                        Invalid::new("key_file", format!("{file} is not an armored public key"))
                            .help("convert it: gpg --enarmor, or get the .asc file of the project"),
                    );
                }
                Ok(bytes) => self.key = Some(bytes),
                Err(why) => invalid.push(Invalid::new("key_file", format!("cannot read {file}: {why}"))),
            }
        }
        let Some(fingerprint) = &mut self.fingerprint else { return };
        fingerprint.retain(|c| !c.is_whitespace());
        fingerprint.make_ascii_uppercase();
        if !matches!(fingerprint.len(), 40 | 64) || !fingerprint.chars().all(|c| c.is_ascii_hexdigit()) {
            invalid.push(
                Invalid::new("fingerprint", "this is not the fingerprint of a key")
                    .help("all 40 hexadecimal digits, blanks between them do not matter"),
            );
        }
        if self.form() != Form::Repo {
            invalid.push(Invalid::new("fingerprint", "only rpm keeps keys by their fingerprint"));
        } else if self.key_file.is_none() && self.gpgkey.len() != 1 {
            invalid.push(
                Invalid::new("fingerprint", "it is not said which key this is of")
                    .help("name one key, with `key_file` or `gpgkey`"),
            );
        }
    }

    fn form(&self) -> Form {
        let content = self.content.as_deref().unwrap_or_default();
        let starts = |with: &str| content.lines().any(|line| line.starts_with(with));
        if starts("deb ") || starts("deb-src ") {
            Form::List
        } else if self.suite.is_some() || starts("Types:") {
            Form::Sources
        } else {
            Form::Repo
        }
    }

    /// The address that the file gives for the key.
    fn key_addresses(&self) -> Vec<String> {
        let own = self.key.as_ref().map(|_| self.form().key_file(&self.id));
        let addresses = self.gpgkey.iter().cloned().chain(own);
        let url = |key: String| if key.starts_with('/') { format!("file://{key}") } else { key };
        if self.form() == Form::Repo { addresses.map(url).collect() } else { addresses.collect() }
    }

    fn text(&self) -> String {
        if let Some(content) = &self.content {
            return if content.ends_with('\n') { content.clone() } else { format!("{content}\n") };
        }
        let mut text = String::new();
        let mut line = |key: &str, joint: &str, value: &str| {
            let _ = writeln!(text, "{key}{joint}{value}");
        };
        let keys = self.key_addresses();
        if self.form() == Form::Repo {
            let flag = |on: bool| if on { "1" } else { "0" };
            line(&format!("[{}]", self.id), "", "");
            line("name", "=", self.description.as_deref().unwrap_or(&self.id));
            // Further addresses stand on lines of their own, set in by a blank.
            if !self.baseurl.is_empty() {
                line("baseurl", "=", &self.baseurl.join("\n        "));
            }
            for (key, value) in [("mirrorlist", &self.mirrorlist), ("metalink", &self.metalink)] {
                if let Some(value) = value {
                    line(key, "=", value);
                }
            }
            line("enabled", "=", flag(self.enabled != Some(false)));
            line("gpgcheck", "=", flag(self.gpgcheck != Some(false)));
            if !keys.is_empty() {
                line("gpgkey", "=", &keys.join("\n       "));
            }
            if let Some(priority) = self.priority {
                line("priority", "=", &priority.to_string());
            }
        } else {
            if self.enabled == Some(false) {
                line("Enabled", ": ", "no");
            }
            line("Types", ": ", "deb");
            line("URIs", ": ", &self.baseurl.join(" "));
            line("Suites", ": ", self.suite.as_deref().unwrap_or_default());
            if !self.components.is_empty() {
                line("Components", ": ", &self.components.join(" "));
            }
            if self.gpgcheck == Some(false) {
                line("Trusted", ": ", "yes");
            }
            if !keys.is_empty() {
                line("Signed-By", ": ", &keys.join(" "));
            }
        }
        text
    }

    /// The files that this step is about, with what is to be in them.
    fn files(&self) -> Vec<(String, Option<Arc<[u8]>>)> {
        if self.state == Existence::Absent {
            let forms = [Form::Repo, Form::Sources, Form::List];
            return forms.into_iter().map(|form| (form.file(&self.id), None)).collect();
        }
        let form = self.form();
        let key = self.key.iter().map(|key| (form.key_file(&self.id), Some(Arc::clone(key))));
        let text = Arc::from(self.text().into_bytes());
        key.chain([(form.file(&self.id), Some(text))]).collect()
    }

    fn tools(&self) -> Probe {
        Probe::new(AskPackageManager { keys: self.fingerprint.is_some() }.script())
    }
}

impl Step for Repository {
    fn probes(&self) -> Vec<Probe> {
        if self.centos_vault {
            return vec![vault_probe()];
        }
        let files = self.files();
        let files = files.iter().map(|(file, _)| path::probe(file, Depth::Content(CONTENT_LIMIT)));
        std::iter::once(self.tools()).chain(files).collect()
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        if self.centos_vault {
            return self.check_vault(readings);
        }
        let probe = self.tools();
        let answer = readings.of(&probe)?;
        let text = answer.text();
        let mut lines = text.lines();
        let manager = lines.next().unwrap_or_default();
        if !answer.ok() || !matches!(manager, "" | "dnf" | "yum" | "apt-get") {
            return Err(CheckError::unreadable(&probe, answer, "expected the name of the package manager"));
        }
        if self.state == Existence::Present && (manager == "apt-get") != (self.form() != Form::Repo) {
            let message = match (manager, self.form()) {
                ("", _) => "this host has none of dnf, yum and apt-get".to_owned(),
                (_, Form::Repo) => {
                    "this repository is one of yum and dnf, but the host has apt-get".to_owned()
                }
                (_, _) => format!("this repository is one of apt, but the host has {manager}"),
            };
            return Err(CheckError::refused(message, "narrow the step with `hosts` or `when`".to_owned()));
        }
        if manager.is_empty() && self.state == Existence::Present {
            let hint = "narrow the step with `hosts` or `when`".to_owned();
            return Err(CheckError::refused("this host has none of dnf, yum and apt-get", hint));
        }
        let known = |fingerprint: &str| {
            let fingerprint = fingerprint.to_ascii_lowercase();
            lines.clone().filter_map(|l| l.strip_prefix("key ")).any(|k| fingerprint.ends_with(k))
        };
        let import = self.fingerprint.as_ref().filter(|f| self.state == Existence::Present && !known(f));
        let mut change = Change::default();
        let mut writes = Vec::new();
        for (file, wanted) in self.files() {
            let now = path::read(readings, &file, Depth::Content(CONTENT_LIMIT))?;
            let before = shown(&file, &now)?;
            let resource = Resource::here(Kind::Path, &file);
            match wanted {
                Some(wanted) => {
                    if matches!(&now.content, FileContent::Bytes(bytes) if *bytes == wanted) {
                        continue;
                    }
                    writes.push(config_file::replace(&file, &wanted));
                    let shown = Value::Content(text::readable(&wanted).0);
                    change = change.field(&file, before, shown).expect(
                        resource,
                        State::File(FileState {
                            mode: 0o644,
                            owner: "root".into(),
                            group: "root".into(),
                            content: FileContent::Bytes(wanted),
                            ..FileState::fresh(FileKind::File)
                        }),
                    );
                }
                None if now.kind == FileKind::Absent => {}
                None => {
                    writes.push(config_file::remove(&file));
                    change = change.field(&file, before, Value::Absent).expect(resource, State::Absent);
                }
            }
        }
        if writes.is_empty() && import.is_none() {
            let reason = if self.state == Existence::Absent { "not there" } else { "as described" };
            return Ok(Verdict::satisfied(reason));
        }
        let verb = if self.state == Existence::Absent {
            "remove"
        } else if writes.is_empty() {
            "import the key of"
        } else {
            "describe"
        };
        change.summary = format!("{verb} the repository {}", self.id);
        let wrote = !writes.is_empty();
        // The key file before the key, the key before anything is fetched.
        change.actions = writes;
        if let Some(fingerprint) = import {
            change = change.field("key", Value::Absent, fingerprint.clone()).action(self.import(fingerprint));
        }
        let here = Resource::here(Kind::Repository, &self.id);
        if self.state == Existence::Absent {
            return Ok(Verdict::Drift(change.expect(here, State::Absent)));
        }
        if wrote && self.enabled != Some(false) {
            change = change.action(self.fetch(manager));
        }
        Ok(Verdict::Drift(change.expect(here, State::Present)))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        let files = Inverse::files(change);
        if change.was_absent("key") { files.stays("the key that was imported stays trusted") } else { files }
    }

    fn provides(&self) -> Vec<Resource> {
        match (self.centos_vault, self.state) {
            (true, _) => vec![Resource::here(Kind::Repository, VAULT)],
            (false, Existence::Absent) => Vec::new(),
            (false, Existence::Present) => {
                let files = self.files().into_iter().map(|(file, _)| Resource::here(Kind::Path, &file));
                files.chain([Resource::here(Kind::Repository, &self.id)]).collect()
            }
        }
    }
}

fn shown(file: &str, now: &FileState) -> Result<Value, CheckError> {
    match (&now.kind, &now.content) {
        (FileKind::Absent, _) => Ok(Value::Absent),
        (FileKind::File, FileContent::Bytes(bytes)) => Ok(Value::Content(text::readable(bytes).0)),
        (FileKind::File, FileContent::Digest(sha256, size)) => {
            Ok(Value::Binary { sha256: sha256.clone(), size: *size })
        }
        (FileKind::File, FileContent::Unread) => Ok(Value::Unknown),
        (other, _) => Err(CheckError::refused(
            format!("{file} is not a file but a {}", path::word(other)),
            "move it away by hand".to_owned(),
        )),
    }
}

impl Repository {
    fn import(&self, fingerprint: &str) -> Action {
        let key = match (&self.key, self.gpgkey.first()) {
            (None, Some(key)) => key.trim_start_matches("file://").to_owned(),
            _ => self.form().key_file(&self.id),
        };
        let import = ImportKey { key: &key, fingerprint };
        Action::new(format!("import the key {fingerprint}"), import.script()).lasting()
    }

    /// A file of its own may hold disabled repositories only: then those of all are fetched.
    fn fetch(&self, manager: &str) -> Action {
        let path = &self.form().file(&self.id);
        let fetch = FetchPackageLists {
            manager,
            repositories: if self.content.is_some() { &[] } else { std::slice::from_ref(&self.id) },
            path,
            temporary: &put::temporary(path),
        };
        Action::new("fetch its lists of packages", fetch.script()).timeout(FETCH_TIMEOUT).lasting()
    }

    fn check_vault(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = vault_probe();
        let answer = readings.of(&probe)?;
        let unreadable =
            || CheckError::unreadable(&probe, answer, "expected `os`, then the lines of repository files");
        let mut lines = answer.stdout.split_inclusive(|b| *b == b'\n');
        let os = lines.next().and_then(|l| std::str::from_utf8(l).ok());
        let os = os.and_then(|l| l.trim_end().strip_prefix("os ")).filter(|_| answer.ok());
        let release = match os.ok_or_else(unreadable)? {
            "centos 7" => Release::Seven,
            "centos 8" => Release::Eight,
            other => return Ok(Verdict::satisfied(format!("{} is not a CentOS at its end", other.trim()))),
        };
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for line in lines {
            let (kind, rest) = line.split_at_checked(2).ok_or_else(unreadable)?;
            match (kind, files.last_mut()) {
                (b"F ", _) => {
                    let name = String::from_utf8_lossy(rest).trim_end().to_owned();
                    files.push((name, Vec::new()));
                }
                (b"L ", Some((_, text))) => text.extend(rest),
                // The last line of a file, which has no line break.
                (b"U ", Some((_, text))) => text.extend(rest.strip_suffix(b"\n").unwrap_or(rest)),
                _ => return Err(unreadable()),
            }
        }
        let vault = self.vault.as_deref().unwrap_or("http://vault.centos.org").trim_end_matches('/');
        let mut change = Change::new("get packages from the archive of CentOS");
        for (file, text) in &files {
            let turned = centos_vault::turn_bytes(text, release, vault).map_err(|NoAddress(section)| {
                CheckError::refused(
                    format!(
                        "[{section}] in {file} asks a mirror list that is gone, and names no other address"
                    ),
                    "give it a `baseurl`, or set `enabled=0` in it".to_owned(),
                )
            })?;
            if turned != *text {
                let shown = |bytes| Value::Content(text::readable(bytes).0);
                change = change
                    .field(file, shown(text), shown(&turned))
                    .action(config_file::replace(file, &turned));
            }
        }
        if change.actions.is_empty() {
            return Ok(Verdict::satisfied("no repository asks what is gone"));
        }
        Ok(Verdict::Drift(
            change
                .action(
                    Action::new("fetch the lists of packages", RefreshPackageLists.script())
                        .lasting()
                        .timeout(FETCH_TIMEOUT),
                )
                .note("this release is at its end: the archive gets no more security fixes")
                .expect(Resource::here(Kind::Repository, VAULT), State::Present),
        ))
    }
}

fn vault_probe() -> Probe {
    Probe::new(AskCentosRepositories.script())
}
