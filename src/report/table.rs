//! Tables and Markdown for a terminal.

use super::style::{Look, Tone};
use super::text;

/// Columns between the columns of a table.
const GAP: usize = 2;

/// Lays out rows below a heading; what does not fit in the last column goes on below it.
pub fn table(head: &[&str], rows: &[Vec<String>], look: Look) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| text::clean(cell).into_owned()).collect()).collect();
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(n, title)| {
            rows.iter()
                .filter_map(|r| r.get(n))
                .map(|c| text::width(c))
                .chain([text::width(title)])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let lay = |cells: &[String]| {
        let Some((last, firsts)) = cells.split_last() else { return Vec::new() };
        let mut start = String::new();
        for (cell, width) in firsts.iter().zip(&widths) {
            start.push_str(&text::pad(cell, width + GAP));
        }
        let rest = " ".repeat(text::width(&start).min(look.width.map_or(usize::MAX, |w| w / 2)));
        text::wrap(last, look.width, &start, &rest)
    };
    let head: Vec<String> = head.iter().map(|t| (*t).to_owned()).collect();
    let mut out: Vec<_> = lay(&head).iter().map(|l| look.paint(Tone::Dim, l)).collect();
    out.extend(rows.iter().flat_map(|row| lay(row)).map(|l| l.trim_end().to_owned()));
    out
}

/// Shows the Markdown that the documents of kinds use: headings, tables, code, lists, paragraphs.
pub fn markdown(source: &str, look: Look) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            for code in lines.by_ref().take_while(|l| !l.starts_with("```")) {
                // Code is copied: it is not broken.
                out.push(look.paint(Tone::Good, format!("    {code}").trim_end()));
            }
        } else if let Some(title) = line.strip_prefix('#') {
            out.push(look.paint(Tone::Strong, title.trim_start_matches('#').trim()));
        } else if line.starts_with('|') {
            let mut rows = vec![cells(line)];
            while let Some(row) = lines.next_if(|l| l.starts_with('|')) {
                rows.push(cells(row));
            }
            // The second line of a Markdown table only draws.
            let body: Vec<_> = rows.iter().skip(2).cloned().collect();
            let head: Vec<_> = rows[0].iter().map(String::as_str).collect();
            let inner = Look { width: look.width.map(|w| w.saturating_sub(2)), ..look };
            out.extend(table(&head, &body, inner).iter().map(|l| format!("  {l}")));
        } else if line.trim().is_empty() {
            out.push(String::new());
        } else {
            let item = line.starts_with("- ");
            let mut words = line.trim().to_owned();
            while let Some(more) = lines.next_if(|l| continues(l)) {
                words.push(' ');
                words.push_str(more.trim());
            }
            let rest = if item { "    " } else { "  " };
            out.extend(text::wrap(&words, look.width, "  ", rest));
        }
    }
    let mut text = out.join("\n").trim_end().to_owned();
    text.push('\n');
    text
}

fn continues(line: &str) -> bool {
    !line.trim().is_empty() && !["#", "|", "```", "- "].iter().any(|s| line.starts_with(s))
}

/// The cells of a row; `\|` is a bar within one.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|');
    let inner = inner.strip_suffix('|').unwrap_or(inner).replace("\\|", "\u{0}");
    inner.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_text() {
        let source = "# kind\n\nEnsures that a thing\nis there.\n\n## Keys\n\n| Key | Value |\n|---|---|\n| `path` | \
            a path, `\"a\\|b\"`, or several of them one after the other |\n| `on` | yes |\n\n- one\n- two and\n  more\n\n\
            ```toml\n[[step]]\nkind = { x = 1 }\n```\n";
        let look = Look { color: false, unicode: true, width: Some(40) };
        let wanted = "\
kind

  Ensures that a thing is there.

Keys

  Key     Value
  `path`  a path, `\"a|b\"`, or several of
          them one after the other
  `on`    yes

  - one
  - two and more

    [[step]]
    kind = { x = 1 }
";
        assert_eq!(markdown(source, look), wanted);
    }
}
