//! One long-lived shell on a host: opens it, sends frames and reads their answers.
//!
//! What carries the bytes is not known here; see [`Pipes`].

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::decoder::{Decoder, Garbled, NOISE_LIMIT, Outcome};
use super::frames::{self, Nonce, Piece};
use super::{BoxFuture, Frame, Output, TransportError, sudo};
use crate::model::{Privilege, Secret};
use crate::probe::Answer;
use crate::shell::Script;

/// Standard input, output and error of a shell that has just been started, and what keeps it.
pub(super) struct Pipes {
    pub(super) stdin: Box<dyn AsyncWrite + Send + Unpin>,
    pub(super) stdout: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) stderr: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) process: Box<dyn Process>,
}

/// The other end of the pipes.
pub(super) trait Process: Send {
    /// Tells why it ended, after the pipes were closed from there. Must not take long.
    fn ended(self: Box<Self>) -> BoxFuture<'static, End>;
}

/// Why a shell is gone.
pub(super) enum End {
    /// With the connection.
    Lost(TransportError),
    /// By itself; the code if it is known.
    Exited(Option<i32>),
}

/// How long the controller waits after the host's own bound: 5 s until `timeout` kills, and the way back.
const GRACE: Duration = Duration::from_secs(10);

/// What a part has beyond its bound where the controller keeps it: the way of its marks.
const WAY: Duration = Duration::from_secs(1);

/// As much as one write of a pipe takes on Linux.
const CHUNK: usize = 64 << 10;

/// A running shell.
pub(super) struct Channel {
    pipes: Pipes,
    run_id: String,
    greeting: String,
    user: Option<String>,
    password: bool,
    /// Who logged in, once the shell has said so: before, nobody knows whether there is one.
    login_user: Option<String>,
    /// How long a shell may take to come up, and until when it has to.
    start: Duration,
    up_by: Instant,
}

/// Returns random text; a reader of the process list must not be able to guess it.
pub(super) fn nonce() -> Result<Nonce, TransportError> {
    let mut bytes = [0; 24];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
        .map_err(|error| shell_error(format!("cannot read /dev/urandom: {error}"), None))?;
    Ok(Nonce::new(bytes))
}

/// The texts that a new shell is known by.
pub(super) struct Opening {
    greeting: String,
    prompt: Option<String>,
    user: Option<String>,
}

impl Opening {
    /// For a shell with these rights. `password`: one is known.
    pub(super) fn new(privilege: &Privilege, password: bool) -> Result<Self, TransportError> {
        let user = match privilege {
            Privilege::Login => None,
            Privilege::Become(user) if frames::is_user_name(user) => Some(user.to_string()),
            Privilege::Become(user) => {
                return Err(TransportError::Privilege {
                    message: format!("cannot become {user:?}: that is no user name"),
                    hint: Some("check `become` of the playbook or step".into()),
                    stays: true,
                });
            }
        };
        let prompt = if password && user.is_some() { Some(nonce()?.token().to_owned()) } else { None };
        Ok(Self { greeting: nonce()?.token().to_owned(), prompt, user })
    }

    /// The arguments of `/bin/sh`.
    pub(super) fn arguments(&self) -> Vec<String> {
        frames::arguments(self.user.as_deref(), &self.greeting, self.prompt.as_deref())
    }
}

impl Channel {
    /// Takes over a shell that was started with the arguments of `opening`, and gives `sudo` the password if it
    /// asks for it. Without a password there is nothing to wait for: the first frame can go out at once.
    pub(super) async fn open(
        pipes: Pipes,
        opening: Opening,
        password: Option<&Secret>,
        run_id: &str,
        start: Duration,
    ) -> Result<Self, TransportError> {
        let mut channel = Self {
            pipes,
            run_id: run_id.to_owned(),
            greeting: opening.greeting,
            user: opening.user,
            password: password.is_some(),
            login_user: None,
            start,
            up_by: Instant::now() + start,
        };
        if let (Some(prompt), Some(password)) = (&opening.prompt, password) {
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let up_by = channel.up_by;
            let answered = channel.answer_prompt(prompt, password, &mut stdout, &mut stderr);
            match timeout_at(up_by, answered).await {
                Ok(answered) => answered?,
                Err(_) => return Err(channel.silent(&stdout, &stderr)),
            }
        }
        Ok(channel)
    }

    /// Who logged in, whatever rights this shell has.
    pub(super) fn login_user(&self) -> Option<&str> {
        self.login_user.as_deref()
    }

