//! The wire form of a frame: what is written to the long-lived `sh` of a host, and how its answers are read.
//!
//! Pure: no I/O, no clock. `ssh` and `local` speak the same form.
//!
//! The command of a channel is `/bin/sh -c` with four short programs that never change, each one line without
//! single quotes, exclamation marks and backslashes, so that sh, bash, zsh, csh and fish as login shells all hand
//! them on as they are. [`ENTER`] leaves behind what the login has brought; [`LOGIN`] finds out who is logged in and
//! goes through `sudo` (and [`ENTER`] again) if another user is wanted; [`DRIVER`] stays and starts one [`RUNNER`]
//! under `timeout` for each frame, which takes the frame's script from standard input. Scripts and payloads go there and nowhere else: argument vectors and environments show no secret.
//!
//! Standard output and standard error stay apart and are binary safe: on both, a line with the frame's nonce
//! follows what a part printed. Nothing that runs in a part can print the nonce, for it is never whole in the part's
//! reach.
//!
//! When the controller goes away, standard input ends. A watcher in the frame's process group sees this and ends
//! the group, so that nothing goes on unattended but what is meant to (`detach`). In the same way the controller ends a
//! part at its bound ([`is_stoppable`]): that needs no process, and what bounds the frame is still there if it does not.
//!
//! A payload that was cut off never looks complete to the script that reads it. A small one is text in the script, which
//! is not run unless it is there as a whole. A larger one, or one that is no text, follows the script and then its seal;
//! its end is held back until the group is killed.

use std::fmt::Write as _;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Frame, Part, Runs, lock};
use crate::model::digest::hex;
use crate::probe::{Ahead, Shared};
use crate::program::Text;
use crate::shell::Payload;
use crate::shell::{self, Script, quote};

/// Begins anew with an environment of our own, whatever a login or `sudo` has left: variables, also those that are
/// read-only in the shell that goes (`TMOUT`, which `read` of bash obeys), functions that bash exports, options
/// (`SHELLOPTS`, `POSIXLY_CORRECT`), `LD_PRELOAD`. Until `env` has run, only special builtins are used, which no
/// function can stand in for (POSIX, 2.9.1).
///
/// Kept on purpose: who it is, the proxies by which packages and images are fetched, and what belongs to the session
/// (agent forwarding, tickets, the user's own systemd). `$2` runs then, with all the arguments.
const ENTER: &str = concat!(
    "exec /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C LANG=C SHELL=/bin/sh ",
    r#"${HOME+"HOME=$HOME"} ${USER+"USER=$USER"} ${LOGNAME+"LOGNAME=$LOGNAME"} "#,
    r#"${http_proxy+"http_proxy=$http_proxy"} ${https_proxy+"https_proxy=$https_proxy"} "#,
    r#"${ftp_proxy+"ftp_proxy=$ftp_proxy"} ${all_proxy+"all_proxy=$all_proxy"} ${no_proxy+"no_proxy=$no_proxy"} "#,
    r#"${HTTP_PROXY+"HTTP_PROXY=$HTTP_PROXY"} ${HTTPS_PROXY+"HTTPS_PROXY=$HTTPS_PROXY"} "#,
    r#"${FTP_PROXY+"FTP_PROXY=$FTP_PROXY"} ${ALL_PROXY+"ALL_PROXY=$ALL_PROXY"} ${NO_PROXY+"NO_PROXY=$NO_PROXY"} "#,
    r#"${SSH_AUTH_SOCK+"SSH_AUTH_SOCK=$SSH_AUTH_SOCK"} ${SSH_CONNECTION+"SSH_CONNECTION=$SSH_CONNECTION"} "#,
    r#"${KRB5CCNAME+"KRB5CCNAME=$KRB5CCNAME"} ${XDG_RUNTIME_DIR+"XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR"} "#,
    r#"/bin/sh -c "$2" hostwright "$@""#,
);

