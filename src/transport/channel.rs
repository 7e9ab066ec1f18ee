//! One long-lived shell on a host: opens it, sends frames and reads their answers.
//!
//! What carries the bytes is not known here; see [`Pipes`].

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::frames::{self, Decoder, Garbled, Nonce, Outcome, Piece};
use super::{BoxFuture, Frame, Output, TransportError, sudo};
use crate::model::{Privilege, Secret};
use crate::probe::Answer;

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

/// How long a login shell may take to start.
const START: Duration = Duration::from_secs(30);

/// As much as one write of a pipe takes on Linux.
const CHUNK: usize = 64 << 10;

/// A running shell.
pub(super) struct Channel {
    pipes: Pipes,
    run_id: String,
    greeting: String,
    user: Option<String>,
    password: bool,
    /// Who logged in, once the shell has said so.
    login_user: Option<String>,
    fresh: bool,
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
    ) -> Result<Self, TransportError> {
        let mut channel = Self {
            pipes,
            run_id: run_id.to_owned(),
            greeting: opening.greeting,
            user: opening.user,
            password: password.is_some(),
            login_user: None,
            fresh: true,
        };
        if let (Some(prompt), Some(password)) = (&opening.prompt, password) {
            let deadline = Instant::now() + START;
            let asked = timeout_at(deadline, channel.answer_prompt(prompt, password)).await;
            asked.map_err(|_| {
                shell_error(
                    format!("no shell came up within {} s", START.as_secs()),
                    Some("look at the start files of the login shell and at sudo's prompt on the host"),
                )
            })??;
        }
        Ok(channel)
    }

    /// Who logged in, whatever rights this shell has.
    pub(super) fn login_user(&self) -> Option<&str> {
        self.login_user.as_deref()
    }

    /// Waits for the greeting or the prompt, whichever comes first.
    async fn answer_prompt(&mut self, prompt: &str, password: &Secret) -> Result<(), TransportError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut open = (true, true);
        let mut given = false;
        let prompted = |stderr: &[u8]| String::from_utf8_lossy(stderr).matches(prompt).count();
        loop {
            if let Some(user) = frames::greeted(&stdout, &self.greeting) {
                self.login_user = Some(user);
                return Ok(());
            }
            match (prompted(&stderr), given) {
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
            if stdout.len().max(stderr.len()) > frames::NOISE_LIMIT {
                return Err(garbled(&Garbled::Noise));
            }
            if open == (false, false) {
                return Err(self.not_started(&stdout, &stderr).await);
            }
            tokio::select! {
                read = read(&mut self.pipes.stdout, &mut stdout), if open.0 => open.0 = read,
                read = read(&mut self.pipes.stderr, &mut stderr), if open.1 => open.1 = read,
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
        let start = if std::mem::take(&mut self.fresh) { START } else { Duration::ZERO };
        let deadline = Instant::now() + frame.timeout + GRACE + start;
        let done = timeout_at(deadline, self.talk(&pieces, &mut decoder, output)).await;
        match done {
            Err(_) if decoder.has_begun() => {
                let (part, answers) = decoder.so_far();
                Err(TransportError::TimedOut { after: frame.timeout, part: Some(part), answers })
            }
            Err(_) => Err(TransportError::TimedOut { after: frame.timeout, part: None, answers: Vec::new() }),
            Ok(Err(garbled)) => Err(self::garbled(&garbled)),
            Ok(Ok(())) if decoder.is_complete() => {
                if self.login_user.is_none() {
                    self.login_user = frames::greeted(decoder.noise(false), &self.greeting);
                }
                Self::outcome(decoder.finish(), frame)
            }
            Ok(Ok(())) if decoder.has_begun() => Err(self.broke_off().await),
            Ok(Ok(())) => Err(self.not_started(decoder.noise(false), decoder.noise(true)).await),
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
    async fn talk(
        &mut self,
        pieces: &[Piece],
        decoder: &mut Decoder,
        output: &mut (dyn FnMut(Output<'_>) + Send),
    ) -> Result<(), Garbled> {
        let Pipes { stdin, stdout, stderr, .. } = &mut self.pipes;
        let write = async {
            for piece in pieces {
                stdin.write_all(piece.bytes()).await?;
            }
            stdin.flush().await
        };
        tokio::pin!(write);
        let (mut writing, mut open) = (true, (true, true));
        let (mut from_stdout, mut from_stderr) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
        while !decoder.is_complete() && open != (false, false) {
            tokio::select! {
                // A failed write shows in what is read: the reason comes there.
                _ = &mut write, if writing => writing = false,
                read = read(stdout, &mut from_stdout), if open.0 => {
                    open.0 = read;
                    decoder.feed(false, &from_stdout, &mut |part, line| output(Output { part, stderr: false, line }))?;
                    from_stdout.clear();
                }
                read = read(stderr, &mut from_stderr), if open.1 => {
                    open.1 = read;
                    decoder.feed(true, &from_stderr, &mut |part, line| output(Output { part, stderr: true, line }))?;
                    from_stderr.clear();
                }
            }
        }
        Ok(())
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

    /// Closes standard input, upon which the shell ends, and waits a little for that.
    pub(super) async fn close(self) {
        let Pipes { stdin, stdout, stderr, process } = self.pipes;
        drop(stdin);
        let _ = tokio::time::timeout(Duration::from_secs(2), process.ended()).await;
        drop((stdout, stderr));
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
        Garbled::TooMuch => "let the script print less, or write to a file",
        Garbled::Order => "please report this with the output of `sh` and `head --version` on the host",
    };
    shell_error(error.to_string(), Some(hint))
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
