//! How much a template may be, before the engine sees it: its parser and its values nest on the stack, and what
//! is too deep for that must be a mistake with a place, not the end of the program.

use std::ops::Range;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

/// What a template is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A string of a playbook: `{#` is no comment there, for shells write `${#name}`.
    Text,
    /// A template file.
    File,
}

/// Operators that may stand within one another in one pair of braces. The engine's parser needs up to a kilobyte
/// of stack for each, and threads that render have two megabytes.
const OPERATORS: usize = 200;

/// How many branches one `if` may have, for the same reason.
const BRANCHES: usize = 100;

/// How many lists and tables the `set` of one template may build. Each may hold the one before, and such a value
/// is walked and dropped on the stack.
const BUILT: usize = 400;

/// Work that one template may be: an instruction costs one, so do 64 bytes of what it makes. That is also the
/// bound of its memory, 64 MB.
pub(super) const FUEL: u64 = 1_000_000;

/// Work of a template that has a `namespace`, the one thing in which a loop can nest values without end; it is
/// rendered on a stack that is large enough for what this much work can nest.
pub(super) const NAMESPACE_FUEL: u64 = 100_000;

/// The stack for such a template.
pub(super) const NAMESPACE_STACK: usize = 128 << 20;

/// Bytes that the text of one template may have.
pub(super) const TEXT: usize = 16 << 20;

/// How many variables may need one another in a row.
pub(super) const CHAIN: usize = 32;

/// How deep the value of a variable may nest.
pub(super) const DEPTH: usize = 64;

/// Work that rendering one step for one host may be, all variables included.
pub(super) const WORK: u64 = 1_000_000;

/// Items, in lists within lists, that a value may have once it is written out. One list may stand in another many
/// times, and takes no room before.
const ITEMS: usize = 200_000;

/// How deep a value may nest that is written out.
const WRITTEN: usize = 500;

/// Filters that put each item into a list of its own.
const NESTING_FILTERS: [&str; 5] = ["batch", "slice", "items", "zip", "dictsort"];

/// What is wrong with any other use of `namespace`.
const UNNAMED: &str = "a namespace needs a name: `{% set ns = namespace() %}`";

/// A template is too much, or does what it may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excess {
    /// Where, in bytes.
    pub(super) at: Range<usize>,
    /// What is too much.
    pub(super) message: String,
}

/// Looks through a template, or with `expression` an expression without braces.
pub(super) fn check(text: &str, expression: bool, part: Part) -> Result<(), Excess> {
    let mut scan = Scan { names_known: !has_namespace(text), ..Scan::default() };
    if expression {
        return scan.code(text, 0..text.len()).map(|_| ());
    }
    if !scan.names_known {
        // A macro may use a name that is set further below.
        scan.blocks(text, part)?;
        scan = Scan { names_known: true, namespaces: scan.namespaces, ..Scan::default() };
    }
    scan.blocks(text, part)
}

/// Whether a template has a `namespace`.
pub(super) fn has_namespace(text: &str) -> bool {
    text.contains("namespace")
}

/// Refuses a value that would be too large when it is written out.
pub(super) fn weigh(value: &Value) -> Result<(), Error> {
    let (mut items, mut bytes) = (0, 0);
    walk(value, 0, WRITTEN, &mut |value| {
        items += 1;
        bytes += value.as_str().map_or(0, str::len);
        if items > ITEMS || bytes > TEXT { Err(Error::from(ErrorKind::OutOfFuel)) } else { Ok(()) }
    })
}

/// Whether the value of a variable nests too deep for another one to be built around it.
pub(super) fn too_deep(value: &Value) -> bool {
    let mut items = 0;
    let walked = walk(value, 0, DEPTH, &mut |_| {
        items += 1;
        if items > ITEMS { Err(Error::from(ErrorKind::OutOfFuel)) } else { Ok(()) }
    });
    walked.is_err()
}

