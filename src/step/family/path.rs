//! What is at a path: the one question that `file`, `directory`, `link`, `line` and `block` share.
//!
//! How something is put there is in [`super::put`].

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Change, Invalid, Verdict};
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{Ahead, Answer, CheckError, Probe, Readings, Shared};
use crate::program;
use crate::program::{Handle, Library};

/// How much of a regular file a probe asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Depth {
    /// Kind, mode, owner and group.
    Attributes,
    /// And size and SHA-256 of the content, that if it has at most so many bytes.
    Digest(u64),
    /// And the content itself, if it has at most so many bytes; its digest otherwise.
    Content(u32),
    /// And its digest; and the content itself if its digest (lower-case hexadecimal) is another one and
    /// it has at most [`CONTENT_LIMIT`] bytes. The number is the size that content with this digest has.
    Differing(String, u64),
    /// And, for a directory, the names in it, up to [`ENTRIES_LIMIT`].
    Entries,
}

/// Text files up to this size, in bytes, are shown and edited whole.
pub const CONTENT_LIMIT: u32 = 1 << 20;

/// So many names of a directory are asked for, to tell whether it will be empty.
pub const ENTRIES_LIMIT: u32 = 200;

/// How long a network file system has to answer before a step with `allow_remote = true` gives up.
pub const REMOTE_TIMEOUT: Duration = Duration::from_secs(10);

/// Types of file systems whose server may not answer: the one list of them, which `path/network.sh` has too. So have all
/// that begin with `fuse.`; and a host looks out for `autofs`, behind which one may come to be.
const REMOTE: [&str; 10] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "lustre", "afs", "glusterfs", "9p"];

/// Whether a file system of this type has a server, which may not answer.
pub fn is_remote(fstype: &str) -> bool {
    REMOTE.contains(&fstype) || fstype.starts_with("fuse.")
}

/// Finds out where network file systems are mounted; see there.
pub(in crate::step) static NETWORK: Library =
    Library::new("path/network.sh", include_str!("path/network.sh"), &[]);

/// That, once for all probes that follow one another.
pub(in crate::step) static SHARED_NETWORK: Shared = Shared { variable: "hw_net", library: &NETWORK };

/// Looks at many paths at once; see there.
static LOOK_AHEAD: Library = Library::new("path/look_ahead.sh", include_str!("path/look_ahead.sh"), &[&FAR]);

/// Tells what lies on a network file system; see there.
pub(in crate::step) static FAR: Library =
    Library::new("path/far.sh", include_str!("path/far.sh"), &[&NETWORK, &super::ESCAPE]);

/// Says what is at a path; see there.
pub(in crate::step) static ANSWER: Library =
    Library::new("path/answer.sh", include_str!("path/answer.sh"), &[&FAR, &super::put::WAY]);

program! {
    /// Asks what is at a path.
    AskPath in "path/ask_path.sh" uses [ANSWER] {
        path: Word, follow: Flag, remote: Number, owner: Word, group: Word, depth: Word, limit: Number, sum: Word,
        size: Number
    }
}

/// What asks about paths.
pub const PROGRAMS: &[Handle] = &[AskPath::program];

/// A question about a path.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// Absolute path.
    pub path: &'a str,
    /// How much is asked.
    pub depth: Depth,
    /// Ask about the target of a symbolic link.
    pub follow: bool,
    /// Ask even on a network file system, if that answers in time.
    pub allow_remote: bool,
    /// An owner that is wanted: if it is not the owner now, ask whether there is such a user.
    pub owner: Option<&'a str>,
    /// A group that is wanted, as `owner`.
    pub group: Option<&'a str>,
}

/// What there is at a path, and what stands in the way of putting something there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What is there.
    pub file: FileState,
    /// The innermost parts of the path that are missing and must be there first, innermost first.
    pub missing_parents: Vec<String>,
    /// The wanted owner and group, as far as the host does not know them.
    pub missing_accounts: Vec<Resource>,
    /// The names in a directory, if they were asked for.
    pub entries: Vec<String>,
    /// An earlier planned step puts something here, and it is not known what.
    pub vague: bool,
}

