//! fstab(5): its lines, and how one of them is changed without touching the others.
//!
//! It is handled as bytes: what is not UTF-8 stays as it is, as do comments, blanks and escapes of all lines, also in
//! the line that is changed.

use super::mounts::escape;
use super::options::split;
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::CheckError;
use crate::step::family::exports::unescape;
use crate::step::family::{config_file, systemd};
use crate::step::{Action, Change, Value};

/// Where it is.
pub(super) const FSTAB: &str = "/etc/fstab";

/// What a line of fstab(5) says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FstabLine {
    /// What is mounted.
    pub(super) source: String,
    /// Where, without needless slashes.
    pub(super) point: String,
    /// File system type.
    pub(super) fstype: String,
    /// Options, without `defaults`.
    pub(super) options: Vec<String>,
}

/// A line in its parts: the bytes before each of the first four fields and the fields themselves, then all that
/// follows them: the columns for dump and fsck, a comment, the end of the line.
struct Parts<'a> {
    fields: [(&'a [u8], &'a [u8]); 4],
    rest: &'a [u8],
}

/// Takes a line apart; `None` for comments, blank lines and what mount(8) would not read. Fields are separated by
/// blanks and tabs alone (fstab(5)), not by all that Unicode calls a blank.
fn parts(line: &[u8]) -> Option<Parts<'_>> {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let end = |b: &u8| blank(b) || *b == b'\n' || *b == b'\r';
    let mut rest = line;
    let mut fields: [(&[u8], &[u8]); 4] = [(b"", b""); 4];
    for (n, field) in fields.iter_mut().enumerate() {
        let (before, tail) = rest.split_at(rest.iter().position(|b| !blank(b)).unwrap_or(rest.len()));
        let (text, tail) = tail.split_at(tail.iter().position(end).unwrap_or(tail.len()));
        if text.starts_with(b"#") && (n == 0 || n == 3) {
            // Without options, but with a comment.
            return (n == 3).then_some(Parts { fields, rest });
        }
        if text.is_empty() {
            return (n == 3).then_some(Parts { fields, rest });
        }
        *field = (before, text);
        rest = tail;
    }
    Some(Parts { fields, rest })
}

impl Parts<'_> {
    fn text(&self, n: usize) -> String {
        unescape(&String::from_utf8_lossy(self.fields[n].1))
    }

    fn line(&self) -> FstabLine {
        let options = split(&String::from_utf8_lossy(self.fields[3].1));
        FstabLine {
            source: self.text(0),
            point: plain_point(&self.text(1)),
            fstype: self.text(2),
            options: options.into_iter().filter(|o| o != "defaults" && !o.is_empty()).collect(),
        }
    }
}

/// A mount point without needless slashes and dots.
fn plain_point(point: &str) -> String {
    if !point.starts_with('/') {
        return point.to_owned();
    }
    let parts: Vec<&str> = point.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    format!("/{}", parts.join("/"))
}

fn options_text(line: &FstabLine) -> String {
    if line.options.is_empty() { "defaults".to_owned() } else { line.options.join(",") }
}

/// Whether two lists have the same options, in whatever order; of several of a kind the last one counts, so their
/// order does.
fn same_options(one: &[String], other: &[String]) -> bool {
    let sorted = |options: &[String]| {
        let mut options = options.to_vec();
        options.sort();
        options
    };
    sorted(one) == sorted(other)
}

/// Mount points that stand for one path: the path itself, and what leads to it by a link.
#[derive(Debug)]
pub(super) struct Point<'a> {
    /// The path.
    pub(super) path: &'a str,
    /// Fields of fstab, as they are written there.
    pub(super) aliases: &'a [String],
}

impl Point<'_> {
    fn is(&self, parts: &Parts<'_>) -> bool {
        let raw = parts.fields[1].1;
        plain_point(&parts.text(1)) == self.path || self.aliases.iter().any(|alias| alias.as_bytes() == raw)
    }
}

/// The text of fstab with `line` as the only one for its mount point, in the place of the first such one;
/// without any if `line` is `None`. All else stays as it is, and of the line itself what says the same.
pub(super) fn edit(text: &[u8], point: &Point<'_>, line: Option<&FstabLine>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 80);
    let mut wanted = line;
    for old in text.split_inclusive(|b| *b == b'\n') {
        match parts(old) {
            Some(parts) if point.is(&parts) => {
                if let Some(line) = wanted.take() {
                    out.extend(rewritten(&parts, line));
                }
            }
            _ => out.extend(old),
        }
    }
    if let Some(line) = wanted {
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        let (source, path) = (escape(&line.source), escape(&line.point));
        out.extend(format!("{source} {path} {} {} 0 0\n", line.fstype, options_text(line)).bytes());
    }
    out
}

