//! What differs between two texts, as a unified diff with bounded context and length.

use similar::{ChangeTag, TextDiff};

use super::style::{Look, Tone};
use super::text;

/// Unchanged lines around a difference.
const CONTEXT: usize = 3;
/// Lines shown of one difference, unless all are asked for.
const LINES: usize = 60;
/// A difference that takes longer to find is shown coarser.
const TIMEOUT: std::time::Duration = std::time::Duration::from_millis(500);

/// A difference between two texts.
pub(crate) struct Diff {
    /// Lines that come.
    pub(crate) added: usize,
    /// Lines that go.
    pub(crate) removed: usize,
    /// Only blanks and tabs differ.
    pub(crate) blanks_only: bool,
    lines: Vec<(Tone, String)>,
}

impl Diff {
    /// Compares `before` and `after` line by line.
    pub(crate) fn new(before: &str, after: &str) -> Self {
        let diff = TextDiff::configure().timeout(TIMEOUT).diff_lines(before, after);
        let mut found =
            Self { added: 0, removed: 0, blanks_only: blanks_only(before, after), lines: Vec::new() };
        for change in diff.iter_all_changes() {
            match change.tag() {
                ChangeTag::Insert => found.added += 1,
                ChangeTag::Delete => found.removed += 1,
                ChangeTag::Equal => {}
            }
        }
        let whole = before.is_empty() || after.is_empty();
        for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
            // A header says nothing of a file that comes or goes as a whole.
            if !whole {
                found.lines.push((Tone::Dim, hunk.header().to_string()));
            }
            for change in hunk.iter_changes() {
                let (sign, tone) = match change.tag() {
                    ChangeTag::Insert => ('+', Tone::Good),
                    ChangeTag::Delete => ('-', Tone::Bad),
                    ChangeTag::Equal => (' ', Tone::Normal),
                };
                let line = change.value();
                let ended = line.ends_with('\n');
                let line = text::clean(line.strip_suffix('\n').unwrap_or(line));
                found.lines.push((tone, format!("{sign}{line}")));
                if !ended {
                    found.lines.push((Tone::Dim, "\\ no line break at the end".into()));
                }
            }
        }
        found
    }

    /// `+3 -1 lines`.
    pub(crate) fn counts(&self) -> String {
        let parts: Vec<_> = [('+', self.added), ('-', self.removed)]
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|(sign, n)| format!("{sign}{n}"))
            .collect();
        let word = if self.added + self.removed == 1 { "line" } else { "lines" };
        let blanks = if self.blanks_only { " (only white space differs)" } else { "" };
        format!("{} {word}{blanks}", parts.join(" "))
    }

    /// The lines, each after `indent`; cut off after a bound unless `all`.
    pub(crate) fn render(&self, look: Look, indent: &str, all: bool) -> Vec<String> {
        let shown = if all || self.lines.len() <= LINES { self.lines.len() } else { LINES - 1 };
        let mut out = Vec::new();
        for (tone, line) in &self.lines[..shown] {
            let rest = format!("{indent} ");
            out.extend(
                text::wrap(line, look.width, indent, &rest).into_iter().map(|l| look.paint(*tone, &l)),
            );
        }
        if shown < self.lines.len() {
            let more = format!(
                "{indent}{} ({} more lines; -v shows all)",
                look.ellipsis(),
                self.lines.len() - shown
            );
            out.push(look.paint(Tone::Dim, &more));
        }
        out
    }
}

fn blanks_only(before: &str, after: &str) -> bool {
    !before.is_empty()
        && !after.is_empty()
        && before.chars().filter(|c| !c.is_whitespace()).eq(after.chars().filter(|c| !c.is_whitespace()))
}
