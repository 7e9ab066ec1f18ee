//! Braces that are meant for another program: what to do about them.

use std::ops::Range;

/// Words that only stand alone in the templates of other programs (Go, Handlebars, Mustache).
const FOREIGN: [&str; 10] =
    ["end", "else", "range", "json", "template", "define", "block", "printf", "print", "each"];

/// What may be behind code that cannot be read, wrong at `at`.
pub(super) fn help(code: &str, at: Option<&Range<usize>>) -> String {
    let near = at.map_or(0, |r| r.start.min(code.len()));
    let open = code
        .get(..near)
        .and_then(|c| c.rfind(['{']))
        .and_then(|i| code[..i].rfind('{').filter(|j| *j + 1 == i).or(Some(i)));
    let from = open.unwrap_or(0);
    let piece = code.get(from..).unwrap_or(code);
    if let Some(tag) = piece.strip_prefix("{%")
        && ["include", "import", "from", "extends", "block"]
            .contains(&first_word(tag.trim_start_matches(['-', '+', ' '])))
    {
        return "a template stands for itself here: put what several need into a variable".into();
    }
    let comment = code.rfind("{#").filter(|i| !code[..*i].ends_with('{'));
    if comment.is_some_and(|i| !["#}", "{{", "{%"].iter().any(|s| code[i..].contains(s))) {
        return "`{#` begins a comment of a template file: as plain text, as in ${#name}, write it {{ '{#' }}, or put \
             {% raw %} before and {% endraw %} behind the text. A file in which nothing is to be rendered is sent with \
             `source`".into();
    }
    let inner = piece.trim_start_matches(['{', '-', '+', ' ']);
    if piece.starts_with("{%") && !piece[2..].starts_with([' ', '-', '+', '\n', '\t']) {
        return "`{%` begins a tag of a template. As plain text, in a date format for example, write it {{ '{%' }}, or \
             put {% raw %} before and {% endraw %} behind the text".into();
    }
    let close = piece.find("}}").map_or(piece.len(), |i| i + 2);
    let shown = piece.get(..close).filter(|p| p.len() <= 60 && p.starts_with("{{") && p.ends_with("}}"));
    let go = inner.starts_with(['.', '$', '#', '/', '^', '>', '&']) || FOREIGN.contains(&first_word(inner));
    match shown {
        Some(shown) if go => format!(
            "braces that are meant for another program, such as docker, are written {{% raw %}}{shown}{{% endraw %}}"
        ),
        _ => "if the braces are meant for another program (docker, awk, Go), put {% raw %} before and {% endraw %} \
              behind the text"
            .into(),
    }
}

/// The hint for a name that no scope has, but templates of others do.
pub(super) fn foreign_word(name: &str) -> Option<String> {
    let known = FOREIGN.contains(&name)
        || matches!(name, "secrets" | "github" | "env" | "matrix" | "Names" | "Release" | "Values");
    known.then(|| {
        "if the braces are meant for another program, put {% raw %} before and {% endraw %} behind the text".to_owned()
    })
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_very_braces_where_it_can() {
        for (code, at, part) in [
            ("docker ps --format '{{.Names}}'", 22, "{% raw %}{{.Names}}{% endraw %}"),
            ("a {{ json . }} b", 12, "{% raw %}{{ json . }}{% endraw %}"),
            ("{{#each x}}", 2, "{% raw %}{{#each x}}{% endraw %}"),
            ("date +{%Y-%m}", 8, "{{ '{%' }}"),
            ("awk '{{print $1}}'", 13, "{% endraw %}"),
            ("é{{", 2, "{% endraw %}"),
        ] {
            let help = help(code, Some(&(at..at + 1)));
            assert!(help.contains(part), "{code}: {help}");
        }
    }
}