/// The line with the fields that say something else replaced.
fn rewritten(old: &Parts<'_>, line: &FstabLine) -> Vec<u8> {
    let now = old.line();
    let fields = [
        (now.source != line.source).then(|| escape(&line.source)),
        (now.point != line.point).then(|| escape(&line.point)),
        (now.fstype != line.fstype).then(|| line.fstype.clone()),
        (!same_options(&now.options, &line.options)).then(|| options_text(line)),
    ];
    let mut out = Vec::new();
    for (n, ((before, text), new)) in old.fields.iter().zip(fields).enumerate() {
        let new = new.map(String::into_bytes);
        let text = new.as_deref().unwrap_or(text);
        if !text.is_empty() {
            let before: &[u8] = if n == 3 && before.is_empty() { b" " } else { before };
            out.extend([before, text].concat());
        }
    }
    out.extend(old.rest);
    out
}

/// The text of `/etc/fstab`.
#[derive(Debug)]
pub(super) struct Fstab {
    /// The text; empty where there is no file.
    pub(super) text: Vec<u8>,
    present: bool,
    now: FileState,
}

impl Fstab {
    /// Takes what was found at the path.
    pub(super) fn of(now: FileState) -> Result<Self, CheckError> {
        let (text, present) = match (&now.kind, &now.content) {
            (FileKind::Absent, _) => (Vec::new(), false),
            (FileKind::File, FileContent::Bytes(bytes)) => (bytes.to_vec(), true),
            (FileKind::File, FileContent::Unread) => (Vec::new(), true),
            _ => return Err(CheckError::refused(format!("{FSTAB} is not a plain file"), None)),
        };
        if text.contains(&0) {
            return Err(CheckError::refused(
                format!("{FSTAB} is no text that mount(8) could read: there are NUL bytes in it"),
                "it is perhaps UTF-16: write it anew as plain text".to_owned(),
            ));
        }
        Ok(Self { text, present, now })
    }

    /// Its lines for a mount point.
    pub(super) fn lines(&self, point: &Point<'_>) -> Vec<FstabLine> {
        let lines = self.text.split_inclusive(|b| *b == b'\n').filter_map(parts);
        lines.filter(|parts| point.is(parts)).map(|parts| parts.line()).collect()
    }

    /// Whether the only line for the mount point says what `line` does.
    pub(super) fn says(
        &self,
        point: &Point<'_>,
        line: &FstabLine,
        same_source: impl Fn(&str) -> bool,
    ) -> bool {
        match self.lines(point).as_slice() {
            [now] => {
                same_source(&now.source)
                    && now.point == line.point
                    && now.fstype == line.fstype
                    && same_options(&now.options, &line.options)
            }
            _ => false,
        }
    }