/// Asks what is at `path`, with the plain options.
pub fn probe(path: &str, depth: Depth) -> Probe {
    Query::new(path, depth).probe()
}

/// Reads the answer to [`probe`], or what an earlier step of the plan will leave at the path.
pub fn read(readings: &Readings, path: &str, depth: Depth) -> Result<FileState, CheckError> {
    Query::new(path, depth).read(readings).map(|found| found.file)
}

impl<'a> Query<'a> {
    /// Asks about `path` itself, and never on a network file system.
    pub fn new(path: &'a str, depth: Depth) -> Self {
        Self { path, depth, follow: false, allow_remote: false, owner: None, group: None }
    }

    /// The probe.
    ///
    /// See there for what it answers.
    pub fn probe(&self) -> Probe {
        let (depth, limit, sum, size) = match &self.depth {
            Depth::Attributes => ("", None, "", None),
            Depth::Digest(limit) => ("digest", Some(*limit), "", None),
            Depth::Content(limit) => ("content", Some(u64::from(*limit)), "", None),
            Depth::Differing(sum, size) => {
                ("differing", Some(u64::from(CONTENT_LIMIT)), sum.as_str(), Some(*size))
            }
            Depth::Entries => ("entries", Some(u64::from(ENTRIES_LIMIT)), "", None),
        };
        let account =
            |name: Option<&'a str>| name.filter(|n| !is_number(n) && *n != "root").unwrap_or_default();
        let program = AskPath {
            path: self.path,
            follow: self.follow,
            remote: self.allow_remote.then_some(REMOTE_TIMEOUT.as_secs()),
            owner: account(self.owner),
            group: account(self.group),
            depth,
            limit,
            sum,
            size,
        };
        Probe::new(program.script()).sharing(SHARED_NETWORK).ahead(self.ahead())
    }

    /// What can be found out at once with other paths.
    fn ahead(&self) -> Option<Ahead> {
        let path = self.path;
        let kernel = ["/proc/", "/sys/"].iter().any(|folder| path.starts_with(folder));
        if path == "/" || kernel || path.contains(['|', '\\', '\n']) {
            return None;
        }
        let mut digest = match &self.depth {
            Depth::Attributes | Depth::Content(_) | Depth::Entries => "-1:-1".to_owned(),
            Depth::Digest(limit) => format!("{limit}:-1"),
            Depth::Differing(_, size) => format!("{CONTENT_LIMIT}:{size}"),
        };
        if !self.follow {
            digest.push('@');
        }
        let mut words: Vec<String> = parents(path).map(str::to_owned).collect();
        words.push(digest);
        words.reverse();
        words.push(path.to_owned());
        Some(Ahead { library: &LOOK_AHEAD, words })
    }

    /// Reads the answer, or what earlier steps of the plan will leave at the path and around it.
    pub fn read(&self, readings: &Readings) -> Result<Found, CheckError> {
        self.read_with(readings, || self.answer(readings))
    }

