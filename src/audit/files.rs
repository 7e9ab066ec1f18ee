//! Reports in files: the format is told by the ending.

use std::io;
use std::path::{Path, PathBuf};

use super::{Report, VERSION, csv, junit, markdown, page};
use crate::harmless;
use crate::model::field::{Field, Value};
use crate::whole_file;

/// A format of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// All of it, for programs and for `--compare`.
    Json,
    /// `JUnit` XML, for CI systems.
    Junit,
    /// Markdown, for people.
    Markdown,
    /// A table, for spreadsheets.
    Csv,
    /// A page that draws itself, for people.
    Html,
}

/// The formats by the ending of a file's name.
const ENDINGS: [(&str, Format); 5] = [
    ("html", Format::Html),
    ("json", Format::Json),
    ("xml", Format::Junit),
    ("md", Format::Markdown),
    ("csv", Format::Csv),
];

/// So large a report may be, in bytes.
const LARGEST: u64 = 1 << 30;

/// Why a report cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Its ending tells no format.
    #[error("{}: the ending tells the format: {}", .0.display(), endings())]
    Ending(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is no report.
    #[error("{} is not a report that can be compared with: {why}", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

fn endings() -> String {
    ENDINGS.map(|(ending, _)| format!(".{ending}")).join(", ")
}

impl Format {
    /// The format that a file's name asks for.
    pub fn of(path: &Path) -> Result<Self, FormatError> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        let found = ENDINGS.iter().find(|(known, _)| *known == ending);
        found.map(|(_, format)| *format).ok_or_else(|| FormatError::Ending(path.to_owned()))
    }
}

/// Whether a report can be written to this file.
pub fn can_write(path: &Path) -> Result<(), FormatError> {
    Format::of(path)?;
    whole_file::can_write(path).map_err(|error| FormatError::Io { path: path.to_owned(), error })
}

impl Report {
    /// The report in a format.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Json => harmless::json(self) + "\n",
            Format::Junit => junit::render(self),
            Format::Markdown => markdown::render(self),
            Format::Csv => csv::render(self),
            Format::Html => page::render(self),
        }
    }

    /// Writes it, all of it or nothing; a file that is not there yet is for its owner alone.
    pub fn write(&self, path: &Path) -> Result<(), FormatError> {
        let text = self.render(Format::of(path)?);
        let io = |error| FormatError::Io { path: path.to_owned(), error };
        let rights = std::fs::metadata(path).ok().map(|old| old.permissions());
        whole_file::write(path, text.as_bytes(), rights).map_err(io)
    }

    /// Reads one that was written as JSON.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        let io = |error| FormatError::Io { path: path.to_owned(), error };
        let malformed = |why: String| FormatError::Malformed { path: path.to_owned(), why };
        let about = std::fs::metadata(path).map_err(io)?;
        if !about.is_file() || about.len() > LARGEST {
            return Err(malformed(format!("it is no file, or larger than {} MB", LARGEST >> 20)));
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        let report: Self = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let cells = report.cells.iter().all(|row| row.iter().flatten().all(|&n| n < report.verdicts.len()));
        match report.report {
            VERSION if cells => Ok(report),
            VERSION => Err(malformed("a cell has no verdict".into())),
            other => {
                Err(malformed(format!("it has version {other} of the form, this program knows {VERSION}")))
            }
        }
    }
}

/// The lines that go and come, where a field is a text.
pub(super) fn diff(field: &Field) -> Option<String> {
    let text = |value: &Value| match value {
        Value::Content(text) => Some(text.clone()),
        Value::Absent => Some(String::new()),
        _ => None,
    };
    let is_text = matches!(field.before, Value::Content(_)) || matches!(field.after, Value::Content(_));
    let (before, after) = (text(&field.before)?, text(&field.after).filter(|_| is_text)?);
    Some(similar::TextDiff::from_lines(&before, &after).unified_diff().context_radius(3).to_string())
}

/// A value of a field, for people.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Absent => "(absent)".into(),
        Value::Text(text) => text.clone(),
        Value::Content(text) => format!("(a text of {} lines)", text.lines().count()),
        Value::Binary { size, .. } => format!("({size} bytes)"),
        Value::AfterApply => "(known after apply)".into(),
        Value::Unknown => "(not known yet)".into(),
        Value::Masked => "(secret)".into(),
    }
}