    /// Waits for the greeting or the prompt, whichever comes first.
    async fn answer_prompt(
        &mut self,
        prompt: &str,
        password: &Secret,
        stdout: &mut Vec<u8>,
        stderr: &mut Vec<u8>,
    ) -> Result<(), TransportError> {
        let mut open = (true, true);
        let mut given = false;
        let prompted = |stderr: &[u8]| String::from_utf8_lossy(stderr).matches(prompt).count();
        loop {
            if let Some(user) = frames::greeted(stdout, &self.greeting) {
                self.login_user = Some(user);
                return Ok(());
            }
            match (prompted(stderr), given) {
                (0, _) | (1, true) => {}
                (1, false) => {
                    let line = zeroize::Zeroizing::new(format!("{}\n", password.expose()));
                    // When it has gone meanwhile, that shows when we read on.
                    let _ = self.pipes.stdin.write_all(line.as_bytes()).await;
                    let _ = self.pipes.stdin.flush().await;
                    given = true;
                }
                // Each wrong try may count towards locking the account: one is enough.
                _ => return Err(sudo::wrong_password(self.user.as_deref().unwrap_or_default())),
            }
            if stdout.len().max(stderr.len()) > NOISE_LIMIT {
                return Err(garbled(&Garbled::Noise));
            }
            if open == (false, false) {
                return Err(self.not_started(stdout, stderr).await);
            }
            tokio::select! {
                read = read(&mut self.pipes.stdout, stdout), if open.0 => open.0 = read,
                read = read(&mut self.pipes.stderr, stderr), if open.1 => open.1 = read,
            }
        }
    }