/// Arguments: [`ENTER`], this, driver, runner, greeting, user (empty for the one who logged in), prompt (empty: no
/// password known).
///
/// `sudo -p`: the prompt is known only to us, so we send the password when, and only when, it is asked for
/// (sudo(8)). The password is read byte by byte; nothing behind it is lost. What `sudo` adds to the environment is
/// dropped again.
const LOGIN: &str = concat!(
    r#"cd /; u=$(id -un); d=$3; "#,
    r#"if [ -z "$6" ] || [ "$u" = "$6" ]; then set -- "$1" "$3" "$4" "$5" "$u" "$u"; eval "$d"; "#,
    r#"elif [ -z "$(command -v sudo)" ]; then echo "$5 nosudo" >&2; exit 1; "#,
    r#"elif [ -n "$7" ]; then "#,
    r#"exec sudo -H -S -p "$7" -u "$6" /bin/sh -c "$1" hostwright "$1" "$3" "$4" "$5" "$u" "$6"; "#,
    r#"else exec sudo -H -n -u "$6" /bin/sh -c "$1" hostwright "$1" "$3" "$4" "$5" "$u" "$6"; fi"#,
);

/// Arguments: [`ENTER`], this, runner, greeting, login user, own user. `read` takes byte after byte from a pipe, so
/// the runner finds all that follows the line.
///
/// It moves to `/`: the home may be unreadable for the user, or on a dead network file system. Then what an `exec`
/// leaves as it was is put in order: open files, limits as far as one may, the home and the name by the account
/// (`~NAME`, for names of plain characters: what is left of one when those are taken out is empty), and signals that
/// are ignored, which no shell can put right (`trap` of a non-interactive one must not). An `env` of before coreutils
/// 8.31 cannot either; there the kills below are harder ones.
const DRIVER: &str = concat!(
    "cd /; umask 022; exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; { read -r s </proc/self/stat; } 2>/dev/null; ",
    r#"n=0 i=0; for f in ${s##*")"}; do n=$((n + 1)); if [ "$n" = 31 ]; then i=$f; fi; done; "#,
    r#"if [ "$i" = 0 ] || [ -n "$hw_d" ]; then unset hw_d; elif env --default-signal true 2>/dev/null; then "#,
    r#"exec env --default-signal hw_d=1 /bin/sh -c "$2" hostwright "$@"; fi; "#,
    "{ for l in t f d v; do ulimit -$l unlimited || ulimit -S -$l unlimited; done; ",
    "while read -r a b c s f; do case $b-$s in *-unlimited) ;; ",
    "stack-*) [ $s -ge 8388608 ] || ulimit -s 8192 || ulimit -S -s 8192;; ",
    "open-*) [ $s -ge 1024 ] || ulimit -n 1024 || ulimit -S -n 1024;; ",
    "esac; done </proc/self/limits; } 2>/dev/null; ",
    "l=; IFS=abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-; ",
    r#"set -f; for f in $6; do l=$l$f; done; set +f; unset IFS; "#,
    r#"case $l$6 in [a-zA-Z_]*) USER=$6 LOGNAME=$6; eval "l=~$6"; case $l in /*) HOME=$l;; esac; esac; "#,
    r#"HOME=${HOME:-/}; export HOME USER LOGNAME; unset OLDPWD; "#,
    r#"echo "$4 user $5"; "#,
    r#"while IFS=" " read -r m t k; do eval "$k"; timeout -k 5 "$t" /bin/sh -c "$3" /bin/sh; c=$?; "#,
    r#"echo "$m end $c"; echo "$m end $c" >&2; done"#,
);

/// Takes the script of a frame: a line with its length and seal, then so many bytes, the last of them the seal. A
/// script that was cut off is not run. `head -c` of coreutils never reads more than asked for.
const RUNNER: &str = concat!(
    r#"IFS=" " read -r n hw_z; s=$(head -c "$n"); exec 5<&0 3</dev/null </dev/null; "#,
    r##"case $s in *"#$hw_z") eval "$s";; *) exit 9;; esac"##,
);

/// The same for a part with a bound of its own, which gets its text from the runner through a pipe.
const BOUNDED: &str = concat!(
    "hw_z=$1; s=$(cat); exec 3</dev/null </dev/null; ",
    r##"case $s in *"#$hw_z") eval "$s";; *) exit 9;; esac"##,
);

/// The payload of a part that follows the script.
fn fed(part: &Part) -> Option<&Payload> {
    part.payload.as_ref().filter(|payload| payload.inline().is_none())
}

/// Whether the end of standard input ends the part at this position while it runs: where nothing is to come any more but
/// what it reads itself. All others keep to their bound by a `timeout` of their own.
pub(super) fn is_stoppable(frame: &Frame, part: usize) -> bool {
    frame.parts.iter().skip(part + 1).all(|later| fed(later).is_none())
}

