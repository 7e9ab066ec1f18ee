//! Text that fits: widths as terminals count them, cleaning, cutting, wrapping, lists of hosts, durations.

use std::borrow::Cow;
use std::collections::HashSet;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::HostName;

/// Columns that `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

pub(crate) use crate::harmless::line as clean;

/// As [`clean`], for a line that was drawn over with carriage returns (a download's percentage): the last state.
pub(crate) fn last_state(line: &str) -> Cow<'_, str> {
    clean(state(line).trim_start())
}

fn state(line: &str) -> &str {
    line.trim_end().rsplit('\r').find(|s| !clean(s).trim().is_empty()).unwrap_or_default()
}

/// Cuts `text` to at most `max` columns; what is left out shows as `mark`.
pub(crate) fn cut<'a>(text: &'a str, max: usize, mark: &str) -> Cow<'a, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let mark = if width(mark) <= max { mark } else { "" };
    let (head, _) = split_at_width(text, max - width(mark));
    Cow::Owned(format!("{}{mark}", head.trim_end()))
}

/// Fills `text` up with blanks to `columns`.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Fills `text` up with blanks on its left to `columns`.
pub(crate) fn pad_left(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// The longest head of at most `max` columns, and the rest.
fn split_at_width(text: &str, max: usize) -> (&str, &str) {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += char_width(c);
        if used > max {
            return text.split_at(at);
        }
    }
    (text, "")
}

/// Breaks `text` into lines of at most `columns`, at blanks where it can; the first line begins with
/// `first`, the others with `rest`. Without `columns` nothing is broken. Line breaks in `text` stay.
pub(crate) fn wrap(text: &str, columns: Option<usize>, first: &str, rest: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let start = if n == 0 { first } else { rest };
        let Some(columns) = columns else {
            lines.push(format!("{start}{line}"));
            continue;
        };
        let mut left = line;
        let mut start = start;
        loop {
            // A terminal narrower than the indentation still gets some text on every line.
            let room = columns.saturating_sub(width(start)).max(8);
            if width(left) <= room {
                lines.push(format!("{start}{left}").trim_end().to_owned());
                break;
            }
            let (head, _) = split_at_width(left, room);
            let at = match head.rfind(' ') {
                // A blank right behind the head is the best place of all.
                _ if left[head.len()..].starts_with(' ') => head.len(),
                Some(at) if at > 0 => at,
                _ => head.len().max(left.chars().next().map_or(1, char::len_utf8)),
            };
            lines.push(format!("{start}{}", left[..at].trim_end()));
            left = left[at..].trim_start();
            start = rest;
        }
    }
    if lines.is_empty() {
        lines.push(first.trim_end().to_owned());
    }
    lines
}

/// What a host printed, as it is: tables would not stand being broken.
pub(crate) fn shown(text: &str, indent: usize) -> impl Iterator<Item = String> {
    text.lines()
        .map(move |line| format!("{}{}", " ".repeat(indent), clean(state(line))).trim_end().to_owned())
}

/// `1 host`, `4 hosts`.
pub(crate) fn count(n: usize, one: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    }
}

/// `1 try`, `4 tries`.
pub(crate) fn count_of(n: u32, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A duration as people read it: `0.8 s`, `42.0 s`, `3 min 07 s`, `1 h 02 min`.
pub(crate) fn duration(ms: u64) -> String {
    let tenths = ms.saturating_add(50) / 100;
    let seconds = tenths / 10;
    match seconds {
        0..60 => format!("{seconds}.{} s", tenths % 10),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A running clock: `7 s`, `3:07`, `1:02:07`.
pub(crate) fn clock(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02}", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60),
    }
}

/// A size in bytes with a binary unit: `512 bytes`, `3.4 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = "bytes";
    let (mut whole, mut rest) = (bytes, 0);
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if whole < 1024 {
            break;
        }
        (whole, rest) = (whole / 1024, whole % 1024);
        unit = next;
    }
    if unit == "bytes" { format!("{whole} {unit}") } else { format!("{whole}.{} {unit}", rest * 10 / 1024) }
}