fn walk(
    value: &Value,
    depth: usize,
    deepest: usize,
    each: &mut dyn FnMut(&Value) -> Result<(), Error>,
) -> Result<(), Error> {
    each(value)?;
    // What templates see of hosts and variables is made when it is looked at, and is no list or table.
    let ours = value.as_object().is_some_and(|o| o.type_name().starts_with(env!("CARGO_PKG_NAME")));
    if ours || !matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        return Ok(());
    }
    if depth > deepest {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("a value nests deeper than {deepest}")));
    }
    for item in value.try_iter()? {
        let inner = if value.kind() == ValueKind::Map { value.get_item(&item)? } else { item };
        walk(&inner, depth + 1, deepest, each)?;
    }
    Ok(())
}

/// What is between the braces, one after the other.
struct Blocks<'a> {
    text: &'a str,
    at: usize,
    part: Part,
}

impl Iterator for Blocks<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let rest = self.text.get(self.at..)?;
            let open = rest.match_indices('{').find_map(|(i, _)| match rest.as_bytes().get(i + 1) {
                Some(b'{') => Some((i, "}}")),
                Some(b'%') => Some((i, "%}")),
                Some(b'#') if self.part == Part::File => Some((i, "#}")),
                Some(b'#') if rest[i..].starts_with("{##") => Some((i, "##}")),
                _ => None,
            })?;
            let start = self.at + open.0 + 2;
            let end = match open.1 {
                // Nothing within a comment counts, quotes included.
                close @ ("#}" | "##}") => {
                    self.at = self.text[start..].find(close).map(|i| start + i + close.len())?;
                    continue;
                }
                close => end_of_code(self.text, start, close),
            };
            self.at = (end + 2).min(self.text.len());
            if open.1 == "%}" && word(self.text[start..end].trim_matches(['-', '+', ' ', '\t'])) == "raw" {
                // Up to where it ends, whatever stands there.
                self.at = self.text[self.at..]
                    .match_indices("{%")
                    .find(|(i, _)| {
                        let tag =
                            self.text[self.at + i + 2..].trim_start_matches(['-', '+', ' ', '\t', '\n']);
                        tag.starts_with("endraw")
                    })
                    .map_or(self.text.len(), |(i, _)| self.at + i);
            }
            return Some(start..end);
        }
    }
}

/// Where the code that starts at `start` ends: at `close` outside of quotes.
fn end_of_code(text: &str, start: usize, close: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut quote) = (start, None);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(q), b) if q == b => quote = None,
            (None, b @ (b'"' | b'\'')) => quote = Some(b),
            (None, _) if bytes[at..].starts_with(close.as_bytes()) => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

#[derive(Default)]
struct Scan<'a> {
    /// Branches of each `if` that is open.
    branches: Vec<usize>,
    /// Lists and tables in `set`.
    built: usize,
    /// Names that stand for a namespace.
    namespaces: Vec<&'a str>,
    /// No further names will come.
    names_known: bool,
}