    /// The same, where the answer to another question tells what is there now.
    pub(in crate::step) fn read_with(
        &self,
        readings: &Readings,
        answer: impl Fn() -> Result<Found, CheckError>,
    ) -> Result<Found, CheckError> {
        let here = Resource::here(Kind::Path, self.path);
        match readings.peek_expected(&here) {
            Some(State::File(file)) => {
                readings.expected(&here);
                let mut file = file.clone();
                let mut vague = self.follow && matches!(file.kind, FileKind::Link(_));
                // A step that sets the mode alone leaves the content as the host has it.
                if file.kind == FileKind::File
                    && self.depth != Depth::Attributes
                    && !matches!(file.content, FileContent::Bytes(_))
                {
                    match answer()? {
                        Found { file: FileState { kind: FileKind::File, content, .. }, .. } => {
                            file.content = content;
                        }
                        _ => vague = true,
                    }
                }
                return Ok(Found { vague, ..Found::of(file) });
            }
            Some(State::Absent) => {
                readings.expected(&here);
                return Ok(Found::of(FileState::absent()));
            }
            _ => {}
        }
        // The nearest folder that a planned step touches decides: what is in a removed one is gone.
        let gone = parents(self.path)
            .map(|p| Resource::here(Kind::Path, p))
            .find(|p| readings.peek_expected(p).is_some())
            .filter(|p| readings.peek_expected(p) == Some(&State::Absent));
        let mut found = answer()?;
        if let Some(gone) = gone {
            readings.expected(&gone);
            found = Found::of(FileState::absent());
            found.missing_parents = parents(self.path)
                .take_while(|p| gone.name.rsplit_once('/').is_none_or(|(up, _)| up != *p))
                .map(str::to_owned)
                .collect();
        } else if found.file.kind == FileKind::Absent && readings.expected(&here) == Some(&State::Present) {
            found.vague = true;
        }
        found.missing_parents.retain(|p| {
            let expected = readings.expected(&Resource::here(Kind::Path, p));
            matches!(expected, None | Some(State::Absent))
        });
        found
            .missing_accounts
            .retain(|account| !matches!(readings.expected(account), Some(State::Present | State::Value(_))));
        Ok(found)
    }

    /// Reads what the host answered, whatever is planned.
    fn answer(&self, readings: &Readings) -> Result<Found, CheckError> {
        let probe = self.probe();
        self.part(&probe, readings.of(&probe)?)
    }

    /// Reads what the host answered to `probe`, of whose answer this is the part about the path.
    pub(in crate::step) fn part(&self, probe: &Probe, answer: &Answer) -> Result<Found, CheckError> {
        self.parse(answer)?.ok_or_else(|| {
            CheckError::unreadable(probe, answer, "expected the kind, mode, owner and group of the path")
        })
    }

    /// Returns what the check relies on beside the path: its accounts, its folders and their mounts.
    pub fn needs(&self) -> Vec<Resource> {
        let mut needs = vec![Resource::here(Kind::Path, self.path), Resource::here(Kind::Mount, self.path)];
        for parent in parents(self.path) {
            needs.push(Resource::here(Kind::Path, parent));
            needs.push(Resource::here(Kind::Mount, parent));
        }
        needs.extend(self.owner.filter(|o| !is_number(o)).map(|o| Resource::here(Kind::User, o)));
        needs.extend(self.group.filter(|g| !is_number(g)).map(|g| Resource::here(Kind::Group, g)));
        needs
    }

