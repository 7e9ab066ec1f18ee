//! Mistakes in the user's files: where, what, what was expected, and a hint; and how they are shown.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::model::Place;

/// Mistakes that are shown; of more only their number is told.
pub const SHOWN: usize = 50;

/// Once so many mistakes are known, no more hints are looked for: their cost grows with what they choose from.
pub(crate) const MANY: usize = 2 * SHOWN;

/// A text that diagnostics point into.
#[derive(Debug, Default)]
pub struct Source {
    /// Path as the user gave it, for messages.
    pub name: Arc<str>,
    /// The whole text.
    pub text: String,
    /// Where its lines start, once somebody asked.
    lines: OnceLock<Vec<usize>>,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (self.name == other.name && self.text == other.text)
    }
}
impl Eq for Source {}

impl Source {
    /// Takes a text under the name by which messages call it.
    pub fn new(name: &str, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into(), lines: OnceLock::new() })
    }

    /// The line and column of a byte offset.
    pub fn place(&self, offset: usize) -> Place {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let lines = self.lines.get_or_init(|| {
            std::iter::once(0).chain(self.text.match_indices('\n').map(|(i, _)| i + 1)).collect()
        });
        let line = lines.partition_point(|start| *start <= offset);
        let before = &self.text[lines[line - 1]..offset];
        // In a line that is no line of text any more, bytes will do.
        let columns = if before.len() > 10_000 { before.len() } else { before.chars().count() };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place { file: Arc::clone(&self.name), line: count(line), column: count(columns + 1) }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// What tells one diagnostic from another: what is said, and of which place.
pub(crate) type Identity = (Severity, String, Option<(Arc<str>, usize, usize)>);

impl Diagnostic {
    pub(crate) fn identity(&self) -> Identity {
        let place = |span: &Span| (Arc::clone(&span.source.name), span.range.start, span.range.end);
        (self.severity, self.message.clone(), self.span.as_ref().map(place))
    }

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
    if name.len() > 100 {
        return None;
    }
    candidates
        .into_iter()
        .filter(|c| c.as_ref().len() <= 100)
        .take(10_000)
        .map(|c| (strsim::jaro_winkler(name, c.as_ref()), c.as_ref()))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

/// Names as a list, with an end.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let mut text = names.by_ref().take(SHOWN).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => text,
        more => {
            text.push_str(", and ");
            text + &more.to_string() + " more"
        }
    }
}

/// Leaves out what was said before of the same place: a variable's mistake comes up in every step that uses it.
pub(crate) fn distinct(diagnostics: &mut Vec<Diagnostic>) {
    let mut seen = HashSet::new();
    diagnostics.retain(|d| seen.insert(d.identity()));
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
    let mut files: HashMap<Arc<str>, usize> = HashMap::new();
    for span in diagnostics.iter().filter_map(|d| d.span.as_ref()) {
        let next = files.len();
        files.entry(Arc::clone(&span.source.name)).or_insert(next);
    }
    diagnostics.sort_by_key(|d| d.span.as_ref().map(|s| (files[&s.source.name], s.range.start, s.range.end)));
}

/// Shows diagnostics in the order given, each followed by an empty line, then how many there are.
///
/// Of more than [`SHOWN`] the first are shown, errors before warnings. Returns an empty text for none.
pub fn render(diagnostics: &[Diagnostic], style: Style) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count().min(SHOWN);
    let mut left = (errors, SHOWN - errors);
    let mut out = String::new();
    for diagnostic in diagnostics {
        let left = if diagnostic.severity == Severity::Error { &mut left.0 } else { &mut left.1 };
        if *left == 0 {
            continue;
        }
        *left -= 1;
        out.push_str(&render_one(diagnostic, style));
        out.push_str("\n\n");
    }
    out.push_str(&count(diagnostics));
    if diagnostics.len() > SHOWN {
        let more = diagnostics.len() - SHOWN;
        write!(out, "; the first {SHOWN} are shown, and {more} more are not").expect("a text takes all");
    }
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
