//! The display for a terminal: what is busy is drawn anew at the bottom, what is done scrolls above.
//!
//! The drawing is `indicatif`'s; the lines come from [`super::progress`], so that every width can be tested.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::log::{Line, Log, Looks, Stream};
use super::plain::Sink;
use super::progress::Progress;
use super::reporter::Reporter;
use super::style::{Detail, Look};
use crate::event::{Body, Event};
use crate::harmless;

/// How often at most the terminal is drawn to, in a second.
const HZ: u8 = 20;

/// Draws on a terminal.
#[derive(Debug)]
pub struct Bars<T> {
    screen: T,
    multi: MultiProgress,
    /// One bar with as many lines as there are to draw: they change in number with every host that starts.
    bar: ProgressBar,
    look: Look,
    /// Where what came of steps goes, if not to this terminal.
    out: Option<Sink>,
    log: Log,
    progress: Progress,
    now_ms: u64,
    drawn: bool,
}

/// A terminal that knows its size.
pub trait Screen: TermLike + Clone + Send + 'static {}
impl<T: TermLike + Clone + Send + 'static> Screen for T {}

impl Bars<console::Term> {
    /// Draws on standard error; `out` is where what came of steps goes, if not to the same terminal.
    pub fn stderr(look: Look, out: Option<Sink>, detail: Detail) -> Self {
        Self::new(console::Term::buffered_stderr(), look, out, detail)
    }
}

impl<T: Screen> Bars<T> {
    /// Draws on `screen`.
    ///
    /// # Panics
    /// Never: the template is a fixed text.
    pub fn new(screen: T, look: Look, out: Option<Sink>, detail: Detail) -> Self {
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), HZ);
        let multi = MultiProgress::with_draw_target(target);
        let style = ProgressStyle::with_template("{msg}").expect("a template with one key");
        let bar = ProgressBar::new_spinner().with_style(style);
        let look = Look { width: Some(screen.width().into()), ..look };
        let looks = Looks { out: out.as_ref().map_or(look, |out| out.look), err: look };
        let mut log = Log::new(looks, detail);
        if out.is_none() {
            log.answers_in_blocks();
        }
        Self { screen, multi, bar, look, log, out, progress: Progress::default(), now_ms: 0, drawn: false }
    }

    /// The plan is not written to this terminal: what must be known of it is told here.
    #[must_use]
    pub fn plan_is_elsewhere(mut self) -> Self {
        self.log.plan_is_elsewhere();
        self
    }

    fn draw(&mut self) {
        // The user may have made the window smaller or larger.
        self.look.width = Some(usize::from(self.screen.width()).max(1));
        let out = self.out.as_ref().map_or(self.look.width, |out| out.look.width);
        self.log.set_width(out, self.look.width);
        let lines = self.progress.frame(self.look, self.screen.height().into(), self.now_ms);
        if lines.is_empty() {
            self.clear();
            return;
        }
        if !self.drawn {
            self.multi.add(self.bar.clone());
            self.drawn = true;
        }
        self.bar.set_message(harmless::painted(&lines.join("\n")).into_owned());
    }

    fn write(&mut self, lines: &[Line]) {
        let elsewhere = |line: &&Line| self.out.is_some() && line.to == Stream::Out;
        let (out, here): (Vec<_>, Vec<_>) = lines.iter().partition(elsewhere);
        if let Some(sink) = self.out.as_mut().filter(|_| !out.is_empty()) {
            for line in out {
                sink.write(&line.text);
            }
            sink.flush();
        }
        if !here.is_empty() {
            // Not `println` of `indicatif`: it fills lines up with blanks, which a copy would hold as well.
            let screen = &self.screen;
            self.multi.suspend(|| {
                // A terminal that has gone away shows nothing more; the run goes on.
                let _ = here
                    .iter()
                    .try_for_each(|line| screen.write_line(&harmless::painted(&line.text)))
                    .and_then(|()| screen.flush());
            });
        }
    }

    /// Takes the moving lines away: others are about to write.
    fn clear(&mut self) {
        if self.drawn {
            self.multi.remove(&self.bar);
            // A terminal that has gone away shows nothing more.
            let _ = self.multi.clear();
            self.drawn = false;
        }
    }
}

impl<T: Screen> Reporter for Bars<T> {
    fn event(&mut self, event: &Event) {
        self.now_ms = event.at_ms;
        self.progress.take(event);
        if matches!(event.body, Body::PlanFinished { .. } | Body::RunFinished { .. }) {
            self.clear();
        }
        let lines = self.log.lines(event);
        self.write(&lines);
    }

    fn tick(&mut self, at_ms: u64) {
        self.now_ms = at_ms;
        let lines = self.log.tick(at_ms);
        self.write(&lines);
        self.draw();
    }

    fn finish(mut self: Box<Self>) {
        self.clear();
        let lines = self.log.rest();
        self.write(&lines);
    }
}