    fn parse(&self, answer: &Answer) -> Result<Option<Found>, CheckError> {
        let path = self.path;
        if answer.code == 3 || answer.code == 4 {
            return Err(CheckError::refused(
                format!("cannot read {path}: {}", answer.error_text()),
                "give the step the rights to read it, with `become = true`".to_owned(),
            ));
        }
        let mut missing_accounts = Vec::new();
        let mut rest: &[u8] = &answer.stdout;
        let line = loop {
            let end = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
            let Ok(line) = std::str::from_utf8(&rest[..end]) else { return Ok(None) };
            match (line.strip_prefix("!user "), line.strip_prefix("!group ")) {
                (Some(user), _) => missing_accounts.push(Resource::here(Kind::User, user)),
                (_, Some(group)) => missing_accounts.push(Resource::here(Kind::Group, group)),
                _ => break line,
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        };
        if !answer.ok() {
            return Ok(None);
        }
        if let Some(led) = answer.stdout.strip_prefix(b"led ") {
            return Err(self.led(&String::from_utf8_lossy(led)));
        }
        self.refuse(line)?;
        if line == "absent" || line.starts_with("absent ") {
            let levels = line.strip_prefix("absent").unwrap_or_default().trim();
            let Ok(levels) = levels.parse().or_else(|e| if levels.is_empty() { Ok(0usize) } else { Err(e) })
            else {
                return Ok(None);
            };
            let missing_parents = parents(path).take(levels).map(str::to_owned).collect();
            return Ok(Some(Found { missing_parents, missing_accounts, ..Found::of(FileState::absent()) }));
        }
        let Some(mut file) = parse_attributes(line) else { return Ok(None) };
        let body = rest.get(line.len() + 1..).unwrap_or_default();
        let mut entries = Vec::new();
        match &mut file.kind {
            FileKind::Link(target) if !body.is_empty() => {
                // A target with a line break in it.
                let _ = write!(target, "\n{}", String::from_utf8_lossy(body));
            }
            FileKind::Directory => {
                let names = String::from_utf8_lossy(body.strip_prefix(b"ENTRIES ").unwrap_or_default());
                entries = names.split_terminator('/').map(str::to_owned).collect();
            }
            FileKind::File if body == b"KERNEL\n" => {
                return Err(CheckError::refused(
                    format!("{path} is no file on a disk but a view of the kernel"),
                    "a `sysctl` or `command` step works on it".to_owned(),
                ));
            }
            FileKind::File => {
                let Some(content) = parse_content(body) else { return Ok(None) };
                file.content = content;
            }
            _ => {}
        }
        Ok(Some(Found { missing_accounts, entries, ..Found::of(file) }))
    }

    /// `WHO|LINK`
    fn led(&self, text: &str) -> CheckError {
        let (who, link) = text.trim_end_matches('\n').split_once('|').unwrap_or(("somebody", text));
        let path = self.path;
        let message = if link == path {
            format!("the symbolic link {path} is not followed: {who} may write where it is")
        } else {
            format!("{path} leads through the symbolic link {link}, and {who} may write where that is")
        };
        CheckError::refused(
            message,
            "name the path that it leads to, or let root alone write the folder of the link and all above it"
                .to_owned(),
        )
    }

    fn refuse(&self, line: &str) -> Result<(), CheckError> {
        let path = self.path;
        let above = |n: &str| {
            let n = n.parse().unwrap_or(0);
            parents(path).nth(n).unwrap_or("/").to_owned()
        };
        let (message, hint) = if let Some(fs) = line.strip_prefix("remote ") {
            (
                format!("{path} is on a network file system ({fs})"),
                "manage it on the server, where it is local; or set `allow_remote = true`, where the kind has it"
                    .to_owned(),
            )
        } else if let Some(fs) = line.strip_prefix("dead ") {
            (
                format!(
                    "{path} is on a network file system ({fs}) that does not answer within {} s",
                    REMOTE_TIMEOUT.as_secs()
                ),
                "see whether its server is up".to_owned(),
            )
        } else if let Some(n) = line.strip_prefix("denied ") {
            (
                format!("cannot look into {}, so it is not known whether {path} is there", above(n)),
                "give the step the rights to read it, with `become = true`".to_owned(),
            )
        } else if let Some(n) = line.strip_prefix("blocked ") {
            (
                format!("{} is not a directory, so {path} cannot be there", above(n)),
                "move it away by hand: it may hold data".to_owned(),
            )
        } else if line == "moved" {
            (
                format!(
                    "{path} has changed while it was looked at: somebody put another thing on the way to it"
                ),
                "see who does that, and run again".to_owned(),
            )
        } else if line == "loop" {
            (format!("{path} cannot be reached: too many symbolic links"), "correct the links".to_owned())
        } else if line == "dangling" {
            (
                format!("a symbolic link on the way to {path} leads nowhere"),
                "make the folder it points into, or remove the link".to_owned(),
            )
        } else {
            return Ok(());
        };
        Err(CheckError::refused(message, hint))
    }
}

impl Found {
    fn of(file: FileState) -> Self {
        Self {
            file,
            missing_parents: Vec::new(),
            missing_accounts: Vec::new(),
            entries: Vec::new(),
            vague: false,
        }
    }

