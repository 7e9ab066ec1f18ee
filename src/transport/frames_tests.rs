//! The wire form against real shells, through the same channel as in a run.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::decoder::{Decoder, Garbled, NOISE_LIMIT, Outcome};
use super::*;
use crate::model::Privilege;
use crate::probe::{Answer, Probe};
use crate::program::{Library, Program, Text, Value};
use crate::sh;
use crate::shell::Payload;
use crate::shell::Script;
use crate::transport::channel::{Channel, Opening};
use crate::transport::local::Here;
use crate::transport::session::Launch as _;
use crate::transport::{Output, TransportError};

/// The shells of this machine, each as a link called `sh` so that it behaves as such. Not busybox: its shell
/// prefers its own `head`, which reads more than it is asked for.
pub(in crate::transport) fn shells() -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for program in ["/usr/bin/dash", "/usr/bin/bash", "/usr/bin/mksh"] {
        if Path::new(program).exists() {
            let own = folder.path().join(program.replace('/', "_"));
            std::fs::create_dir(&own).unwrap();
            symlink(program, own.join("sh")).unwrap();
            found.push(own.join("sh").to_str().unwrap().to_owned());
        }
    }
    assert!(!found.is_empty(), "there is no shell to test with");
    (folder, found)
}

pub(in crate::transport) async fn open(shell: &str) -> Channel {
    let opening = Opening::new(&Privilege::Login, false).unwrap();
    let arguments: Vec<String> =
        opening.arguments().iter().map(|word| word.replace("/bin/sh ", &format!("{shell} "))).collect();
    let pipes = Here { shell: shell.to_owned() }.launch(&arguments).await.unwrap();
    Channel::open(pipes, opening, None, "run-1", Duration::from_secs(30)).await.unwrap()
}

/// As `sshd` does: a login shell gets the command line, here by arguments that `login` makes of it.
pub(in crate::transport) async fn open_by(
    program: &str,
    shell: &str,
    login: impl FnOnce(String) -> Vec<String>,
) -> Channel {
    let opening = Opening::new(&Privilege::Login, false).unwrap();
    let line = command_line(&opening.arguments()).replace("/bin/sh ", &format!("{shell} "));
    let pipes = Here { shell: program.to_owned() }.launch(&login(line)).await.unwrap();
    Channel::open(pipes, opening, None, "run-1", Duration::from_secs(30)).await.unwrap()
}

fn frame(parts: Vec<Part>) -> Frame {
    Frame { privilege: Privilege::Login, parts, timeout: Duration::from_secs(20) }
}

pub(in crate::transport) fn part(script: &'static str) -> Part {
    Part::question(Script::new().raw(script))
}

fn payload(bytes: &[u8]) -> Payload {
    Payload(Arc::from(bytes))
}

pub(in crate::transport) async fn ask(
    channel: &mut Channel,
    parts: Vec<Part>,
) -> Result<Vec<Answer>, TransportError> {
    channel.exchange(&frame(parts), &mut |_| {}).await
}

/// Runs the parts in every shell, one after the other, and returns the answers that all of them gave.
async fn in_all_shells(parts: Vec<Part>) -> Vec<Answer> {
    let (_folder, shells) = shells();
    let mut all: Vec<(String, Vec<Answer>)> = Vec::new();
    for shell in shells {
        let mut channel = open(&shell).await;
        let answers = ask(&mut channel, parts.clone()).await.unwrap_or_else(|e| panic!("{shell}: {e}"));
        // The shell is still in order after it.
        let again = ask(&mut channel, vec![part("echo again")]).await.unwrap();
        assert_eq!(again, [Answer::new(0, "again\n")], "{shell}");
        // What a shell says of a killed child is its own affair.
        let answers: Vec<Answer> = answers
            .into_iter()
            .map(|a| if a.error_text() == "Killed" { Answer { stderr: Vec::new(), ..a } } else { a })
            .collect();
        if let Some((first, expected)) = all.first() {
            assert_eq!(answers, *expected, "{shell} and {first}");
        }
        all.push((shell, answers));
    }
    all.swap_remove(0).1
}

