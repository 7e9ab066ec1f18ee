//! Reads the answers to one frame from what a host sends, which may be anything. Pure.
//!
//! Nothing that a host sends is kept without a bound: not what comes before the first mark, not what a part prints,
//! not a mark without an end, and nothing behind the end of the frame.

use super::frames::{MARK, Nonce};
use super::{Keep, Output, Part};
use crate::probe::Answer;

/// More than this before the first mark is not a banner but a login shell that runs wild.
pub(super) const NOISE_LIMIT: usize = 256 << 10;

/// What all parts of a frame may leave on standard output, unless a single one may leave more.
const FRAME_LIMIT: usize = 32 << 20;

/// What one part leaves on standard error: messages, of which the last ones count.
const STDERR_LIMIT: usize = 256 << 10;

/// What all parts of a frame may leave on standard error.
const FRAME_STDERR_LIMIT: usize = 8 << 20;

/// A mark is followed by two short words.
const MARK_LIMIT: usize = 64;

/// What `timeout` returns when the bound was reached: 124, or 137 when it had to kill (timeout(1)).
const TIMED_OUT: [i32; 2] = [124, 137];

/// Reads the answers to one frame from both streams.
pub(super) struct Decoder {
    mark: Vec<u8>,
    parts: Vec<Expected>,
    stdout: Stream,
    stderr: Stream,
}

/// A part whose answer is to come.
struct Expected {
    /// Its lines are passed on.
    stream: bool,
    /// What is kept of its standard output.
    keep: Keep,
    /// It stops the frame when it fails.
    stops: bool,
}

/// One of the two streams.
#[derive(Default)]
struct Stream {
    stderr: bool,
    /// What has come and is not yet assigned.
    buffer: Vec<u8>,
    /// What the part printed before that, and is not kept.
    dropped: u64,
    /// Where in `buffer` to look for the next mark.
    scanned: usize,
    /// Where in `buffer` the next line to pass on starts.
    passed: usize,
    noise: Option<Vec<u8>>,
    /// What the parts printed, and their codes.
    done: Vec<(Vec<u8>, i32)>,
    /// The length of all that is in `done`.
    kept: usize,
    /// What the bounded part printed that did not set its own mark, and the code with which it ended.
    cut: Option<(Vec<u8>, i32)>,
    end: Option<i32>,
}

/// What came out of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All parts, or all up to one that failed and stops.
    Answered(Vec<Answer>),
    /// A bound was reached in this part.
    TimedOut { part: usize, answers: Vec<Answer> },
    /// The shell of the frame ended by itself in this part, with this code and error output.
    Ended { part: usize, code: i32, stderr: Vec<u8> },
}

/// The host does not keep to the form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Garbled {
    #[error("the login shell prints without end")]
    Noise,
    /// So many bytes are the bound of what was asked.
    #[error("the host sent more than {}, which is the bound of an answer", size(*.0))]
    TooMuch(usize),
    #[error("the shell on the host answered out of order")]
    Order,
}

fn size(bytes: usize) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

/// Gets the complete lines, and which part begins.
pub(super) type OnOutput<'a> = dyn FnMut(Output<'_>) + Send + 'a;

impl Decoder {
    pub(super) fn new(nonce: &Nonce, parts: &[Part]) -> Self {
        let mark = [&[MARK], nonce.mark.as_bytes()].concat();
        let expected =
            |part: &Part| Expected { stream: part.stream, keep: part.keep, stops: part.stop_on_failure };
        let stderr = Stream { stderr: true, ..Stream::default() };
        Self { mark, parts: parts.iter().map(expected).collect(), stdout: Stream::default(), stderr }
    }

    /// Takes bytes of standard output, or of standard error.
    pub(super) fn feed(
        &mut self,
        stderr: bool,
        bytes: &[u8],
        output: &mut OnOutput<'_>,
    ) -> Result<(), Garbled> {
        let stream = if stderr { &mut self.stderr } else { &mut self.stdout };
        stream.feed(bytes, &self.mark, &self.parts, output)
    }

    /// Whether the frame is over on both streams.
    pub(super) fn is_complete(&self) -> bool {
        self.stdout.end.is_some() && self.stderr.end.is_some()
    }

    /// Whether the first mark was seen, so that the shell is known to work.
    pub(super) fn has_begun(&self) -> bool {
        self.stdout.noise.is_some()
    }

    /// What was printed on standard output before the first mark, or all there is if none came.
    pub(super) fn noise(&self, stderr: bool) -> &[u8] {
        let stream = if stderr { &self.stderr } else { &self.stdout };
        stream.noise.as_deref().unwrap_or(&stream.buffer)
    }