/// What every mark starts with: rare in text, so that looking for marks in much output is quick.
pub(super) const MARK: u8 = 0x1e;

/// Random text that tells our own lines from all others.
#[derive(Clone)]
pub(super) struct Nonce {
    /// 32 hexadecimal digits, for the marks of a frame.
    pub(super) mark: String,
    /// 16 hexadecimal digits, behind scripts and payloads.
    seal: String,
}

impl Nonce {
    /// From so many random bytes.
    pub(super) fn new(bytes: [u8; 24]) -> Self {
        Self { mark: hex(&bytes[..16]), seal: hex(&bytes[16..]) }
    }

    /// Text for a greeting or a prompt.
    pub(super) fn token(&self) -> &str {
        &self.mark
    }
}

/// Returns the arguments of `/bin/sh` that start the long-lived shell. With `prompt`, `sudo` asks for a password with
/// that text; without, it fails when it would have to ask.
pub(super) fn arguments(user: Option<&str>, greeting: &str, prompt: Option<&str>) -> Vec<String> {
    [
        "-c",
        r#"eval "$1""#,
        "hostwright",
        ENTER,
        LOGIN,
        DRIVER,
        RUNNER,
        greeting,
        user.unwrap_or_default(),
        prompt.unwrap_or_default(),
    ]
    .map(str::to_owned)
    .into()
}

/// Returns the command line for a login shell of any kind; all know `exec`, and one process less stays.
pub(super) fn command_line(arguments: &[String]) -> String {
    let quoted = arguments.iter().map(|word| format!(" '{word}'"));
    std::iter::once("exec /bin/sh".to_owned()).chain(quoted).collect()
}

/// Whether `user` can be a word of the command line in every login shell, and no option of `sudo`.
pub(super) fn is_user_name(user: &str) -> bool {
    let safe = |c: char| c.is_alphanumeric() || "_.@+-$#".contains(c);
    !user.is_empty() && user.len() <= 256 && !user.starts_with('-') && user.chars().all(safe)
}

/// Returns who is logged in, if the greeting is in `text`.
pub(super) fn greeted(text: &[u8], greeting: &str) -> Option<String> {
    let greeting = format!("{greeting} user ").into_bytes();
    let rest = &text[text.windows(greeting.len()).position(|part| part == greeting)? + greeting.len()..];
    let end = rest.iter().position(|&b| b == b'\n')?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

/// Whether the wrapper said that there is no `sudo`.
pub(super) fn lacks_sudo(text: &str, greeting: &str) -> bool {
    text.contains(&format!("{greeting} nosudo"))
}

/// What is written to standard input for a frame, piece by piece.
pub(super) enum Piece {
    /// Our own text, with secrets in it.
    Text(Zeroizing<Vec<u8>>),
    /// A payload as it is.
    Payload(Payload),
}

impl Piece {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::Payload(payload) => &payload.0,
        }
    }
}

/// Returns what is written to the shell for `frame`.
pub(super) fn encode(frame: &Frame, nonce: &Nonce, run_id: &str) -> Vec<Piece> {
    let script = Zeroizing::new(script(frame, nonce, run_id));
    let mut head = Zeroizing::new(Vec::with_capacity(script.len() + 256));
    let locks = frame.parts.iter().any(|part| part.runs == Runs::Locking);
    let first = format!(
        "{}{} {} {}\n{} {}\n",
        char::from(MARK),
        nonce.mark,
        seconds(frame.timeout),
        if locks { lock::OPEN } else { "" },
        script.len(),
        nonce.seal
    );
    head.extend_from_slice(first.as_bytes());
    head.extend_from_slice(script.as_bytes());
    let mut pieces = vec![Piece::Text(head)];
    for payload in frame.parts.iter().filter_map(fed) {
        pieces.push(Piece::Payload(payload.clone()));
        pieces.push(Piece::Text(Zeroizing::new(format!("{}\n", nonce.seal).into_bytes())));
    }
    pieces
}

/// Returns what is written last to a shell that is to end: a script whose answer nobody waits for, and which therefore
/// does not end with standard input.
pub(super) fn farewell(script: &Script, nonce: &Nonce) -> Vec<u8> {
    let script = format!("( {}\n) >/dev/null 2>&1 </dev/null\n#{}", script.render(), nonce.seal);
    let Nonce { mark, seal } = nonce;
    format!("{}{mark} 10 \n{} {seal}\n{script}", char::from(MARK), script.len()).into_bytes()
}