    /// The verdict that `change` to `path` is wanted: it must wait for its folder and for its owner if they
    /// are not there yet.
    ///
    /// `makes_parents`: the change itself makes the folder.
    pub fn drift(&self, path: &str, change: Change, makes_parents: bool) -> Verdict {
        if let Some(parent) = self.missing_parents.first().filter(|_| !makes_parents) {
            return Verdict::Unknown {
                until: Resource::here(Kind::Path, parent),
                otherwise: format!("{path} cannot be made: there is no directory {parent}"),
                then: Some(change),
            };
        }
        if let Some(account) = self.missing_accounts.first() {
            return Verdict::Unknown {
                until: account.clone(),
                otherwise: format!("{path} cannot get its owner: there is no {account}"),
                then: Some(change),
            };
        }
        if self.vague {
            return Verdict::Unknown {
                until: Resource::here(Kind::Path, path),
                otherwise: format!("what will be at {path} is not known"),
                then: Some(change),
            };
        }
        Verdict::Drift(change)
    }
}

impl FileState {
    /// Nothing is there.
    pub fn absent() -> Self {
        Self {
            kind: FileKind::Absent,
            mode: 0,
            owner: String::new(),
            group: String::new(),
            uid: None,
            gid: None,
            content: FileContent::Unread,
        }
    }

    /// Something just made by root, with the usual mask.
    pub fn fresh(kind: FileKind) -> Self {
        let mode = match kind {
            FileKind::Directory => 0o755,
            FileKind::Link(_) => 0o777,
            _ => 0o644,
        };
        Self {
            kind,
            mode,
            owner: "root".into(),
            group: "root".into(),
            uid: Some(0),
            gid: Some(0),
            content: FileContent::Unread,
        }
    }
}

/// A mode as it is shown: `0755`.
pub fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

/// The path's folders, innermost first, `/` last; none for `/` itself.
pub fn parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |p| match p.rsplit_once('/') {
        Some(("", "")) | None => None,
        Some(("", _)) => Some("/"),
        Some((up, _)) => Some(up),
    })
    .skip(1)
}

/// Checks that `path` is an absolute one and takes needless slashes out of it.
pub fn normalise(path: &mut String, key: &str) -> Vec<Invalid> {
    if !path.starts_with('/') {
        return vec![Invalid::new(key, format!("{path:?} is not an absolute path"))];
    }
    if path.contains('\0') {
        return vec![Invalid::new(key, "a path cannot hold a NUL byte")];
    }
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.contains(&"..") {
        return vec![
            Invalid::new(key, format!("{path:?} has `..` in it"))
                .help("write the path without it, so that steps on the same path can be told"),
        ];
    }
    *path = format!("/{}", parts.join("/"));
    Vec::new()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn parse_attributes(line: &str) -> Option<FileState> {
    let fields: Vec<&str> = line.splitn(5, '|').collect();
    let [kind, mode, owner, group, target] = fields.as_slice() else { return None };
    let mode = u32::from_str_radix(mode, 8).ok()?;
    let kind = match *kind {
        "regular file" | "regular empty file" => FileKind::File,
        "directory" => FileKind::Directory,
        "symbolic link" => FileKind::Link((*target).to_owned()),
        other => FileKind::Other(other.to_owned()),
    };
    let (owner, uid) = parse_account(owner)?;
    let (group, gid) = parse_account(group)?;
    Some(FileState { kind, mode, owner, group, uid, gid, content: FileContent::Unread })
}

/// `NAME:NUMBER`; `stat` says `UNKNOWN` for a number without a name.
fn parse_account(text: &str) -> Option<(String, Option<u32>)> {
    let Some((name, number)) = text.split_once(':') else { return Some((text.to_owned(), None)) };
    let id = number.parse().ok()?;
    Some((if name == "UNKNOWN" { number.to_owned() } else { name.to_owned() }, Some(id)))
}

fn parse_content(bytes: &[u8]) -> Option<FileContent> {
    if bytes.is_empty() {
        return Some(FileContent::Unread);
    }
    let end = bytes.iter().position(|&b| b == b'\n')?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    if let Some(digest) = line.strip_prefix("DIGEST ") {
        let (sum, size) = digest.split_once(' ')?;
        let sum = if sum == "-" { String::new() } else { (sum.len() == 64).then(|| sum.to_owned())? };
        return Some(FileContent::Digest(sum, size.parse().ok()?));
    }
    let size: usize = line.strip_prefix("CONTENT ")?.parse().ok()?;
    let content = bytes[end + 1..].get(..size)?;
    Some(FileContent::Bytes(Arc::from(content)))
}

/// Parses a mode as people write it, `"0755"`.
pub fn parse_mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    ((3..=5).contains(&digits.len())).then_some(())?;
    u32::from_str_radix(digits, 8).ok().filter(|m| *m <= 0o7777)
}

