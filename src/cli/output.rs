//! The only place of the command line that prints.

use std::io::Write as _;

use super::args::Format;
use super::exit::Exit;
use super::settings::Display;
use crate::diagnostic::{self, Diagnostic, Style};
use crate::event::Mode;
use crate::harmless;
use crate::report::{All, Bars, Json, Look, Plain, PlanText, Reporter, Sink, Streams};

/// Writes data: what may be foreign in it shows as what it is. Nobody reading on (`| head`) is no error.
pub(super) fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(harmless::painted(text).as_bytes()).and_then(|()| out.flush());
}

/// Writes bytes as they are: to a program that wants them, never to a terminal.
pub(super) fn bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Writes a message.
pub(super) fn message(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{}", harmless::painted(text));
}

/// Gives the terminal its cursor back, and a line of its own to whatever comes next.
pub(super) fn restore_terminal() {
    let mut err = std::io::stderr().lock();
    if std::io::IsTerminal::is_terminal(&err) {
        let _ = err.write_all(b"\x1b[?25h\r\n");
    }
}

/// Tells of bad input or of what is missing around us, with what to do.
pub(super) fn complain(what: &str, hint: &str) -> Exit {
    message(&format!("error: {what}"));
    if !hint.is_empty() {
        message(&format!("hint: {hint}"));
    }
    Exit::Usage
}

/// Writes both streams, messages first: the terminal then ends with the data.
pub(super) fn streams(streams: &Streams) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(harmless::painted(&streams.err).as_bytes());
    data(&streams.out);
}

/// The reporters for a plan or an apply.
pub(super) fn reporter(display: &Display, mode: Mode) -> Box<dyn Reporter> {
    if display.format == Format::Json {
        return Box::new(Json::new(Box::new(std::io::stdout())));
    }
    let plan = PlanText::new(Box::new(std::io::stdout()), display.out, display.plan_detail());
    // The progress comes first: it takes its moving lines away before the plan is written.
    Box::new(All(vec![progress_of(display, mode), Box::new(plan)]))
}

/// The reporter for what shows its results itself.
pub(super) fn progress(display: &Display) -> Box<dyn Reporter> {
    if display.format == Format::Json {
        return Box::new(Json::new(Box::new(std::io::stdout())));
    }
    progress_of(display, Mode::Plan)
}

fn progress_of(display: &Display, mode: Mode) -> Box<dyn Reporter> {
    let detail = if mode == Mode::Plan { display.plan_detail() } else { display.apply_detail() };
    // Whoever is asked at the terminal has not read a plan that went to a file.
    let elsewhere = display.err.width.is_some() && display.out.width.is_none();
    if display.format == Format::Bars {
        let out = display.out.width.is_none().then(|| Sink::stdout(display.out));
        let bars = Bars::stderr(display.err, out, detail);
        Box::new(if elsewhere { bars.plan_is_elsewhere() } else { bars })
    } else {
        let plain = Plain::new(Sink::stdout(display.out), Sink::stderr(display.err), detail);
        Box::new(if elsewhere { plain.plan_is_elsewhere() } else { plain })
    }
}

/// Tells of mistakes in the user's files.
pub(super) fn diagnostics(diagnostics: &[Diagnostic], look: Look) {
    let style = Style { colour: look.color, width: look.width.unwrap_or(Style::default().width) };
    let text = diagnostic::render(diagnostics, style);
    if !text.is_empty() {
        message(text.trim_end());
    }
}