/// For `timeout`, to which 0 means no bound at all.
pub(super) fn seconds(bound: Duration) -> String {
    if bound >= Frame::NO_BOUND { "0".into() } else { format!("{:.3}", bound.as_secs_f64().max(0.001)) }
}

/// The script of a frame. `write!` to a string cannot fail.
fn script(frame: &Frame, nonce: &Nonce, run_id: &str) -> String {
    let last_payload = frame.parts.iter().rposition(|part| fed(part).is_some());
    let mut text = prelude(nonce, run_id);
    if last_payload.is_some() {
        let _ = writeln!(text, "hw_b={}", *quote_always(BOUNDED));
    }
    text.push_str("hw_m b 0\n");
    if last_payload.is_none() {
        text.push_str(WATCH);
    }
    let mut texts = Texts::default();
    let parts: Vec<_> = frame.parts.iter().map(|part| texts.chunks(&part.script)).collect();
    let shared: Vec<_> =
        frame.parts.iter().map(|part| part.shared.map(|s| (s, texts.place(&s.library.text)))).collect();
    let ahead = looks_ahead(frame, &mut texts);
    texts.define(&mut text);
    let mut known: Vec<Shared> = Vec::new();
    for (index, (part, chunks)) in frame.parts.iter().zip(parts).enumerate() {
        if let Some((shared, place)) = shared[index].filter(|(shared, _)| !known.contains(shared)) {
            // In the shell of the frame, whose subshells inherit it. Nobody waits for what it may say.
            let variable = shared.variable;
            let _ = writeln!(text, "{{ eval \"$hw_t{place}\"; }} 2>/dev/null || unset {variable}");
            known.push(shared);
        }
        if !part.only_asks() {
            for shared in known.drain(..) {
                let _ = writeln!(text, "unset {}", shared.variable);
            }
        }
        if let Some(look) = ahead.looks.iter().find(|look| look.before == index) {
            text.push_str(&look.code);
        }
        // What is still to come on standard input when this part is over.
        let left: usize =
            frame.parts[index + 1..].iter().filter_map(fed).map(|p| p.0.len() + nonce.seal.len() + 1).sum();
        // Only after the last payload may anyone look whether standard input has ended.
        let carries_watcher = last_payload == Some(index);
        let mut code = part_code(index, part, chunks, carries_watcher);
        if let Some(n) = ahead.numbers[index] {
            code.insert(0, Chunk::code(format!("hw_foreseen=${{hw_ahead_{n}-}}\n")));
            code.push(Chunk::code("hw_foreseen=\n"));
        }
        if let Some(bound) = part.timeout.filter(|_| !is_stoppable(frame, index)) {
            let mut inner = vec![Chunk::code(prelude(nonce, run_id))];
            inner.extend(code);
            inner.push(Chunk::code(format!("hw_k\n[ \"$hw_c\" = 0 ] || exit 1\nexit 0\n#{}", nonce.seal)));
            let bound = seconds(bound.min(frame.timeout));
            let _ = writeln!(
                text,
                "printf %s {} | timeout -k 5 {bound} \"$0\" -c \"$hw_b\" \"$0\" \"$hw_z\"\nhw_c=$?\n\
                 case $hw_c in 0) ;; 1) {} ;; *) hw_m x{index} $hw_c; hw_q 0 ;; esac",
                *words(&inner),
                if part.stop_on_failure { format!("hw_q {left}") } else { String::new() },
            );
        } else {
            text.push_str(&here(&code));
            if part.stop_on_failure {
                let _ = writeln!(text, "[ \"$hw_c\" = 0 ] || hw_q {left}");
            }
        }
        if carries_watcher {
            text.push_str(WATCH);
        }
    }
    let _ = write!(text, "hw_q 0\n#{}", nonce.seal);
    text
}

/// So many bytes of words go to one look ahead at most: they are arguments of a program (execve(2)).
const MOST_WORDS: usize = 64 << 10;

/// What finds out something for several questions of a frame at once.
struct Look {
    /// The first part that it is for.
    before: usize,
    code: String,
}

/// The looks ahead of a frame, and by part the number of what they leave for it.
struct Looks {
    looks: Vec<Look>,
    numbers: Vec<Option<usize>>,
}