/// Lists hosts in the order given, runs of numbered names joined as the inventory writes them
/// (`worker-[01:38]`), at most `limit` parts.
pub(crate) fn hosts(names: &[&HostName], limit: usize) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut left_out = 0;
    let mut at = 0;
    while at < names.len() {
        let run = run_length(&names[at..]);
        if parts.len() < limit {
            parts.push(if run > 2 {
                let (stem, first) = numbered(names[at].as_str());
                let (_, last) = numbered(names[at + run - 1].as_str());
                format!("{stem}[{first}:{last}]")
            } else {
                names[at].to_string()
            });
        } else {
            left_out += if run > 2 { run } else { 1 };
        }
        at += if run > 2 { run } else { 1 };
    }
    if left_out > 0 {
        parts.push(format!("and {left_out} more"));
    }
    parts.join(", ")
}

/// A name and the digits at its end.
fn numbered(name: &str) -> (&str, &str) {
    name.split_at(name.trim_end_matches(|c: char| c.is_ascii_digit()).len())
}

/// How many names from the first on are numbered one after the other in the same form.
fn run_length(names: &[&HostName]) -> usize {
    let (stem, digits) = numbered(names[0].as_str());
    let Ok(first) = digits.parse::<u64>() else { return 1 };
    names
        .iter()
        .zip(first..)
        .take_while(|(name, n)| {
            let (s, d) = numbered(name.as_str());
            s == stem && d.len() == digits.len() && d.parse() == Ok(*n)
        })
        .count()
}

/// Removes what has been seen before, keeping the order.
pub(crate) fn unique(items: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    items.into_iter().filter(|i| seen.insert(i.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_line_that_was_drawn_over_the_last_state_counts() {
        assert_eq!(last_state("10%\r 50%\r100%\r"), "100%");
        assert_eq!(last_state("\x1b[1A\x1b[2Kdone\r\x1b[31m\n"), "done");
    }

    #[test]
    fn cuts_at_columns_not_characters() {
        for (text, max, shown) in [
            ("short", 5, "short"),
            ("longer text", 7, "longer…"),
            ("漢字漢字", 8, "漢字漢字"),
            ("漢字漢字", 7, "漢字漢…"),
            ("漢字漢字", 6, "漢字…"),
            ("漢字", 1, "…"),
            ("漢字", 0, ""),
        ] {
            let cut = cut(text, max, "…");
            assert_eq!(cut, shown);
            assert!(width(&cut) <= max);
        }
    }

    #[test]
    fn wraps_at_blanks_and_never_beyond_the_columns() {
        assert_eq!(wrap("aaa bbb ccc ddd", Some(9), "- ", "  "), ["- aaa bbb", "  ccc ddd"]);
        assert_eq!(
            wrap("/a/very/long/path/indeed x", Some(14), "", "  "),
            ["/a/very/long/p", "  ath/indeed x"]
        );
        assert_eq!(wrap("one\ntwo", None, "- ", "  "), ["- one", "  two"]);
        assert_eq!(wrap("漢字漢字漢字", Some(10), "  ", "  "), ["  漢字漢字", "  漢字"]);
        assert_eq!(wrap("", Some(10), "- ", "  "), ["-"]);
    }

    #[test]
    fn durations_and_sizes() {
        let shown: Vec<_> = [0, 49, 820, 59_949, 59_950, 187_000, 3_720_000].map(duration).into();
        assert_eq!(shown, ["0.0 s", "0.0 s", "0.8 s", "59.9 s", "1 min 00 s", "3 min 07 s", "1 h 02 min"]);
        assert_eq!([999, 61_000, 3_661_000].map(clock), ["0 s", "1:01", "1:01:01"]);
        assert_eq!([3, 1024, 3_500_000].map(size), ["3 bytes", "1.0 KiB", "3.3 MiB"]);
    }

    #[test]
    fn numbered_hosts_are_joined() {
        let list = |names: &[&str], limit| {
            let names: Vec<_> = names.iter().map(|n| HostName::new(n).unwrap()).collect();
            hosts(&names.iter().collect::<Vec<_>>(), limit)
        };
        assert_eq!(list(&["nfs-01"], 5), "nfs-01");
        assert_eq!(list(&["w-08", "w-09", "w-10", "w-12"], 5), "w-[08:10], w-12");
        assert_eq!(list(&["w-9", "w-10"], 5), "w-9, w-10");
        assert_eq!(list(&["w-1", "w-2", "x", "y", "z"], 3), "w-1, w-2, x, and 2 more");
        assert_eq!(list(&["a", "w-1", "w-2", "w-3"], 1), "a, and 3 more");
    }
}