    /// Adds the new text to a change, and the actions that write it and tell systemd, which makes its units from it.
    pub(super) fn replaced(&self, change: Change, text: &[u8]) -> (Change, [Action; 2]) {
        let shown = |text: &[u8]| Value::Content(String::from_utf8_lossy(text).into_owned());
        let before = if self.present { shown(&self.text) } else { Value::Absent };
        let mut after = if self.present {
            self.now.clone()
        } else {
            FileState { mode: 0o644, owner: "root".into(), group: "root".into(), ..FileState::absent() }
        };
        after.kind = FileKind::File;
        after.content = FileContent::Bytes(text.into());
        let change = change
            .field(FSTAB, before, shown(text))
            .expect(Resource::here(Kind::Path, FSTAB), State::File(after));
        (change, [config_file::replace(FSTAB, text), systemd::read_unit_files()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &[u8]) -> Option<FstabLine> {
        Some(parts(line)?.line())
    }

    fn point(path: &str) -> Point<'_> {
        Point { path, aliases: &[] }
    }

    fn line() -> FstabLine {
        FstabLine {
            source: "srv:/a".into(),
            point: "/mnt/a b".into(),
            fstype: "nfs".into(),
            options: vec!["hard".into()],
        }
    }

    #[test]
    fn edits_one_line_of_fstab() {
        let (line, at) = (line(), point("/mnt/a b"));
        let written: &[u8] = b"srv:/a /mnt/a\\040b nfs hard 0 0\n";
        let text: &[u8] = b"# <file system>\nUUID=1 / xfs defaults 0 1";
        assert_eq!(edit(text, &at, Some(&line)), [text, b"\n", written].concat());
        assert_eq!(edit(b"", &at, Some(&line)), written);
        assert_eq!(edit(text, &at, None), text);
        assert_eq!(parse_line(b"  # x y z"), None);
        assert_eq!(parse_line(b"  \n"), None);
        let swap = b"/swapfile none swap sw 0 0\n#srv:/a /mnt/a\\040b nfs ro 0 0\n";
        assert_eq!(edit(swap, &at, None), swap);
    }

    /// Old line, and the new one.
    #[test]
    fn nothing_but_what_differs_changes_in_the_line() {
        let (line, at) = (line(), point("/mnt/a b"));
        for (old, new) in [
            // Tabs, the columns behind, a comment.
            ("x:/b\t/mnt/a\\040b\tnfs4\tro\t1 2\t# why\n", "srv:/a\t/mnt/a\\040b\tnfs\thard\t1 2\t# why\n"),
            ("srv:/a /mnt/a\\040b/ nfs ro 0 0 # ro\n", "srv:/a /mnt/a\\040b/ nfs hard 0 0 # ro\n"),
            // Other escapes for the same.
            ("\\163rv:/a //mnt/./a\\040b nfs soft\n", "\\163rv:/a //mnt/./a\\040b nfs hard\n"),
            // Without options, with and without a comment; without an end; with that of another system.
            ("srv:/a /mnt/a\\040b nfs\n", "srv:/a /mnt/a\\040b nfs hard\n"),
            ("srv:/a /mnt/a\\040b nfs  # x\n", "srv:/a /mnt/a\\040b nfs hard  # x\n"),
            ("  srv:/a /mnt/a\\040b nfs ro", "  srv:/a /mnt/a\\040b nfs hard"),
            ("srv:/a /mnt/a\\040b nfs ro 0 0\r\n", "srv:/a /mnt/a\\040b nfs hard 0 0\r\n"),
            ("srv:/a /mnt/a\\040b nfs ro\r\n", "srv:/a /mnt/a\\040b nfs hard\r\n"),
        ] {
            for (before, after) in
                [("", ""), ("# gr\u{fc}n \\\n", "/x /y z a 1 2"), ("/x\t/y z\r\n\n", "#\n")]
            {
                if !old.ends_with('\n') && !after.is_empty() {
                    continue;
                }
                let text = [before, old, after].concat();
                let edited = edit(text.as_bytes(), &at, Some(&line));
                assert_eq!(String::from_utf8(edited).unwrap(), [before, new, after].concat(), "{text:?}");
                assert_eq!(edit(text.as_bytes(), &at, None), [before, after].concat().as_bytes());
            }
        }
    }

    #[test]
    fn bytes_of_others_stay_and_second_lines_go() {
        let (line, at) = (line(), point("/mnt/a b"));
        let mut old = b"# gr\xfcn\n/dev/\xff /d\xe4ta xfs\r\n".to_vec();
        let head = old.len();
        old.extend(b"srv:/a /mnt/a\\040b nfs ro 0 0\n\ny:/c /mnt/a\\040b nfs ro 0 0\n/nbsp\xc2\xa0x /y z\n");
        let mut new = old[..head].to_vec();
        new.extend(b"srv:/a /mnt/a\\040b nfs hard 0 0\n\n/nbsp\xc2\xa0x /y z\n");
        assert_eq!(edit(&old, &at, Some(&line)), new);
        assert_eq!(edit(&new, &at, Some(&line)), new);
        assert_eq!(parse_line(b"/nbsp\xc2\xa0x /y z\n").unwrap().source, "/nbsp\u{a0}x");
    }

    #[test]
    fn a_mount_point_that_leads_there_by_a_link_is_the_same() {
        let aliases = ["/srv/l\\040k/a".to_owned()];
        let at = Point { path: "/mnt/a b", aliases: &aliases };
        let new = edit(b"srv:/a /srv/l\\040k/a nfs hard 0 0 # x\n", &at, Some(&line()));
        assert_eq!(String::from_utf8(new).unwrap(), "srv:/a /mnt/a\\040b nfs hard 0 0 # x\n");
    }
}
