//! Mistakes in the user's files: where, what, what was expected, and a hint; and how they are shown.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::model::Place;

/// A text that diagnostics point into.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Path as the user gave it, for messages.
    pub name: Arc<str>,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// Takes a text under the name by which messages call it.
    pub fn new(name: &str, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into() })
    }

    /// The line and column of a byte offset.
    pub fn place(&self, offset: usize) -> Place {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            file: Arc::clone(&self.name),
            line: count(before.bytes().filter(|b| *b == b'\n').count() + 1),
            column: count(before[line_start..].chars().count() + 1),
        }
    }
}

/// A range of bytes in a [`Source`].
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    /// The text.
    pub source: Arc<Source>,
    /// Byte offsets into it.
    pub range: Range<usize>,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}", self.source.name, self.range)
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, but is likely not what was meant. Named, and can be silenced on a step.
    Warning,
    /// Nothing is done before it is put right.
    Error,
}

/// One mistake, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The lint's name (`export-leaves-out-client`); `None` for mistakes of form.
    pub lint: Option<&'static str>,
    /// What is wrong: a lower-case fragment without a full stop.
    pub message: String,
    /// Where. `None` only where no text is at fault (a missing file, `--var`).
    pub span: Option<Span>,
    /// What stands under the caret (`expected a string`).
    pub label: String,
    /// Further places that belong to it, each with what it says.
    pub related: Vec<(Span, String)>,
    /// What to do.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(span: Option<Span>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            lint: None,
            message: message.into(),
            span,
            label: String::new(),
            related: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Names the lint that found it.
    #[must_use]
    pub fn lint(mut self, name: &'static str) -> Self {
        self.lint = Some(name);
        self
    }

    /// Adds a further place, with what it says.
    #[must_use]
    pub fn related(mut self, span: Option<Span>, text: impl Into<String>) -> Self {
        self.related.extend(span.map(|s| (s, text.into())));
        self
    }

    /// Sets the text under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

/// Returns the candidate that `name` most likely was meant to be, if one is near enough.
pub fn nearest<'a, S>(name: &str, candidates: impl IntoIterator<Item = &'a S>) -> Option<&'a str>
where
    S: AsRef<str> + 'a + ?Sized,
{
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(name, c.as_ref()), c.as_ref()))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

/// Where and how diagnostics are shown.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// With colours.
    pub colour: bool,
    /// Columns of the terminal; long lines are cut around the caret.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, width: 140 }
    }
}

/// Sorts by file and position; what has no place comes first. Files keep the order in which they first came up.
pub fn sort(diagnostics: &mut [Diagnostic]) {
    let mut files: Vec<Arc<str>> = Vec::new();
    for diagnostic in diagnostics.iter() {
        if let Some(span) = &diagnostic.span
            && !files.contains(&span.source.name)
        {
            files.push(Arc::clone(&span.source.name));
        }
    }
    diagnostics.sort_by_key(|d| {
        d.span.as_ref().map(|s| (files.iter().position(|f| *f == s.source.name), s.range.start, s.range.end))
    });
}

/// Shows diagnostics in the order given, each followed by an empty line, then how many there are.
///
/// Returns an empty text for none.
pub fn render(diagnostics: &[Diagnostic], style: Style) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&render_one(diagnostic, style));
        out.push_str("\n\n");
    }
    out.push_str(&count(diagnostics));
    out.push('\n');
    out
}

/// `3 errors, 1 warning`.
pub fn count(diagnostics: &[Diagnostic]) -> String {
    let of = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let some = |n: usize, word: &str| match n {
        0 => None,
        1 => Some(format!("1 {word}")),
        n => Some(format!("{n} {word}s")),
    };
    let parts = [some(of(Severity::Error), "error"), some(of(Severity::Warning), "warning")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn render_one(diagnostic: &Diagnostic, style: Style) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut title = level.primary_title(shown(&diagnostic.message));
    if let Some(lint) = diagnostic.lint {
        title = title.id(lint);
    }
    let mut group = Group::with_title(title);
    // Snippets of one file are shown as one piece; the primary file comes first.
    let mut files: Vec<&Arc<Source>> = Vec::new();
    let places = diagnostic.span.iter().chain(diagnostic.related.iter().map(|(s, _)| s));
    for span in places {
        if !files.iter().any(|f| f.name == span.source.name) {
            files.push(&span.source);
        }
    }
    for source in files {
        let ours = |span: &&Span| span.source.name == source.name;
        let primary =
            diagnostic.span.iter().filter(ours).map(|s| (s, &diagnostic.label, AnnotationKind::Primary));
        let related = diagnostic
            .related
            .iter()
            .filter(|(s, _)| s.source.name == source.name)
            .map(|(s, text)| (s, text, AnnotationKind::Context));
        let annotations: Vec<_> = primary
            .chain(related)
            .map(|(span, text, kind)| {
                let annotation = kind.span(clamped(&source.text, &span.range));
                if text.is_empty() { annotation } else { annotation.label(shown(text)) }
            })
            .collect();
        if source.text.is_empty() {
            group = group.element(Origin::path(source.name.to_string()));
            continue;
        }
        group = group.element(
            Snippet::source(source.text.as_str())
                .path(source.name.to_string())
                .fold(true)
                .annotations(annotations),
        );
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(shown(help)));
    }
    let renderer = if style.colour { Renderer::styled() } else { Renderer::plain() };
    renderer.term_width(style.width.max(40)).render(&[group])
}

/// Control characters of a hostile file must not reach the terminal.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// The range within the text, at character boundaries, and within its first line: a step that spans many
/// lines is pointed at by its head.
fn clamped(text: &str, range: &Range<usize>) -> Range<usize> {
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (boundary(range.start), boundary(range.end.max(range.start)));
    let line = text[start..end].find('\n').map_or(end, |n| start + n);
    start..line
}