#[test]
fn programs_pass_every_login_shell() {
    for program in [ENTER, LOGIN, DRIVER, RUNNER] {
        assert!(!program.contains(['\'', '!', '\\', '\n']), "{program}");
    }
}

#[tokio::test]
async fn answers_come_apart_and_byte_for_byte() {
    let binary: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let echo = Part { payload: Some(payload(&binary)), ..part("cat <&3; printf 'no line end' >&2; exit 7") };
    let answers =
        in_all_shells(vec![part("echo out; echo err >&2"), echo, part("printf x"), part(":")]).await;
    assert_eq!(answers[0], Answer { code: 0, stdout: "out\n".into(), stderr: "err\n".into() });
    assert!(answers[1].stdout == binary, "binary data came back changed");
    assert_eq!((answers[1].code, answers[1].error_text().as_ref()), (7, "no line end"));
    assert_eq!(answers[2..], [Answer::new(0, "x"), Answer::new(0, "")]);
}

#[tokio::test]
async fn a_payload_that_is_text_arrives_as_it_is() {
    let mut bytes: Vec<u8> = (1..128).cycle().take(20_000).collect();
    bytes.extend("ä€\u{81}\u{88}'\\'' %s \\n $HOME `id` \u{1f600}\r\n-n\n\n".as_bytes());
    for text in [&b"-n\\n"[..], b"-- x", b"", b"\n\n", &bytes] {
        assert!(payload(text).inline().is_some());
        let answers = in_all_shells(vec![
            Part { payload: Some(payload(text)), ..part("cat <&3") },
            Part { payload: Some(payload(text)), timeout: Some(Duration::from_secs(9)), ..part(":") },
        ])
        .await;
        assert!(answers[0].stdout == text && answers[0].stderr.is_empty(), "{:?}", answers[0]);
        assert_eq!(answers[1], Answer::new(0, ""));
    }
    let long = vec![b'x'; (32 << 10) + 1];
    for other in [&b"\0"[..], b"\xff", &long] {
        assert!(payload(other).inline().is_none());
    }
}

#[tokio::test]
async fn a_part_before_a_large_payload_keeps_to_its_bound_too() {
    let (_folder, shells) = shells();
    for shell in shells {
        let mut channel = open(&shell).await;
        let slow = Part { timeout: Some(Duration::from_millis(300)), ..part("sleep 35.25") };
        let large = Part { payload: Some(payload(&vec![b'x'; (32 << 10) + 1])), ..part("cat <&3") };
        let error = ask(&mut channel, vec![slow, large]).await.unwrap_err();
        assert!(matches!(error, TransportError::TimedOut { part: Some(0), .. }), "{shell}: {error:?}");
        until(&shell, || running("sleep 35.25") == 0).await;
    }
}

#[tokio::test]
async fn what_questions_share_is_found_out_once_and_anew_after_an_action() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count").display().to_string();
    let sets = |variable: &'static str, command: &str| {
        let code = format!("[ \"${{{variable}+x}}\" ] || {variable}=$({command})\n").leak();
        let library: &'static Library = Box::leak(Box::new(Library::new(variable, code, &[])));
        Shared { variable, library }
    };
    let known = sets("hw_known", &format!("echo x >>{count}; grep -c x {count}"));
    let failing = sets("hw_failing", "echo no; false");
    let asks = |shared: Shared, show: &'static str| {
        let uses: &'static [&'static Library] = Box::leak(Box::new([shared.library]));
        let text = Text::new(show, show);
        let program: &'static Program =
            Box::leak(Box::new(Program { text, variables: &[], uses, runs_users: false }));
        Part::probe(&Probe::new(Script::call(program, Vec::new())).sharing(shared))
    };
    let known = || asks(known, "echo $hw_known; hw_known=changed");
    let act = || Part { stop_on_failure: true, ..part("echo ${hw_known-unset}") };
    let failing = asks(failing, "echo $hw_failing");
    let (_folder, shells) = shells();
    for shell in shells {
        std::fs::write(&count, "").unwrap();
        let mut channel = open(&shell).await;
        let parts = vec![known(), known(), act(), known(), known(), failing.clone()];
        let answers = ask(&mut channel, parts).await.unwrap();
        let said: Vec<_> = answers.iter().map(Answer::text).collect();
        assert_eq!(said, ["1", "1", "unset", "2", "2", "no"], "{shell}");
        let said = ask(&mut channel, vec![known()]).await.unwrap()[0].text().into_owned();
        assert_eq!(said, "3", "{shell}: the next frame asks anew");
    }
}