    /// The part that is running: the first one that has not been answered.
    pub(super) fn running(&self) -> usize {
        self.stdout.done.len()
    }

    /// The part that is running or was last, and the answers before it.
    pub(super) fn so_far(&mut self) -> (usize, Vec<Answer>) {
        let count = self.stdout.done.len().min(self.stderr.done.len());
        (count, self.take(count))
    }

    fn take(&mut self, count: usize) -> Vec<Answer> {
        let stdout = std::mem::take(&mut self.stdout.done).into_iter();
        let stderr = std::mem::take(&mut self.stderr.done).into_iter();
        stdout
            .zip(stderr)
            .take(count)
            .map(|((o, code), (e, _))| Answer { code, stdout: o, stderr: e })
            .collect()
    }

    /// What it came to, once [`Self::is_complete`].
    pub(super) fn finish(mut self) -> Outcome {
        let (count, mut answers) = self.so_far();
        let stopped = count > 0 && self.parts[count - 1].stops && answers[count - 1].code != 0;
        if count == self.parts.len() || (stopped && self.stdout.cut.is_none()) {
            return Outcome::Answered(answers);
        }
        let cut = self.stdout.cut.as_ref().map(|(_, code)| *code);
        let code = cut.or(self.stdout.end).unwrap_or_default();
        if TIMED_OUT.contains(&code) {
            return Outcome::TimedOut { part: count, answers };
        }
        let [stdout, stderr] = [&mut self.stdout, &mut self.stderr]
            .map(|s| s.cut.take().map_or_else(|| std::mem::take(&mut s.buffer), |(printed, _)| printed));
        if count + 1 == self.parts.len() && self.stdout.noise.is_some() {
            // The last part took its shell with it (`kill $$`): it is its own answer.
            answers.push(Answer { code, stdout, stderr });
            return Outcome::Answered(answers);
        }
        Outcome::Ended { part: count, code, stderr }
    }
}

impl Stream {
    fn feed(
        &mut self,
        bytes: &[u8],
        mark: &[u8],
        parts: &[Expected],
        output: &mut OnOutput<'_>,
    ) -> Result<(), Garbled> {
        if self.end.is_some() {
            // Nobody asked for what comes now.
            return Ok(());
        }
        self.buffer.extend_from_slice(bytes);
        while self.end.is_none() {
            let Some((at, after)) = self.next_mark(mark)? else { break };
            let words = String::from_utf8_lossy(&self.buffer[at + mark.len()..after]).trim().to_owned();
            self.pass(at, true, parts, output);
            let before = self.done.len();
            self.take_mark(at, after, &words, parts)?;
            let part = self.done.len();
            let goes_on = |code: i32| code == 0 || !parts[before].stops;
            if !self.stderr && before < part && part < parts.len() && goes_on(self.done[before].1) {
                output(Output::Began { part });
            }
        }
        if self.end.is_none() {
            self.pass(self.scanned, false, parts, output);
            self.bound(parts)?;
        }
        Ok(())
    }

    /// What may be kept of what is being printed now.
    fn keep(&self, parts: &[Expected]) -> Keep {
        match parts.get(self.done.len()) {
            Some(part) if !self.stderr && self.noise.is_some() && self.cut.is_none() => part.keep,
            _ => Keep::End(STDERR_LIMIT),
        }
    }

    /// Lets go of what is beyond the bound, or refuses it.
    fn bound(&mut self, parts: &[Expected]) -> Result<(), Garbled> {
        if self.noise.is_none() {
            return if self.buffer.len() > NOISE_LIMIT { Err(Garbled::Noise) } else { Ok(()) };
        }
        match self.keep(parts) {
            Keep::All(limit) if self.buffer.len() > limit => return Err(Garbled::TooMuch(limit)),
            // Not with every read: moving what is kept costs as much as it is long. What may be half a mark is no
            // output, so a little more stays.
            Keep::End(limit) if self.buffer.len() > limit * 2 + CHUNK => {
                let over = self.scanned.min(self.buffer.len() - limit - CHUNK);
                self.buffer.drain(..over);
                self.dropped += over as u64;
                self.scanned -= over;
                self.passed = self.passed.saturating_sub(over);
            }
            _ => {}
        }
        let single = parts.iter().map(|part| part.keep.limit()).max().unwrap_or_default();
        let limit = if self.stderr { FRAME_STDERR_LIMIT } else { FRAME_LIMIT.max(single) };
        if self.kept + self.buffer.len() > limit { Err(Garbled::TooMuch(limit)) } else { Ok(()) }
    }