/// Questions that follow one another with no action between them have a look ahead if there are several of them.
fn looks_ahead(frame: &Frame, texts: &mut Texts) -> Looks {
    let parts = &frame.parts;
    let mut found = Looks { looks: Vec::new(), numbers: vec![None; parts.len()] };
    let mut count = 0;
    let asking = parts.chunk_by(|a, b| a.only_asks() && b.only_asks());
    let mut from = 0;
    for run in asking {
        let mut left: Vec<(usize, &Ahead)> = (run.iter().enumerate())
            .filter(|(_, part)| part.only_asks())
            .filter_map(|(n, part)| Some((from + n, part.ahead.as_ref()?)))
            .collect();
        from += run.len();
        while let Some(&(before, first)) = left.first() {
            let (alike, others) = left.into_iter().partition(|(_, ahead)| ahead.library == first.library);
            left = others;
            let start = count;
            let mut words = String::new();
            for (n, ahead) in alike {
                let all = ahead.words.iter().map(String::as_str).chain([""]);
                let more = all.fold(String::new(), |text, word| text + " " + &quote_always(word));
                if words.len() + more.len() <= MOST_WORDS {
                    words += &more;
                    found.numbers[n] = Some(count);
                    count += 1;
                }
            }
            if count < start + 2 {
                found.numbers.iter_mut().filter(|n| n.is_some_and(|n| n >= start)).for_each(|n| *n = None);
                continue;
            }
            // In the shell of the frame. Nobody waits for what it may say. `write!` to a string cannot fail.
            let mut code = format!("set -- {start}{words}\n{{ ");
            for text in first.library.texts() {
                let _ = write!(code, "eval \"$hw_t{}\"; ", texts.place(text));
            }
            code += "} >/dev/null 2>&1 5<&-\nset --\n";
            found.looks.push(Look { before, code });
        }
    }
    found
}

/// The files of a frame, each of them once: `hw_t0`, `hw_t1` ... in its shell.
#[derive(Default)]
struct Texts(Vec<&'static Text>);

impl Texts {
    /// The number of a file.
    fn place(&mut self, text: &'static Text) -> usize {
        self.0.iter().position(|t| *t == text).unwrap_or_else(|| {
            self.0.push(text);
            self.0.len() - 1
        })
    }

    /// The code of a script, to stand in a subshell. `eval` of one quoted word: whatever is wrong in what a user wrote
    /// (quotes, heredocs, syntax) ends with the subshell. In the files nothing is.
    fn chunks(&mut self, script: &Script) -> Vec<Chunk> {
        let pieces = script.pieces();
        let chunk = |piece| match piece {
            shell::Piece::Code(code) => {
                Chunk::Code(Zeroizing::new(format!("eval {}\n", *quote_always(&code))))
            }
            shell::Piece::Text(text) => Chunk::Text(self.place(text)),
        };
        if pieces.is_empty() { vec![Chunk::code(":\n")] } else { pieces.into_iter().map(chunk).collect() }
    }

    fn define(&self, out: &mut String) {
        for (n, text) in self.0.iter().enumerate() {
            let _ = writeln!(out, "hw_t{n}={}", *quote_always(text.lean()));
        }
    }
}

/// A chunk of the code of a frame.
enum Chunk {
    /// As it is.
    Code(Zeroizing<String>),
    /// One of the [`Texts`].
    Text(usize),
}

impl Chunk {
    fn code(code: impl Into<String>) -> Self {
        Self::Code(Zeroizing::new(code.into()))
    }
}

/// The chunks as code of the shell of the frame.
fn here(chunks: &[Chunk]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::new());
    for chunk in chunks {
        match chunk {
            Chunk::Code(code) => out.push_str(code),
            // `write!` to a string cannot fail.
            Chunk::Text(place) => writeln!(out, "eval \"$hw_t{place}\"").unwrap_or_default(),
        }
    }
    out
}

/// The chunks as words, which put together are code for another shell: files stand there as they are.
fn words(chunks: &[Chunk]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::new());
    for chunk in chunks {
        match chunk {
            Chunk::Code(code) => out.push_str(&quote_always(code)),
            Chunk::Text(place) => write!(out, "\"$hw_t{place}\"").unwrap_or_default(),
        }
    }
    out
}

const WATCH: &str = "hw_w & hw_p=$!\n";