#[tokio::test]
async fn what_several_questions_want_is_found_out_ahead_and_anew_after_an_action() {
    static LIBRARY: Library = Library::new(
        "count_words.sh",
        "hw_n=$1; shift; echo noise; hw_c=0\nfor hw_w in \"$@\"; do\nif [ -n \"$hw_w\" ]; then hw_c=$((hw_c + 1)); \
         else [ \"$hw_c\" = 1 ] || eval \"hw_ahead_$hw_n=$hw_c-of-$#\"; hw_n=$((hw_n + 1)) hw_c=0; fi\ndone\n",
        &[],
    );
    let asks = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let probe = Probe::new(sh!("echo \"${hw_foreseen:-alone}\"; hw_foreseen=changed"));
        Part::probe(&probe.ahead(Some(Ahead { library: &LIBRARY, words })))
    };
    let two = || asks(&["it's", "a b"]);
    let act = || Part { stop_on_failure: true, ..asks(&["x", "y", "z"]) };
    let other = part("echo \"${hw_foreseen:-none}\"");
    let parts = vec![two(), other, two(), asks(&["one"]), act(), two(), act(), two(), asks(&["a", "b", "c"])];
    let said: Vec<_> = in_all_shells(parts).await.iter().map(|a| a.text().into_owned()).collect();
    assert_eq!(
        said,
        ["2-of-8", "none", "2-of-8", "alone", "alone", "alone", "alone", "2-of-7", "3-of-7"],
        "an action has none of it, nor has a question between two of them"
    );
}

#[tokio::test]
async fn files_travel_once_and_work_in_every_part() {
    static LIBRARY: Library = Library::new(
        "say.sh",
        "hw_say() {\ncase $1 in 'a b') echo \"it's $1\" ;; *) echo other ;; esac\n}\n",
        &[],
    );
    static SAY: Program = Program {
        text: Text::new(
            "say_word.sh",
            "# A comment (\n  hw_say \"$word\"\n[ -z \"$fails\" ] || exit 7\ncat <&3\n",
        ),
        variables: &["word", "fails"],
        uses: &[&LIBRARY],
        runs_users: false,
    };
    let say = |word: &str, fails: &str| {
        let values = [word, fails].map(|v| Value::Plain(v.to_owned())).into();
        Part::question(Script::call(&SAY, values))
    };
    let bounded = |part: Part| Part { timeout: Some(Duration::from_secs(20)), ..part };
    let parts = || {
        let fed = bounded(Part { payload: Some(payload(b"payload")), ..say("a b", "") });
        let fails = Part { stop_on_failure: true, ..bounded(say("x", "yes")) };
        vec![say("a b", ""), fed, say("c", "yes"), bounded(say("d", "")), fails, say("never", "")]
    };
    let frame = Frame { privilege: Privilege::Login, parts: parts(), timeout: Duration::from_mins(1) };
    let sent: Vec<u8> =
        encode(&frame, &Nonce::new([7; 24]), "run-1").iter().flat_map(|p| p.bytes().to_vec()).collect();
    let sent = String::from_utf8(sent).unwrap();
    assert_eq!((sent.matches("hw_say() {").count(), sent.matches("comment").count()), (1, 0));
    let answers = in_all_shells(parts()).await;
    let said: Vec<_> = answers.iter().map(|a| (a.code, a.text().into_owned())).collect();
    let wanted = [(0, "it's a b"), (0, "it's a b\npayload"), (7, "other"), (0, "other"), (7, "other")];
    assert_eq!(said, wanted.map(|(code, text)| (code, text.to_owned())));
}

