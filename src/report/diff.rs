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
    /// What to know beside the lines.
    remark: Option<String>,
    lines: Vec<(Tone, String)>,
}

impl Diff {
    /// Compares `before` and `after` line by line.
    pub(crate) fn new(before: &str, after: &str) -> Self {
        // Line feeds alone end lines: a carriage return within one, or before its end, is to be seen.
        let (old, new): (Vec<_>, Vec<_>) =
            (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
        let diff = TextDiff::configure().timeout(TIMEOUT).diff_slices(&old, &new);
        let mut found = Self { added: 0, removed: 0, remark: remark(&old, &new), lines: Vec::new() };
        let everywhere = Ends::of(&old).or(Ends::of(&new)) == Some(Ends::CrLf)
            && Ends::of(&new).is_none_or(|ends| ends == Ends::CrLf);
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
                let line = line.strip_suffix('\n').unwrap_or(line);
                let line = if everywhere && ended { line.strip_suffix('\r').unwrap_or(line) } else { line };
                // An escape sequence, or a carriage return at the end, that comes or goes is a difference too.
                let line = line.replace('\x1b', "^[").replace('\r', "^M");
                found.lines.push((tone, format!("{sign}{}", text::clean(&line))));
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
        if parts.is_empty() {
            return format!(
                "no lines{}",
                self.remark.as_ref().map(|r| format!(" ({r})")).unwrap_or_default()
            );
        }
        let word = if self.added + self.removed == 1 { "line" } else { "lines" };
        let remark = self.remark.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
        format!("{} {word}{remark}", parts.join(" "))
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

/// What ends the lines of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Lf,
    CrLf,
    Both,
}

impl Ends {
    /// `None` where no line has an end.
    fn of(lines: &[&str]) -> Option<Self> {
        let mut ended = lines.iter().filter(|line| line.ends_with('\n')).map(|line| line.ends_with("\r\n"));
        let first = ended.next()?;
        Some(match ended.all(|next| next == first) {
            false => Self::Both,
            true if first => Self::CrLf,
            true => Self::Lf,
        })
    }

    fn words(self) -> &'static str {
        match self {
            Self::Lf => "LF",
            Self::CrLf => "CR LF",
            Self::Both => "both LF and CR LF",
        }
    }
}

/// What the lines alone do not show, or not at first sight.
fn remark(old: &[&str], new: &[&str]) -> Option<String> {
    let (before, after) = (Ends::of(old), Ends::of(new));
    if let (Some(before), Some(after)) = (before, after)
        && before != after
    {
        let bare = |line: &&str| line.trim_end_matches(['\r', '\n']).to_owned();
        let only = if old.iter().map(bare).eq(new.iter().map(bare)) { "only " } else { "" };
        return Some(format!("{only}line ends change: {}, now {}", after.words(), before.words()));
    }
    if old.is_empty() && after.is_some_and(|ends| ends != Ends::Lf) {
        return after.map(|ends| format!("line ends: {}", ends.words()));
    }
    let inked = |lines: &[&str]| -> String {
        lines.iter().flat_map(|line| line.chars()).filter(|c| !c.is_whitespace()).collect()
    };
    (!old.is_empty() && !new.is_empty() && inked(old) == inked(new))
        .then(|| "only white space differs".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &str, after: &str) -> String {
        let diff = Diff::new(before, after);
        let lines: Vec<_> = diff.lines.iter().map(|(_, line)| line.as_str()).collect();
        format!("{}: {}", diff.counts(), lines.join("|"))
    }

    #[test]
    fn an_empty_file_has_no_lines() {
        assert_eq!(shown("", ""), "no lines: ");
    }

    #[test]
    fn line_ends_are_seen_where_they_differ() {
        for (before, after, says) in [
            (
                "a\r\nb\r\n",
                "a\nb\n",
                "+2 -2 lines (only line ends change: LF, now CR LF): @@ -1,2 +1,2 @@|-a^M|-b^M|+a|+b",
            ),
            ("a\n", "b\r\n", "+1 -1 lines (line ends change: CR LF, now LF): @@ -1 +1 @@|-a|+b^M"),
            (
                "a\r\nb\n",
                "a\nb\n",
                "+1 -1 lines (only line ends change: LF, now both LF and CR LF): @@ -1,2 +1,2 @@|-a^M|+a| b",
            ),
            ("a\r\n", "a\r\nb\r\n", "+1 line: @@ -1 +1,2 @@| a|+b"),
            ("a\r\nb\n", "a\r\nc\n", "+1 -1 lines: @@ -1,2 +1,2 @@| a^M|-b|+c"),
            ("", "a\r\nb", "+2 lines (line ends: CR LF): +a|+b|\\ no line break at the end"),
            ("a\rb\n", "a\rc\n", "+1 -1 lines: @@ -1 +1 @@|-a^Mb|+a^Mc"),
            ("a \n", "a\n", "+1 -1 lines (only white space differs): @@ -1 +1 @@|-a |+a"),
            (
                "a",
                "a\n",
                "+1 -1 lines (only white space differs): @@ -1 +1 @@|-a|\\ no line break at the end|+a",
            ),
            ("\x1b[31ma\n", "a\n", "+1 -1 lines: @@ -1 +1 @@|-^[[31ma|+a"),
        ] {
            assert_eq!(shown(before, after), says, "{before:?} {after:?}");
        }
    }
}