/// The names that all parts of a frame share, none of them exported.
///
/// - `hw_m` prints a mark on both streams. The nonce is in two halves, so that a part that prints all variables
///   and functions (`set`) does not print a mark.
/// - `hw_o` prints a text, without a process: it may be a secret, and mksh has no `printf` of its own.
/// - `hw_w` watches standard input, on which nothing comes before the frame has been answered: its end means that
///   the controller is gone, or wants this to stop. `timeout` leads the group: it passes the signal on and kills
///   what is left after 5 s.
/// - `hw_k` ends the watcher; by SIGPIPE, because no shell writes a message about that one, and where it is ignored
///   by SIGKILL (of two deadly signals Linux takes the one that came first).
/// - `hw_q` ends the frame and throws away so many bytes of payloads that are not wanted any more.
///
/// The trap keeps the shell waiting for its part when it is told to stop, so that `timeout` does not take it for
/// finished and lets go of a part that ignores SIGTERM.
fn prelude(nonce: &Nonce, run_id: &str) -> String {
    let (a, b) = nonce.mark.split_at(nonce.mark.len() / 2);
    format!(
        "unset s n\nhw_a='{mark}{a}' hw_e={b} hw_p=\nHW_RUN_ID={run_id}; export HW_RUN_ID\n\
         hw_m() {{ printf '%s%s %s %s\\n' \"$hw_a\" \"$hw_e\" \"$1\" \"$2\"; \
         printf '%s%s %s %s\\n' \"$hw_a\" \"$hw_e\" \"$1\" \"$2\" >&2; }}\n\
         if [ -n \"${{KSH_VERSION-}}\" ]; then hw_o() {{ print -nr -- \"$1\"; }}; else hw_o() {{ printf %s \"$1\"; }}; fi\n\
         hw_w() {{ IFS= read -r hw_x <&5 || kill -TERM 0; }}\n\
         hw_k() {{ [ -z \"$hw_p\" ] || {{ kill -PIPE \"$hw_p\"; kill -KILL \"$hw_p\"; \
         wait \"$hw_p\"; }} 2>/dev/null; }}\n\
         hw_q() {{ hw_k; [ \"$1\" = 0 ] || head -c \"$1\" <&5 >/dev/null; exit 0; }}\n\
         trap 'exit 143' TERM\n",
        mark = char::from(MARK),
        run_id = quote(run_id),
    )
}

/// One part, its mark included; leaves its exit code in `hw_c`.
///
/// A payload comes from a feeder, which tells its process id first (`/proc/self/stat`: no shell but bash has a variable
/// for that), holds the pipe open if the payload was cut off, and becomes the watcher if no other payload follows. One
/// that is text comes from a process of the shell itself.
fn part_code(index: usize, part: &Part, script: Vec<Chunk>, watcher: bool) -> Vec<Chunk> {
    // Nothing keeps the lock that only somebody has left behind.
    let close = if part.runs == Runs::Within { "5<&- 9<&-" } else { "5<&-" };
    let mark = format!("hw_c=$?\nhw_m {index} $hw_c\n");
    let (before, after) = match (&part.payload, part.payload.as_ref().and_then(Payload::inline)) {
        (None, _) => (Chunk::code("( "), format!(") {close}\n{mark}")),
        (Some(_), Some(text)) => (
            Chunk::Code(Zeroizing::new(format!("hw_o {} 2>/dev/null | ( ", *quote_always(text)))),
            format!(") 3<&0 </dev/null {close}\n{mark}"),
        ),
        (Some(payload), None) => (
            Chunk::code(format!(
                "{{ read -r hw_f hw_x </proc/self/stat; echo \"$hw_f\"; head -c {length} <&5; IFS= read -r hw_x <&5; \
                 [ \"$hw_x\" = \"$hw_z\" ] || {{ trap '' TERM; kill -TERM 0; sleep 20; }}; exec >&-;{after} }} | \
                 {{ IFS= read -r hw_f; ( ",
                length = payload.0.len(),
                after = if watcher { " hw_w;" } else { "" },
            )),
            format!(
                ") 3<&0 </dev/null {close}\nhw_c=$?; cat >/dev/null; \
                 {{ kill -PIPE \"$hw_f\"; kill -KILL \"$hw_f\"; }} 2>/dev/null; exit $hw_c; }}\n{mark}"
            ),
        ),
    };
    let after = Chunk::code(after);
    std::iter::once(before).chain(script).chain(std::iter::once(after)).collect()
}

/// In single quotes, whatever it is.
fn quote_always(text: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
#[path = "frames_tests.rs"]
pub(super) mod tests;