#[tokio::test]
async fn a_part_cannot_break_out() {
    let wild = [
        "exit 3",
        "set -e; false; echo never",
        "echo 'unbalanced",
        "if true; then",
        "cat <<EOF\nin a heredoc\nEOF",
        "x=1; cd /tmp; umask 077; trap 'echo bye' EXIT; export PATH=/nowhere LC_ALL=xx",
        ")",
        "}; echo broke out; {",
        "exec sh -c 'exit 4'",
        "exec >/dev/null 2>&1; echo lost",
        "cat; cat <&3; read x || echo empty",
        "echo x$x; pwd; umask; echo $LC_ALL $PATH $HW_RUN_ID",
        "kill -9 $(sh -c 'echo $PPID')",
        "for i in 1 2 3",
        "# a comment",
        "true # a comment at the end \\",
        "",
    ];
    let (_folder, shells) = shells();
    for shell in shells {
        let mut channel = open(&shell).await;
        let answers = ask(&mut channel, wild.iter().map(|s| part(s)).collect()).await.unwrap();
        let said = |n: usize| (answers[n].code, answers[n].text().into_owned());
        assert_eq!(answers.len(), wild.len(), "{shell}");
        assert_eq!(said(0), (3, String::new()), "{shell}");
        assert_eq!(said(1), (1, String::new()), "{shell}");
        for broken in [2, 3, 6, 7, 13] {
            assert_ne!(answers[broken].code, 0, "{shell}: {}", wild[broken]);
            assert_eq!(answers[broken].stdout, b"", "{shell}: {}", wild[broken]);
            assert_ne!(answers[broken].stderr, b"", "{shell}: {}", wild[broken]);
        }
        assert_eq!(said(4), (0, "in a heredoc".into()), "{shell}");
        assert_eq!(said(5), (0, "bye".into()), "{shell}");
        assert_eq!(said(8), (4, String::new()), "{shell}");
        assert_eq!(said(9), (0, String::new()), "{shell}");
        assert_eq!(said(10), (0, "empty".into()), "{shell}");
        assert_eq!(said(11), (0, "x\n/\n0022\nC /usr/sbin:/usr/bin:/sbin:/bin run-1".into()), "{shell}");
        assert_eq!(said(12).0, 137, "{shell}");
        assert_eq!(said(14), (0, String::new()), "{shell}");
        assert_eq!(said(16), (0, String::new()), "{shell}");
    }
}

#[tokio::test]
async fn a_frame_stops_where_it_should() {
    let rest = Part { payload: Some(payload(&vec![7; 100_000])), ..part("cat <&3") };
    let stop = |script| Part { stop_on_failure: true, ..part(script) };
    let answers = in_all_shells(vec![stop("true"), stop("exit 5"), rest.clone(), rest.clone()]).await;
    assert_eq!(answers, [Answer::new(0, ""), Answer::new(5, "")]);
    let bounded = Part { timeout: Some(Duration::from_secs(9)), ..stop("exit 5") };
    let answers = in_all_shells(vec![bounded, rest]).await;
    assert_eq!(answers, [Answer::new(5, "")]);
}

#[tokio::test]
async fn payloads_may_be_left_and_follow_each_other() {
    let mut parts = Vec::new();
    for (length, script) in [(0, "cat <&3"), (1, ":"), (300_000, "head -c 3 <&3"), (300_000, "cat <&3")] {
        for timeout in [None, Some(Duration::from_secs(9))] {
            let payload = Some(payload(&vec![b'\n'; length]));
            parts.push(Part { payload, timeout, ..part(script) });
            parts.push(Part { timeout, ..part("echo between") });
        }
    }
    let answers = in_all_shells(parts).await;
    let lengths: Vec<usize> = answers.iter().map(|a| a.stdout.len()).collect();
    let expected = [0, 8, 0, 8, 0, 8, 0, 8, 3, 8, 3, 8, 300_000, 8, 300_000, 8];
    assert_eq!(lengths, expected);
    assert!(answers.iter().all(|a| a.ok() && a.stderr.is_empty()));
}

