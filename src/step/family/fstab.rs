//! fstab(5): its lines, and how one of them is changed without touching the others.

use super::config_file;
use super::exports::unescape;
use super::mounts::escape;
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::CheckError;
use crate::sh;
use crate::step::{Action, Change, Value};

/// Where it is.
pub const FSTAB: &str = "/etc/fstab";

/// One line of fstab(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FstabLine {
    /// What is mounted.
    pub source: String,
    /// Where, without a slash at its end.
    pub point: String,
    /// File system type.
    pub fstype: String,
    /// Options, without `defaults`.
    pub options: Vec<String>,
    /// The last two columns, for dump and fsck.
    pub rest: (String, String),
}

/// Reads a line of fstab; `None` for comments, blank lines and what mount(8) would not read.
pub fn parse_line(line: &str) -> Option<FstabLine> {
    let mut words = line.split_whitespace();
    let source = words.next().filter(|w| !w.starts_with('#'))?;
    let (point, fstype) = (words.next()?, words.next()?);
    let options = words.next().unwrap_or("defaults").split(',');
    let trimmed = unescape(point);
    let trimmed = if trimmed == "/" { "/" } else { trimmed.trim_end_matches('/') };
    Some(FstabLine {
        source: unescape(source),
        point: trimmed.to_owned(),
        fstype: fstype.to_owned(),
        options: options.filter(|o| *o != "defaults" && !o.is_empty()).map(str::to_owned).collect(),
        rest: (words.next().unwrap_or("0").to_owned(), words.next().unwrap_or("0").to_owned()),
    })
}

/// Writes a line of fstab.
pub fn line_text(line: &FstabLine) -> String {
    let options = if line.options.is_empty() { "defaults".to_owned() } else { line.options.join(",") };
    let (dump, pass) = &line.rest;
    format!("{} {} {} {options} {dump} {pass}\n", escape(&line.source), escape(&line.point), line.fstype)
}

/// The text of fstab with `line` as the only one for its mount point, in the place of the first such one;
/// without any if `line` is `None`. All else stays as it is.
pub fn edit(text: &str, point: &str, line: Option<&FstabLine>) -> String {
    let mut out = String::with_capacity(text.len() + 80);
    let mut wanted = line.map(line_text);
    for old in text.split_inclusive('\n') {
        match parse_line(old) {
            Some(parsed) if parsed.point == point => out.push_str(&wanted.take().unwrap_or_default()),
            _ => out.push_str(old),
        }
    }
    if let Some(line) = wanted {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&line);
    }
    out
}

/// The text of `/etc/fstab`.
#[derive(Debug)]
pub struct Fstab {
    /// The text; empty where there is no file.
    pub text: String,
    present: bool,
    now: FileState,
}

impl Fstab {
    /// Takes what was found at the path.
    pub fn of(now: FileState) -> Result<Self, CheckError> {
        let (text, present) = match (&now.kind, &now.content) {
            (FileKind::Absent, _) => (String::new(), false),
            (FileKind::File, FileContent::Bytes(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => (text.to_owned(), true),
                Err(_) => return Err(CheckError::refused(format!("{FSTAB} is not UTF-8 text"), None)),
            },
            (FileKind::File, FileContent::Unread) => (String::new(), true),
            _ => return Err(CheckError::refused(format!("{FSTAB} is not a plain file"), None)),
        };
        Ok(Self { text, present, now })
    }

    /// Its lines for a mount point.
    pub fn lines(&self, point: &str) -> Vec<FstabLine> {
        self.text.lines().filter_map(parse_line).filter(|l| l.point == point).collect()
    }

    /// Adds the new text to a change.
    pub fn replaced(&self, change: Change, text: String) -> Change {
        let before = if self.present { Value::Content(self.text.clone()) } else { Value::Absent };
        let mut after = if self.present {
            self.now.clone()
        } else {
            FileState { mode: 0o644, owner: "root".into(), group: "root".into(), ..FileState::absent() }
        };
        after.kind = FileKind::File;
        after.content = FileContent::Bytes(text.as_bytes().into());
        change
            .field(FSTAB, before, Value::Content(text))
            .expect(Resource::here(Kind::Path, FSTAB), State::File(after))
    }
}

/// Replaces fstab by what the change says, and tells systemd, which makes its units from it.
pub fn write(change: &Change) -> Action {
    let text = change.fields.iter().find_map(|f| match &f.after {
        Value::Content(text) if f.name == FSTAB => Some(text.as_str()),
        _ => None,
    });
    let mut action = config_file::replace(FSTAB, text.unwrap_or_default());
    action.script =
        action.script.script(&sh!("\nif [ -d /run/systemd/system ]; then systemctl daemon-reload; fi"));
    action
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_one_line_of_fstab() {
        let line = FstabLine {
            source: "srv:/a".into(),
            point: "/mnt/a b".into(),
            fstype: "nfs".into(),
            options: vec!["hard".into()],
            rest: ("0".into(), "0".into()),
        };
        let written = "srv:/a /mnt/a\\040b nfs hard 0 0\n";
        let text = "# <file system>\nUUID=1 / xfs defaults 0 1";
        assert_eq!(edit(text, "/mnt/a b", Some(&line)), format!("{text}\n{written}"));
        assert_eq!(edit("", "/mnt/a b", Some(&line)), written);
        let old =
            format!("# one\nx:/b\t/mnt/a\\040b/ nfs4\n{text}\ny:/c /mnt/a\\040b nfs ro 0 0\n/x /y z a 1 2\n");
        let new = edit(&old, "/mnt/a b", Some(&line));
        assert_eq!(new, format!("# one\n{written}{text}\n/x /y z a 1 2\n"));
        assert_eq!(edit(&new, "/mnt/a b", None), format!("# one\n{text}\n/x /y z a 1 2\n"));
        assert_eq!(edit(text, "/mnt/a b", None), text);
        assert_eq!(parse_line("  # x y z"), None);
    }
}