/// A kind of thing at a path, as a word in a sentence.
pub fn word(kind: &FileKind) -> &str {
    match kind {
        FileKind::Absent => "missing path",
        FileKind::File => "file",
        FileKind::Directory => "directory",
        FileKind::Link(_) => "symbolic link",
        FileKind::Other(words) => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn ask(path: &str, depth: Depth) -> Result<Option<Found>, CheckError> {
        let query = Query::new(path, depth);
        let out = Command::new("sh").arg("-c").arg(query.probe().script.render()).output().unwrap();
        let answer = Answer { code: out.status.code().unwrap(), stdout: out.stdout, stderr: out.stderr };
        query.parse(&answer)
    }

    #[test]
    fn asks_a_real_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(at("a b"), b"x\0\ny\n\n").unwrap();
        std::os::unix::fs::symlink("a\n|b\n", at("link")).unwrap();
        let file = |name: &str, depth| ask(&at(name), depth).unwrap().unwrap().file;

        let content = file("a b", Depth::Content(100)).content;
        assert_eq!(content, FileContent::Bytes(Arc::from(&b"x\0\ny\n\n"[..])));
        assert_eq!(
            file("a b", Depth::Content(3)).content,
            FileContent::Digest(String::new(), 6),
            "too large"
        );
        assert_eq!(file("a b", Depth::Digest(5)).content, FileContent::Digest(String::new(), 6), "too large");
        let FileContent::Digest(sum, 6) = file("a b", Depth::Digest(6)).content else { panic!("its digest") };
        assert_eq!(file("a b", Depth::Differing(sum.clone(), 6)).content, FileContent::Digest(sum, 6));
        assert_eq!(file("link", Depth::Digest(1 << 20)).kind, FileKind::Link("a\n|b\n".into()));
        assert_eq!(file("", Depth::Digest(1 << 20)).kind, FileKind::Directory);
        assert_eq!(file("none", Depth::Digest(1 << 20)), FileState::absent());
        let missing = ask(&at("x/y/z"), Depth::Digest(1 << 20)).unwrap().unwrap().missing_parents;
        assert_eq!(missing, [at("x/y"), at("x")]);
        assert!(
            ask(&at("a b/x/y"), Depth::Digest(1 << 20))
                .unwrap_err()
                .to_string()
                .contains("a b is not a directory")
        );
        let root = ask("/", Depth::Attributes).unwrap().unwrap().file;
        assert_eq!((root.kind, root.uid), (FileKind::Directory, Some(0)));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_none() {
        for text in [
            "",
            "hello",
            "absent x",
            "regular file|9x|root|root|",
            "directory|755|root",
            "directory|755|root:x|root:0|",
        ] {
            let parsed = Query::new("/p", Depth::Attributes).parse(&Answer::new(0, text));
            assert_eq!(parsed.unwrap(), None, "{text}");
        }
    }

    /// What the probe says with this in place of the host's mounts, asked by every awk there is.
    fn on(mounts: &str, path: &str, allow_remote: bool) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mountinfo");
        std::fs::write(&file, mounts).unwrap();
        let query = Query { allow_remote, ..Query::new(path, Depth::Attributes) };
        let script = query.probe().script.render();
        let script = script.replace("/proc/self/mountinfo", file.to_str().unwrap());
        let mut answers = Vec::new();
        for awk in ["mawk", "gawk", "original-awk", "busybox awk"] {
            let program = awk.split(' ').next().unwrap();
            if !["/usr/bin", "/bin"].iter().any(|d| std::path::Path::new(d).join(program).exists()) {
                continue;
            }
            let script = script.replace("hw_net=$(awk", &format!("hw_net=$({awk}"));
            let out = Command::new("sh").arg("-c").arg(script).env("LC_ALL", "C").output().unwrap();
            answers.push(format!(
                "{}{}",
                String::from_utf8_lossy(&out.stdout),
                String::from_utf8_lossy(&out.stderr)
            ));
        }
        assert!(!answers.is_empty(), "no awk to test with");
        answers.dedup();
        assert_eq!(answers.len(), 1, "the awks differ: {answers:?}");
        answers.remove(0).trim().to_owned()
    }

    #[test]
    fn tells_network_file_systems_by_the_longest_mount_point() {
        let mounts = r"21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:40 / /mnt/nfs rw shared:1 master:2 - nfs4 server:/x rw
23 22 8:2 / /mnt/nfs/local rw - xfs /dev/sdb rw
24 21 0:41 / /mnt/a\040b\134c rw shared:9 - cifs //server/x rw
25 21 0:42 / /mnt/tab\011x rw - fuse.sshfs server: rw
26 21 0:43 / /auto rw - autofs systemd-1 rw
27 21 8:3 / /over rw - nfs server:/x rw
28 27 8:4 / /over rw - ext4 /dev/sdc rw
";
        for (path, says) in [
            ("/mnt/nfs", "remote nfs4"),
            ("/mnt/nfs/x/y", "remote nfs4"),
            ("/mnt/nfs/local/x", "absent 2"),
            ("/mnt/nfsx", "absent 0"),
            ("/mnt/a b\\c/x", "remote cifs"),
            ("/mnt/a b", "absent 0"),
            ("/mnt/tab\tx", "remote fuse.sshfs"),
            ("/auto/home", "remote autofs"),
            ("/over/x", "absent 1"),
        ] {
            assert_eq!(on(mounts, path, false), says, "{path}");
        }
        // Through a link.
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        for name in ["vol1", "vol1/d a\\ta"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::os::unix::fs::symlink("vol1/d a\\ta", at("data")).unwrap();
        std::os::unix::fs::symlink(at("data/share"), at("there")).unwrap();
        let escaped = at("vol1/d a\\ta/share").replace('\\', r"\134").replace(' ', r"\040");
        let mounts =
            format!("21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 0:40 / {escaped} rw - nfs4 srv:/m rw\n");
        for (path, says) in [
            ("data/share", "remote nfs4"),
            ("data/share/x/y", "remote nfs4"),
            ("there/x", "remote nfs4"),
            ("data/shared/x", "absent 1"),
            ("data/x", "absent 0"),
            ("data/x/y/z", "absent 2"),
        ] {
            assert_eq!(on(&mounts, &at(path), false), says, "{path}");
        }
        assert_eq!(on("21 1 0:1 / / rw - nfs server:/root rw\n", "/", false), "remote nfs");
        assert_eq!(on("21 1 0:1 / / rw - nfs server:/root rw\n", "/nosuch/x", true), "absent 1");
    }

    #[test]
    fn controller_and_hosts_have_one_list_of_remote_file_systems() {
        let list = format!("/^({}|fuse\\..*|autofs)$/", REMOTE.join("|"));
        assert!(NETWORK.text.source().contains(&list), "{list}");
        assert!(is_remote("fuse.sshfs") && !is_remote("fuseblk") && !is_remote("autofs"));
    }

    #[test]
    fn makes_paths_comparable() {
        for (path, becomes) in [("/a//b/./c/", "/a/b/c"), ("/", "/"), ("/a b", "/a b")] {
            let mut path = path.to_owned();
            assert_eq!(normalise(&mut path, "path"), []);
            assert_eq!(path, becomes);
        }
        for path in ["", "a", "/a/../b", "/a\0b"] {
            assert_eq!(normalise(&mut path.to_owned(), "path").len(), 1, "{path:?}");
        }
        assert_eq!(parents("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(parents("/").count(), 0);
    }
}