#[tokio::test]
async fn a_part_with_a_bound_is_like_any_other() {
    let bounded = |script| Part { timeout: Some(Duration::from_secs(9)), ..part(script) };
    let answers = in_all_shells(vec![
        bounded("echo 'it'\\''s'; echo err >&2; exit 6"),
        bounded("exit 124"),
        bounded("cat; cat <&3; echo $HW_RUN_ID"),
        bounded("kill -9 $(sh -c 'echo $PPID')"),
        part("echo after"),
    ])
    .await;
    assert_eq!(answers[0], Answer { code: 6, stdout: "it's\n".into(), stderr: "err\n".into() });
    assert_eq!(answers[1].code, 124);
    assert_eq!(answers[2], Answer::new(0, "run-1\n"));
    assert_eq!(answers[3].code, 137);
    assert_eq!(answers[4], Answer::new(0, "after\n"));
}

#[tokio::test]
async fn bounds_are_kept_and_name_the_part() {
    let (_folder, shells) = shells();
    for shell in shells {
        // A part's own bound.
        let mut channel = open(&shell).await;
        let slow = Part { timeout: Some(Duration::from_millis(300)), ..part("echo begun; sleep 33.25") };
        let error = ask(&mut channel, vec![part("echo first"), slow, part("echo never")]).await.unwrap_err();
        let TransportError::TimedOut { after, part: Some(1), answers } = error else { panic!("{error:?}") };
        assert_eq!((after.as_millis(), answers), (300, vec![Answer::new(0, "first\n")]), "{shell}");
        // The frame's bound, on a part that does not want to end.
        let mut channel = open(&shell).await;
        let start = Instant::now();
        let mut stubborn = frame(vec![part("echo first"), part("trap '' TERM; sleep 34.25; sleep 34.25")]);
        stubborn.timeout = Duration::from_millis(300);
        let error = channel.exchange(&stubborn, &mut |_| {}).await.unwrap_err();
        assert!(
            matches!(error, TransportError::TimedOut { part: Some(1), ref answers, .. } if answers.len() == 1)
        );
        assert!(start.elapsed() < Duration::from_secs(8), "{shell}: {:?}", start.elapsed());
        until(&shell, || running("sleep 34.25") + running("sleep 33.25") == 0).await;
    }
}

/// The number of processes with this command line.
fn running(command: &str) -> usize {
    let wanted = command.replace(' ', "\0") + "\0";
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let same = |entry: &std::fs::DirEntry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes())
    };
    processes.filter(same).count()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(9), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_nobody_waits_for_is_stopped() {
    let (_folder, shells) = shells();
    for (n, shell) in shells.iter().enumerate() {
        for (m, timeout) in [None, Some(Duration::from_mins(1))].into_iter().enumerate() {
            for (k, payload) in [None, Some(payload(b"12345"))].into_iter().enumerate() {
                let command = format!("sleep 41.{n}{m}{k}");
                let mut channel = open(shell).await;
                let script = sh!("cat <&3; {}; echo after", Script::new().user_code(&command));
                let task = tokio::spawn(async move {
                    ask(&mut channel, vec![Part { payload, timeout, ..Part::question(script) }]).await
                });
                until("it starts", || running(&command) == 1).await;
                task.abort();
                until(&format!("{shell}: it stops, {timeout:?}, {k} payloads"), || running(&command) == 0)
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn a_payload_that_is_cut_off_never_looks_complete() {
    let (_folder, shells) = shells();
    for shell in shells {
        for timeout in [None, Some(Duration::from_mins(1))] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("file").to_str().unwrap().to_owned();
            let script = sh!("trap '' TERM; cat <&3 >{}; mv {} {}", file, file, format!("{file}.done"));
            let whole = frame(vec![Part {
                payload: Some(payload(&vec![b'x'; 100_000])),
                timeout,
                ..Part::question(script)
            }]);
            let nonce = Nonce::new([3; 24]);
            let pieces = encode(&whole, &nonce, "run");
            let opening = Opening::new(&Privilege::Login, false).unwrap();
            let arguments: Vec<String> = opening
                .arguments()
                .iter()
                .map(|word| word.replace("/bin/sh ", &format!("{shell} ")))
                .collect();
            let mut pipes = Here { shell: shell.clone() }.launch(&arguments).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut pipes.stdin, pieces[0].bytes()).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut pipes.stdin, &pieces[1].bytes()[..99_999])
                .await
                .unwrap();
            tokio::io::AsyncWriteExt::flush(&mut pipes.stdin).await.unwrap();
            until("it has come", || std::fs::metadata(&file).is_ok_and(|m| m.len() > 0)).await;
            drop(pipes.stdin);
            let mut all = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut pipes.stdout, &mut all).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(!folder.path().join("file.done").exists(), "{shell} {timeout:?}");
        }
    }
}