    /// Start and end of the next mark with its line break. Leaves `scanned` where one may still begin.
    fn next_mark(&mut self, mark: &[u8]) -> Result<Option<(usize, usize)>, Garbled> {
        loop {
            let Some(found) = self.buffer[self.scanned..].iter().position(|&b| b == MARK) else {
                self.scanned = self.buffer.len();
                return Ok(None);
            };
            self.scanned += found;
            let rest = &self.buffer[self.scanned..];
            let same = rest.len().min(mark.len());
            if rest[..same] == mark[..same] {
                let most = rest.len().min(mark.len() + MARK_LIMIT);
                return match rest[..most].iter().position(|&b| b == b'\n') {
                    Some(end) => Ok(Some((self.scanned, self.scanned + end + 1))),
                    None if most < rest.len() => Err(Garbled::Order),
                    None => Ok(None),
                };
            }
            self.scanned += 1;
        }
    }

    fn take_mark(&mut self, at: usize, after: usize, words: &str, parts: &[Expected]) -> Result<(), Garbled> {
        let (what, code) = words.split_once(' ').ok_or(Garbled::Order)?;
        let code: i32 = code.parse().map_err(|_| Garbled::Order)?;
        let printed = self.printed(at, parts)?;
        self.buffer.drain(..after);
        // A thousand small answers, or an idle host, must not keep a large buffer.
        self.buffer.shrink_to(CHUNK);
        self.scanned = 0;
        self.passed = 0;
        self.dropped = 0;
        let number = self.done.len();
        if what == "end" {
            self.end = Some(code);
            // What the unfinished part printed.
            self.buffer = printed;
        } else if what == "b" && self.noise.is_none() {
            self.noise = Some(printed);
        } else if self.noise.is_none() || self.cut.is_some() || number >= parts.len() {
            return Err(Garbled::Order);
        } else if what.strip_prefix('x').is_some_and(|part| part.parse() == Ok(number)) {
            self.cut = Some((printed, code));
        } else if what.parse() == Ok(number) {
            self.kept += printed.len();
            self.done.push((printed, code));
        } else {
            return Err(Garbled::Order);
        }
        Ok(())
    }

    /// What the part that is over has printed, as far as it is kept.
    fn printed(&self, at: usize, parts: &[Expected]) -> Result<Vec<u8>, Garbled> {
        let printed = &self.buffer[..at];
        if self.noise.is_none() {
            return if at > NOISE_LIMIT { Err(Garbled::Noise) } else { Ok(printed.to_vec()) };
        }
        match self.keep(parts) {
            Keep::All(limit) if at > limit => Err(Garbled::TooMuch(limit)),
            Keep::End(limit) if self.dropped > 0 || at > limit => {
                let end = &printed[at.saturating_sub(limit)..];
                // Whole lines, if there are any.
                let from = end.iter().position(|&b| b == b'\n').map_or(0, |n| n + 1);
                let end = if from < end.len() { &end[from..] } else { end };
                let left_out = self.dropped + (at - end.len()) as u64;
                let note = format!("... ({left_out} bytes before this were not kept)\n");
                Ok([note.as_bytes(), end].concat())
            }
            _ => Ok(printed.to_vec()),
        }
    }

    /// Passes on the lines in `buffer[..until]`; with `all`, what is left without a line break too.
    fn pass(&mut self, until: usize, all: bool, parts: &[Expected], output: &mut OnOutput<'_>) {
        if self.noise.is_none() || self.end.is_some() || self.cut.is_some() {
            return;
        }
        let part = self.done.len();
        if !parts.get(part).is_some_and(|part| part.stream) {
            return;
        }
        while self.passed < until {
            let rest = &self.buffer[self.passed..until];
            // A longer line is passed on in pieces.
            let (length, skip) = match rest.iter().take(CHUNK).position(|&b| b == b'\n') {
                Some(end) => (end, 1),
                None if rest.len() > CHUNK => (CHUNK, 0),
                None if all => (rest.len(), 0),
                None => break,
            };
            let text = String::from_utf8_lossy(&rest[..length]);
            let line = text.strip_suffix('\r').unwrap_or(&text);
            output(Output::Line { part, stderr: self.stderr, line });
            self.passed += length + skip;
        }
    }
}

/// The longest piece of a line, and the size of a buffer that is kept.
const CHUNK: usize = 64 << 10;