    /// Sends `frame` and reads the answers. After an error the shell must not be used again.
    pub(super) async fn exchange(
        &mut self,
        frame: &Frame,
        output: &mut (dyn FnMut(Output<'_>) + Send),
    ) -> Result<Vec<Answer>, TransportError> {
        let nonce = nonce()?;
        let pieces = frames::encode(frame, &nonce, &self.run_id);
        let mut decoder = Decoder::new(&nonce, &frame.parts);
        match self.talk(&pieces, &mut decoder, frame, output).await {
            Err(Stopped::PartTimedOut { part, after }) => {
                let (_, answers) = decoder.so_far();
                self.stop().await;
                Err(TransportError::TimedOut { after, part: Some(part), answers })
            }
            Err(Stopped::Silent) => Err(self.silent(decoder.noise(false), decoder.noise(true))),
            Err(Stopped::TimedOut) if decoder.has_begun() => {
                let (part, answers) = decoder.so_far();
                Err(TransportError::TimedOut { after: frame.timeout, part: Some(part), answers })
            }
            Err(Stopped::TimedOut) => Err(shell_error(
                format!(
                    "the shell on the host did not begin with a script within {} s",
                    frame.timeout.as_secs()
                ),
                Some(
                    "something on the host blocks: look for processes in state D and for dead network mounts",
                ),
            )),
            Err(Stopped::Garbled(Garbled::TooMuch(limit))) if decoder.has_begun() => {
                let message = Garbled::TooMuch(limit).to_string();
                let (part, answers) = decoder.so_far();
                Err(TransportError::TooMuch { message, part, answers })
            }
            Err(Stopped::Garbled(garbled)) => Err(self::garbled(&garbled)),
            Ok(()) if decoder.is_complete() => Self::outcome(decoder.finish(), frame),
            Ok(()) if decoder.has_begun() => Err(self.broke_off().await),
            Ok(()) => Err(self.not_started(decoder.noise(false), decoder.noise(true)).await),
        }
    }

    fn outcome(outcome: Outcome, frame: &Frame) -> Result<Vec<Answer>, TransportError> {
        match outcome {
            Outcome::Answered(answers) => Ok(answers),
            Outcome::TimedOut { part, answers } => {
                let bound = frame.parts.get(part).and_then(|p| p.timeout).unwrap_or(frame.timeout);
                let after = bound.min(frame.timeout);
                Err(TransportError::TimedOut { after, part: Some(part), answers })
            }
            Outcome::Ended { code: 126 | 127, stderr, .. } if !stderr.is_empty() => Err(shell_error(
                format!("the host's shell cannot run scripts: {}", shortened(&stderr)),
                Some("the host needs /bin/sh and coreutils (timeout, head)"),
            )),
            Outcome::Ended { part, code, .. } => {
                Err(shell_error(format!("script {} ended the shell it ran in (code {code})", part + 1), None))
            }
        }
    }

    /// Writes and reads at the same time: the host may answer before it has read all, and pipes are short.
    /// Returns when the frame is over or both streams have ended.
    ///
    /// A shell that was never heard of has to come up first; only then the frame's own bound begins.
    async fn talk(
        &mut self,
        pieces: &[Piece],
        decoder: &mut Decoder,
        frame: &Frame,
        output: &mut (dyn FnMut(Output<'_>) + Send),
    ) -> Result<(), Stopped> {
        let bound = frame.timeout;
        let Pipes { stdin, stdout, stderr, .. } = &mut self.pipes;
        let write = async {
            for piece in pieces {
                stdin.write_all(piece.bytes()).await?;
            }
            stdin.flush().await
        };
        tokio::pin!(write);
        let mut up = self.login_user.is_some();
        let deadline = sleep_until(if up { Instant::now() + bound + GRACE } else { self.up_by });
        tokio::pin!(deadline);
        // How much was looked through for the greeting.
        let mut heard = 0;
        let mut running = Running::default();
        let (mut writing, mut open) = (true, (true, true));
        let (mut from_stdout, mut from_stderr) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
        while !decoder.is_complete() && open != (false, false) {
            tokio::select! {
                // A failed write shows in what is read: the reason comes there.
                _ = &mut write, if writing => writing = false,
                read = read(stdout, &mut from_stdout), if open.0 => {
                    open.0 = read;
                    decoder.feed(false, &from_stdout, output)?;
                    from_stdout.clear();
                    if !up {
                        let noise = decoder.noise(false);
                        self.login_user = frames::greeted(&noise[heard..], &self.greeting);
                        // A user's name is not that long.
                        heard = noise.len().saturating_sub(1024).max(heard);
                        up = self.login_user.is_some() || decoder.has_begun();
                        if up {
                            deadline.as_mut().reset(Instant::now() + bound + GRACE);
                        }
                    }
                }
                read = read(stderr, &mut from_stderr), if open.1 => {
                    open.1 = read;
                    decoder.feed(true, &from_stderr, output)?;
                    from_stderr.clear();
                }
                () = &mut deadline => return Err(if up { Stopped::TimedOut } else { Stopped::Silent }),
                () = sleep_until(running.until.unwrap_or_else(Instant::now)), if running.until.is_some() => {
                    return Err(Stopped::PartTimedOut { part: running.part, after: running.bound });
                }
            }
            running.see(decoder, frame);
        }
        Ok(())
    }

    /// Lets the host stop what runs there, and waits until it has: 5 s later `timeout` kills it. The shell must not be
    /// used again.
    async fn stop(&mut self) {
        self.pipes.stdin = Box::new(tokio::io::sink());
        let Pipes { stdout, stderr, .. } = &mut self.pipes;
        let ended = async {
            let mut open = (true, true);
            let (mut from_stdout, mut from_stderr) = (Vec::new(), Vec::new());
            while open != (false, false) {
                tokio::select! {
                    more = read(stdout, &mut from_stdout), if open.0 => open.0 = more,
                    more = read(stderr, &mut from_stderr), if open.1 => open.1 = more,
                }
                from_stdout.clear();
                from_stderr.clear();
            }
        };
        // A host that does not stop it keeps its own bounds.
        let _ = tokio::time::timeout(GRACE, ended).await;
    }

    /// No shell came up in time. A host that lets nobody in far enough to run a command is not there.
    fn silent(&self, stdout: &[u8], stderr: &[u8]) -> TransportError {
        let said = [shortened(stderr), shortened(stdout)].join(" ").trim().to_owned();
        let said = if said.is_empty() { String::new() } else { format!("; it said: {said}") };
        let (what, hint) = match &self.user {
            None => (
                "the login shell",
                "look at the start files of the login shell; --connect-timeout waits longer",
            ),
            Some(_) => (
                "the login shell, or sudo in it,",
                "look at the start files of the login shell, and whether sudo waits for a directory service; \
                 --connect-timeout waits longer",
            ),
        };
        let message =
            format!("the host lets us in, but {what} did not come up within {}{said}", seconds(self.start));
        TransportError::Unreachable { message, hint: Some(hint.to_owned()), lost: false }
    }

    /// Both streams ended within a frame.
    async fn broke_off(&mut self) -> TransportError {
        match self.process().ended().await {
            End::Lost(error) => error,
            End::Exited(code) => {
                let code = code.map(|code| format!(" (code {code})")).unwrap_or_default();
                shell_error(
                    format!("the shell on the host ended while it was in use{code}"),
                    Some(
                        "something on the host stopped it: see its log (out of memory, reboot, killed sessions)",
                    ),
                )
            }
        }
    }

    /// Both streams ended before the shell came up.
    async fn not_started(&mut self, stdout: &[u8], stderr: &[u8]) -> TransportError {
        let error_text = String::from_utf8_lossy(stderr);
        if let Some(user) = &self.user
            && let Some(error) = sudo::refusal(&error_text, user, &self.greeting, self.password)
        {
            return error;
        }
        let code = match self.process().ended().await {
            End::Lost(error) => return error,
            End::Exited(code) => code,
        };
        let said = [shortened(stderr), shortened(stdout)].join(" ").trim().to_owned();
        if ["password has expired", "required to change your password", "Password change required"]
            .iter()
            .any(|needle| said.contains(needle))
        {
            return shell_error(
                format!("no shell came up on the host: the login user's password has expired: {said}"),
                Some(
                    "log in once with `ssh` and set a new one, or let it not expire: `chage -M -1 USER` as root",
                ),
            );
        }
        let said = match (said.is_empty(), code) {
            (false, _) => format!("it said: {said}"),
            (true, Some(code)) => format!("it ended with code {code} and said nothing"),
            (true, None) => "it said nothing".into(),
        };
        shell_error(
            format!("no shell came up on the host: {said}"),
            Some(
                "the login user needs a login shell that runs commands (not nologin, git-shell or a menu), and /bin/sh",
            ),
        )
    }

    fn process(&mut self) -> Box<dyn Process> {
        std::mem::replace(&mut self.pipes.process, Box::new(Gone))
    }

    /// Closes standard input, upon which the shell ends, and waits a little for that. `last` is what it does before.
    /// Returns whether it came to that.
    pub(super) async fn close(self, last: Option<&Script>) -> bool {
        let Pipes { mut stdin, stdout, stderr, process } = self.pipes;
        if let (Some(script), Ok(nonce)) = (last, nonce()) {
            // When the connection has gone, nobody is there to do it.
            let _ = stdin.write_all(&frames::farewell(script, &nonce)).await;
            let _ = stdin.flush().await;
        }
        drop(stdin);
        let ended = tokio::time::timeout(Duration::from_secs(2), process.ended()).await;
        drop((stdout, stderr));
        matches!(ended, Ok(End::Exited(Some(0))))
    }
}

/// The part that is running now, and until when it may.
#[derive(Default)]
struct Running {
    part: usize,
    bound: Duration,
    until: Option<Instant>,
    begun: bool,
}

impl Running {
    /// Looks which part it is by now. What keeps to its bound on the host has time until that has come back.
    fn see(&mut self, decoder: &Decoder, frame: &Frame) {
        let part = decoder.running();
        if (self.begun && part == self.part) || !decoder.has_begun() {
            return;
        }
        let bound = frame.parts.get(part).and_then(|part| part.timeout).filter(|b| *b < frame.timeout);
        let grace = if frames::is_stoppable(frame, part) { WAY } else { GRACE };
        let until = bound.map(|bound| Instant::now() + bound + grace);
        *self = Self { part, bound: bound.unwrap_or_default(), until, begun: true };
    }
}

/// Why talking ended before the frame was over.
enum Stopped {
    /// No shell came up.
    Silent,
    /// The frame's bound was reached.
    TimedOut,
    /// The bound of this part.
    PartTimedOut {
        part: usize,
        after: Duration,
    },
    Garbled(Garbled),
}

impl From<Garbled> for Stopped {
    fn from(garbled: Garbled) -> Self {
        Self::Garbled(garbled)
    }
}

/// In place of a process that has been asked already.
struct Gone;

impl Process for Gone {
    fn ended(self: Box<Self>) -> BoxFuture<'static, End> {
        Box::pin(std::future::ready(End::Exited(None)))
    }
}

/// Appends what has come to `buffer`; returns whether there can be more.
async fn read(from: &mut (dyn AsyncRead + Send + Unpin), buffer: &mut Vec<u8>) -> bool {
    buffer.reserve(CHUNK);
    // An error of a pipe is its end, to us.
    matches!(from.read_buf(buffer).await, Ok(length) if length > 0)
}

pub(super) fn shell_error(message: String, hint: Option<&str>) -> TransportError {
    TransportError::Shell { message, hint: hint.map(str::to_owned) }
}

fn garbled(error: &Garbled) -> TransportError {
    let hint = match error {
        Garbled::Noise => "look at the start files of the login shell (.bashrc, config.fish)",
        Garbled::TooMuch(_) => "let the script print less, or write to a file",
        Garbled::Order => "please report this with the output of `sh` and `head --version` on the host",
    };
    shell_error(error.to_string(), Some(hint))
}

/// `10 s`, `0.5 s`.
pub(super) fn seconds(bound: Duration) -> String {
    format!("{} s", bound.as_secs_f64())
}

/// The end of what was printed, on one line.
fn shortened(text: &[u8]) -> String {
    const LONGEST: usize = 400;
    let text = String::from_utf8_lossy(text);
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let words: Vec<String> = text.split_whitespace().map(|word| word.chars().map(clean).collect()).collect();
    let line = words.join(" ");
    let skip = line.chars().count().saturating_sub(LONGEST);
    if skip == 0 { line } else { format!("… {}", line.chars().skip(skip).collect::<String>()) }
}