#[tokio::test]
async fn a_script_that_is_cut_off_does_not_run() {
    let (_folder, shells) = shells();
    for shell in shells {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file").to_str().unwrap().to_owned();
        let whole =
            frame(vec![Part::question(sh!("touch {}", file)), part("true # something long after it")]);
        let pieces = encode(&whole, &Nonce::new([3; 24]), "run");
        let opening = Opening::new(&Privilege::Login, false).unwrap();
        let arguments: Vec<String> =
            opening.arguments().iter().map(|word| word.replace("/bin/sh ", &format!("{shell} "))).collect();
        let mut pipes = Here { shell: shell.clone() }.launch(&arguments).await.unwrap();
        let text = pieces[0].bytes();
        tokio::io::AsyncWriteExt::write_all(&mut pipes.stdin, &text[..text.len() - 30]).await.unwrap();
        tokio::io::AsyncWriteExt::flush(&mut pipes.stdin).await.unwrap();
        drop(pipes.stdin);
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut pipes.stdout, &mut all).await.unwrap();
        assert!(!Path::new(&file).exists(), "{shell}");
    }
}

#[tokio::test]
async fn nothing_in_a_part_can_print_a_mark() {
    let (_folder, shells) = shells();
    for shell in shells {
        let mut channel = open(&shell).await;
        let parts = vec![
            part(
                "set; set >&2; declare -f; export; env; cat /proc/self/environ; cat /proc/$$/cmdline /proc/$$/environ",
            ),
            part("printf '\\036%s\\n' 0123456789abcdef0123456789abcdef; printf '\\036'"),
        ];
        let answers = ask(&mut channel, parts).await.unwrap();
        assert!(answers[0].stdout.len() > 500, "{shell}");
        assert_eq!(answers[1].stdout, b"\x1e0123456789abcdef0123456789abcdef\n\x1e", "{shell}");
    }
}

#[tokio::test]
async fn lines_are_passed_on_while_it_runs() {
    let mut channel = open("/bin/sh").await;
    let parts = vec![
        part("echo quiet"),
        Part { stream: true, ..part("echo one; sleep 0.3; printf 'two\\r\\nthree'; echo oops >&2") },
    ];
    let start = Instant::now();
    let (mut lines, mut began) = (Vec::new(), Vec::new());
    let answers = channel
        .exchange(&frame(parts), &mut |heard| match heard {
            Output::Began { part } => began.push((part, lines.len())),
            Output::Line { part, stderr, line } => {
                lines.push((part, stderr, line.to_owned(), start.elapsed()));
            }
        })
        .await
        .unwrap();
    assert_eq!(answers[1].stdout, b"one\ntwo\r\nthree");
    assert_eq!(began, [(1, 0)], "a part begins before its lines come");
    let stops = || Part { stop_on_failure: true, ..part("false") };
    let mut begins = Vec::new();
    channel
        .exchange(&frame(vec![part("false"), stops(), part("true")]), &mut |heard| begins.push(heard.part()))
        .await
        .unwrap();
    assert_eq!(begins, [1], "behind a part that failed and stops, none begins");
    lines.sort_by_key(|line| line.1);
    let texts: Vec<_> = lines.iter().map(|(part, stderr, text, _)| (*part, *stderr, text.as_str())).collect();
    assert_eq!(texts, [(1, false, "one"), (1, false, "two"), (1, false, "three"), (1, true, "oops")]);
    assert!(lines[1].3.saturating_sub(lines[0].3) > Duration::from_millis(200), "{lines:?}");
}