impl<'a> Scan<'a> {
    fn blocks(&mut self, text: &'a str, part: Part) -> Result<(), Excess> {
        for block in (Blocks { text, at: 0, part }) {
            match self.code(text, block.clone())? {
                "if" | "for" | "with" | "macro" | "call" | "filter" => self.branches.push(0),
                "endif" | "endfor" | "endwith" | "endmacro" | "endcall" | "endfilter" => {
                    self.branches.pop();
                }
                "elif" => {
                    if let Some(branches) = self.branches.last_mut() {
                        *branches += 1;
                    }
                    if self.branches.iter().sum::<usize>() > BRANCHES {
                        let message = format!("more than {BRANCHES} branches of `if`");
                        return Err(Excess { at: block, message });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks through the code at `range` and returns its first word.
    fn code(&mut self, text: &'a str, range: Range<usize>) -> Result<&'a str, Excess> {
        let whole = &text[range.clone()];
        let code = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        let excess = |at: usize, message: String| {
            let at = (range.start + whole.len() - code.len() + at).min(range.end);
            Excess { at: at..range.end.min(at + 1), message }
        };
        let first = word(code.trim_start());
        let sets = matches!(first, "set" | "with");
        // How many operators are around each open bracket, and around what stands here.
        let (mut around, mut here) = (Vec::new(), 0usize);
        let mut before = Token::Other("");
        let mut tokens = Tokens { code, at: 0 }.enumerate().peekable();
        // `{% set NAME = namespace(...) %}`, and nothing else, makes a namespace.
        let mut name = None;
        while let Some((position, (at, token))) = tokens.next() {
            match token {
                Token::Open => {
                    let literal = !matches!(before, Token::Word(_) | Token::Close | Token::Text);
                    if sets && literal {
                        self.build().map_err(|m| excess(at, m))?;
                    }
                    here += 1;
                    around.push(here);
                }
                Token::Close => {
                    here = around.pop().unwrap_or(here);
                    let rest = tokens.peek().map(|(_, (at, _))| code[*at..].trim());
                    if name.is_some() && around.is_empty() && !matches!(rest, None | Some("-" | "+")) {
                        return Err(excess(at, UNNAMED.into()));
                    }
                }
                Token::Comma => here = around.last().copied().unwrap_or(0),
                Token::Word("not" | "and" | "or" | "if" | "else" | "is" | "in") | Token::Other(_) => {
                    here += 1;
                }
                Token::Word(w) => {
                    if sets && NESTING_FILTERS.contains(&w) {
                        self.build().map_err(|m| excess(at, m))?;
                    }
                    let next = tokens.peek().map(|(_, (_, token))| *token);
                    let attribute = before == Token::Other(".");
                    if w == "namespace" && !attribute && next != Some(Token::Other("=")) {
                        let (Token::Other("="), 3, "set", Some(Token::Open)) =
                            (before, position, first, next)
                        else {
                            return Err(excess(at, UNNAMED.into()));
                        };
                        name = Some(word(code.trim_start()["set".len()..].trim_start()));
                    }
                    // A namespace that got into itself could never be shown.
                    let bare = !attribute && !matches!(next, Some(Token::Other("." | "=") | Token::Open));
                    if bare && self.names_known && self.namespaces.contains(&w) {
                        let message = format!("the namespace `{w}` can only be used with a key: `{w}.KEY`");
                        return Err(excess(at, message));
                    }
                }
                Token::Text => {}
            }
            if here > OPERATORS {
                let message = format!("more than {OPERATORS} operators and brackets within one another");
                return Err(excess(at, message));
            }
            before = token;
        }
        self.namespaces.extend(name.filter(|_| !self.names_known));
        Ok(first)
    }

    fn build(&mut self) -> Result<(), String> {
        self.built += 1;
        if self.built > BUILT {
            return Err(format!("more than {BUILT} lists and tables in the `set` of one template"));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Text,
    Open,
    Close,
    Comma,
    Other(&'a str),
}

struct Tokens<'a> {
    code: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.code[self.at..];
        let skipped = rest.len() - rest.trim_start().len();
        let start = self.at + skipped;
        let rest = &self.code[start..];
        let c = rest.chars().next()?;
        let (len, token) = match c {
            '"' | '\'' => {
                let close = if c == '"' { "\"" } else { "'" };
                ((end_of_text(rest, close)), Token::Text)
            }
            c if c.is_alphanumeric() || c == '_' => {
                let word = word(rest);
                (word.len(), Token::Word(word))
            }
            '(' | '[' | '{' => (1, Token::Open),
            ')' | ']' | '}' => (1, Token::Close),
            ',' | ':' => (1, Token::Comma),
            '=' if rest.starts_with("==") => (2, Token::Other("==")),
            c => (c.len_utf8(), Token::Other(&rest[..c.len_utf8()])),
        };
        self.at = start + len;
        Some((start, token))
    }
}

/// How long the quoted text is that `rest` starts with.
fn end_of_text(rest: &str, close: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b if b == close.as_bytes()[0] => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_stands_in_another_many_times_has_its_true_size() {
        let eval = |code: &str| {
            let value = super::super::template::texts().compile_expression(code).unwrap().eval(()).unwrap();
            (weigh(&value).is_ok(), too_deep(&value))
        };
        assert_eq!(eval("[[1, 2], {'a': 'b'}] * 100"), (true, false));
        assert_eq!(eval("[[[1] * 1000] * 1000] * 1000"), (false, true));
        assert_eq!(eval("['x' * 1000000] * 17"), (false, false));
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert_eq!((eval(&nested(50)), eval(&nested(70))), ((true, false), (true, true)));
    }

    fn said(text: &str) -> String {
        check(text, false, Part::File).map_or_else(|e| e.message, |()| "good".into())
    }

    #[test]
    fn what_people_write_is_not_too_much() {
        for text in [
            "{{ vars.a[0].b | default('x', true) | join(',') }}",
            &format!("{{{{ [{}] }}}}", "vars.a.b.c | upper, ".repeat(500)),
            &format!("{{{{ {{{}}} }}}}", "'key': vars.a.b.c | upper, ".repeat(500)),
            &"{% if a %}{{ x - 1 }}{% elif b %}{% else %}{% endif %}".repeat(1000),
            &"{% set a = x | default('y') ~ '[' %}".repeat(1000),
            &format!("{{% raw %}}{}{{% endraw %}}", "{{.Names}}".repeat(1000)),
            &format!("{{# {} #}}", "((".repeat(1000)),
            "{{ '((((' ~ \"\\\"((((\" }}",
            "{% set ns = namespace(n=0) %}{% for i in x %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns['n'] }}",
            "no braces ((((",
            "é{{ 'é\\' %}é' ~ \"é\" }}é{% set é = é %}{#é#}é{{é",
        ] {
            assert_eq!(said(text), "good", "{text:.80}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = "more than 200 operators and brackets within one another";
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("not ", ""),
            ("-", ""),
            ("1+", ""),
            ("1**", ""),
            ("1 if 0 else ", ""),
            ("1 and ", ""),
        ] {
            let code = format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
            assert_eq!(said(&format!("a {{{{ {code} }}}}")), deep, "{open}");
            assert_eq!(check(&code, true, Part::Text).unwrap_err().message, deep, "{open}");
        }
        for tail in [".a", "[0]", "()", "|abs", " is odd"] {
            assert_eq!(said(&format!("{{{{ x{} }}}}", tail.repeat(20_000))), deep, "{tail}");
        }
        let branches = format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(200));
        assert_eq!(said(&branches), "more than 100 branches of `if`");
        let built = "more than 400 lists and tables in the `set` of one template";
        for set in ["{% set x = [x] %}", "{% set x = x | batch(1) %}", "{% set x = (x, 1) %}"] {
            assert_eq!(said(&set.repeat(20_000)), built, "{set}");
        }
    }

    #[test]
    fn a_namespace_stays_out_of_itself() {
        for code in ["{% set ns.a = ns %}", "{% set b = [ns] %}", "{{ ns }}", "{{ ns | to_json }}"] {
            let text = format!("{{% set ns = namespace() %}}{code}");
            assert_eq!(said(&text), "the namespace `ns` can only be used with a key: `ns.KEY`", "{code}");
        }
        let message = "a namespace needs a name: `{% set ns = namespace() %}`";
        assert_eq!(said("{{ [namespace()] }}"), message);
        assert_eq!(said("{% set a.b = namespace() %}"), message);
        assert_eq!(said("{% set a, b = namespace(), 1 %}"), message);
        assert_eq!(said("{% set a = namespace(), 1 %}"), message);
        assert_eq!(said("{% set a = namespace %}"), message);
        let before = "{% macro m() %}{{ ns }}{% endmacro %}{% set ns = namespace() %}";
        assert!(said(before).starts_with("the namespace `ns`"));
    }
}
