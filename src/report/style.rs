//! How text may look here: colour, characters, width. The sense never depends on it.

/// What the place where text goes can show. Settled once at the start, by the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Colour and bold type may be used.
    pub color: bool,
    /// Characters outside ASCII may be used for marks and bars.
    pub unicode: bool,
    /// Columns of the terminal; `None` where lines may have any length (a pipe, a file).
    pub width: Option<usize>,
}

impl Look {
    /// No colour, ASCII, lines of any length: for a file.
    pub const PLAIN: Self = Self { color: false, unicode: false, width: None };
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    /// Fields and file differences of changes are shown.
    pub diff: bool,
    /// `-v`: 1 shows what is unchanged and skipped, 2 also actions and their output.
    pub verbose: u8,
    /// Only failures and the final count.
    pub quiet: bool,
    /// A line for each step, however many hosts it is on, and nothing of what it changes.
    pub summary: bool,
}

impl Default for Detail {
    fn default() -> Self {
        Self { diff: true, verbose: 0, quiet: false, summary: false }
    }
}

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Was added, or is as it should be.
    Good,
    /// Was or will be changed.
    Change,
    /// Failed, or is removed.
    Bad,
    /// Wants attention.
    Warn,
    /// Beside the point.
    Dim,
    /// A heading.
    Strong,
    /// Nothing special.
    Normal,
}

impl Look {
    /// Dresses `text` up. Measure and cut it before.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Change => "33",
            Tone::Bad => "31",
            Tone::Warn => "1;33",
            Tone::Dim => "2",
            Tone::Strong => "1",
            Tone::Normal => return text.to_owned(),
        };
        if self.color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The mark for text that was cut.
    pub(crate) fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { ".." }
    }
}