#[tokio::test]
async fn a_thousand_parts_fit_in_a_frame() {
    let (_folder, shells) = shells();
    for shell in shells {
        let mut channel = open(&shell).await;
        let parts = (0..1000u32).map(|n| Part::question(sh!("echo {}", n))).collect();
        let answers = ask(&mut channel, parts).await.unwrap();
        let texts: Vec<String> = answers.iter().map(|a| a.text().into_owned()).collect();
        assert_eq!(texts, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>(), "{shell}");
    }
}

#[tokio::test]
async fn a_part_that_takes_its_shell_along_is_told() {
    let (_folder, shells) = shells();
    for shell in shells {
        let mut channel = open(&shell).await;
        let answers = ask(&mut channel, vec![part("echo a"), part("echo b; kill -9 $$")]).await;
        // 137 is what `timeout` returns for its own kill, too: it cannot be told apart.
        assert!(
            matches!(answers, Err(TransportError::TimedOut { part: Some(1), .. })),
            "{shell}: {answers:?}"
        );
        let mut channel = open(&shell).await;
        let error = ask(&mut channel, vec![part("kill -HUP $$"), part("echo b")]).await.unwrap_err();
        assert_eq!(error.to_string(), "script 1 ended the shell it ran in (code 129)", "{shell}");
    }
}

/// Feeds what a host might send, in pieces of every size.
#[test]
fn the_decoder_does_not_care_how_it_is_cut() {
    let nonce = Nonce::new([0xab; 24]);
    let mark = format!("\x1e{}", "ab".repeat(16));
    let parts = [part("a"), part("b")];
    let out = format!("banner\n{mark} b 0\none\x1e\n{mark} 0 0\n\x1eabab{mark} 1 9\nnoise{mark} end 0\n");
    let err = format!("{mark} b 0\n{mark} 0 0\n{mark} 1 9\n{mark} end 0\n");
    for size in 1..out.len() {
        let mut decoder = Decoder::new(&nonce, &parts);
        for (stderr, text) in [(false, &out), (true, &err)] {
            for piece in text.as_bytes().chunks(size) {
                decoder.feed(stderr, piece, &mut |_| {}).unwrap();
            }
        }
        assert!(decoder.is_complete());
        assert_eq!(decoder.noise(false), b"banner\n");
        let expected = vec![Answer::new(0, "one\x1e\n"), Answer::new(9, "\x1eabab")];
        assert_eq!(decoder.finish(), Outcome::Answered(expected));
    }
}

#[test]
fn the_decoder_refuses_what_it_cannot_understand() {
    let nonce = Nonce::new([0xab; 24]);
    let mark = format!("\x1e{}", "ab".repeat(16));
    let feed = |text: &str| Decoder::new(&nonce, &[part("a")]).feed(false, text.as_bytes(), &mut |_| {});
    assert_eq!(feed(&format!("{mark} 3 0\n")), Err(Garbled::Order));
    assert_eq!(feed(&format!("{mark} what\n")), Err(Garbled::Order));
    assert_eq!(feed(&"x".repeat(NOISE_LIMIT + 1)), Err(Garbled::Noise));
}

#[test]
fn user_names_are_words_everywhere() {
    for name in ["root", "svc_app", "user@example.org", "#1000", "o-k$"] {
        assert!(is_user_name(name), "{name}");
    }
    for name in ["", "-u", "a b", "a'b", "a!b", "a\\b", "$(id)", "a;b", "a\nb"] {
        assert!(!is_user_name(name), "{name}");
    }
}
