//! Hosts that say nothing, too much, or what nobody asked for.

use std::time::Duration;

use super::channel::{Channel, Opening};
use super::decoder::{Decoder, Garbled, NOISE_LIMIT, Outcome};
use super::frames::Nonce;
use super::frames::tests::{ask, open, part};
use super::local::Here;
use super::session::Launch as _;
use super::{Keep, Output, Part, TransportError};
use crate::model::Privilege;

/// A shell that is this program: `$5` is the greeting that is expected of it, and what it reads begins with the line
/// that names the mark.
async fn pretender(program: &str) -> Channel {
    let opening = Opening::new(&Privilege::Login, false).unwrap();
    let mut arguments = opening.arguments();
    arguments[1] = program.to_owned();
    let pipes = Here { shell: "/bin/sh".into() }.launch(&arguments).await.unwrap();
    Channel::open(pipes, opening, None, "run-1", Duration::from_secs(20)).await.unwrap()
}

async fn error_of(program: &str, parts: Vec<Part>) -> TransportError {
    let mut channel = pretender(program).await;
    match ask(&mut channel, parts).await {
        Ok(answers) => panic!("{program}: {answers:?}"),
        Err(error) => error,
    }
}

/// The clock stands still and jumps ahead when nothing else is to come.
#[tokio::test(start_paused = true)]
async fn a_host_whose_shell_says_nothing_is_unreachable() {
    for program in
        ["exec sleep 9", "echo Welcome; exec sleep 9", "cat >/dev/null", "echo \"$5 use\"; exec sleep 9"]
    {
        let error = error_of(program, vec![part("echo never")]).await;
        assert!(matches!(error, TransportError::Unreachable { lost: false, .. }), "{program}: {error:?}");
        let wanted = "the host lets us in, but the login shell did not come up within 20 s";
        assert!(error.to_string().starts_with(wanted), "{error}");
    }
}

#[tokio::test]
async fn what_nobody_asked_for_is_an_error_and_not_kept() {
    let greet = "echo \"$5 user x\"; read -r m t; m=${m#?}; m=$(printf '\\036')$m; say() { echo \"$m $*\"; echo \"$m $*\" >&2; }; ";
    for (program, wanted) in [
        ("yes", "the login shell prints without end"),
        ("exec cat /dev/zero", "the login shell prints without end"),
        ("yes >&2", "the login shell prints without end"),
        ("echo \"$5 user x\"; exec cat /dev/urandom", "the login shell prints without end"),
        ("+say b 0; exec cat /dev/zero", "the host sent more than 16 MiB"),
        ("+say b 0; yes", "the host sent more than 16 MiB"),
        ("+say b 0; printf '%s 0' \"$m\"; exec cat /dev/zero", "answered out of order"),
        ("+say b 0; say 1 0; sleep 9", "answered out of order"),
        ("+say b 0; say 0 0; say 0 0; sleep 9", "answered out of order"),
        ("+say b 0; say 0 0; say 1 0; say 2 0; sleep 9", "answered out of order"),
        ("+say b 0; say 18446744073709551616 0; sleep 9", "answered out of order"),
        ("+say b 0; say b 0; sleep 9", "answered out of order"),
        ("+say b 0; say x0 1; say 0 0; sleep 9", "answered out of order"),
        ("+say 0 0; sleep 9", "answered out of order"),
        ("+say b zero; sleep 9", "answered out of order"),
        ("+say b 0; say; sleep 9", "answered out of order"),
    ] {
        let text =
            program.strip_prefix('+').map_or_else(|| program.to_owned(), |rest| format!("{greet}{rest}"));
        let error = error_of(&text, vec![part("a"), part("b")]).await;
        assert!(error.to_string().contains(wanted), "{program}: {error:?}");
        assert!(!matches!(error, TransportError::Unreachable { .. }), "{program}: {error:?}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_leaves_those_before_it() {
    let mut channel = open("/bin/sh").await;
    let parts = vec![part("echo first"), part("head -c 17000000 /dev/zero"), part("echo third")];
    let error = ask(&mut channel, parts).await.unwrap_err();
    let TransportError::TooMuch { part: 1, answers, message } = error else { panic!("{error:?}") };
    assert_eq!(answers[0].text(), "first");
    assert_eq!(message, "the host sent more than 16 MiB, which is the bound of an answer");
}

#[tokio::test]
async fn of_what_an_action_prints_the_end_is_kept() {
    let mut channel = open("/bin/sh").await;
    let print = "seq 1 3000000; seq 1 300000 >&2; exit 3";
    let parts = vec![
        Part { keep: Keep::ACTION, stream: true, ..part(print) },
        Part { keep: Keep::ACTION, timeout: Some(Duration::from_secs(19)), ..part(print) },
        Part { keep: Keep::CONTENT, ..part("head -c 20000000 /dev/zero") },
        part("echo on"),
    ];
    let mut lines = 0u32;
    let frame = super::Frame { privilege: Privilege::Login, parts, timeout: Duration::from_mins(1) };
    let answers = channel
        .exchange(&frame, &mut |heard| {
            lines += u32::from(matches!(heard, Output::Line { stderr: false, .. }));
        })
        .await
        .unwrap();
    assert_eq!((lines, answers[2].stdout.len(), answers[3].text().as_ref()), (3_000_000, 20_000_000, "on"));
    for answer in &answers[..2] {
        assert_eq!(answer.code, 3);
        for (bytes, last, most) in
            [(&answer.stdout, "3000000", 2 << 20), (&answer.stderr, "300000", 256 << 10)]
        {
            assert!(bytes.len() > most / 2 && bytes.len() < most + 100, "{}", bytes.len());
            let text = String::from_utf8(bytes.clone()).unwrap();
            let mut lines = text.lines();
            let first = lines.next().unwrap();
            let missing: usize = first.split(['(', ' ']).find_map(|word| word.parse().ok()).unwrap();
            assert!(first.ends_with("bytes before this were not kept)"), "{first}");
            // Every byte is there or counted, and the rest is whole lines.
            let whole: usize = (1..=last.parse::<usize>().unwrap()).map(|n| n.to_string().len() + 1).sum();
            assert_eq!(missing + text.len() - first.len() - 1, whole);
            let numbers: Vec<usize> = lines.map(|line| line.parse().unwrap()).collect();
            assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]));
            assert_eq!(numbers.last().unwrap().to_string(), last);
        }
    }
}

/// However it is cut, and with marks that nearly are some.
#[test]
fn an_end_that_is_kept_does_not_depend_on_how_it_came() {
    let nonce = Nonce::new([0xab; 24]);
    let mark = format!("\x1e{}", "ab".repeat(16));
    let parts = [Part { keep: Keep::End(1000), stream: true, ..part("a") }, part("b")];
    let body = "0123456789\n\x1eabababab\x1e\n".repeat(20_000) + "last";
    let out =
        format!("{mark} b 0\n{body}{mark} 0 0\nwhole{mark} 1 0\n{mark} end 0\nnobody asked{mark} 7 7\n");
    let mut all = Vec::new();
    for size in [1, 3, 64, 1000, 65536] {
        let mut decoder = Decoder::new(&nonce, &parts);
        let mut passed = String::new();
        for stderr in [false, true] {
            // What is kept of either is bounded.
            for piece in out.as_bytes().chunks(size) {
                let mut output = |heard: Output<'_>| {
                    if let Output::Line { part: 0, stderr: false, line } = heard {
                        passed.extend([line, "\n"]);
                    }
                };
                decoder.feed(stderr, piece, &mut output).unwrap();
            }
        }
        assert_eq!(passed.trim_end(), body, "{size}");
        let Outcome::Answered(answers) = decoder.finish() else { panic!("{size}") };
        assert_eq!(answers[1].stdout, b"whole");
        all.push(answers[0].text().into_owned());
    }
    assert!(all.iter().all(|text| *text == all[0]), "{:?}", all.iter().map(String::len).collect::<Vec<_>>());
    assert!(all[0].starts_with("... (") && all[0].ends_with("\nlast"), "{}", all[0]);
}

#[test]
fn many_small_answers_have_a_bound_together() {
    let nonce = Nonce::new([0xab; 24]);
    let mark = format!("\x1e{}", "ab".repeat(16));
    let parts = vec![part("a"); 100];
    for (stderr, wanted) in [(false, 32), (true, 8)] {
        let mut decoder = Decoder::new(&nonce, &parts);
        let mut feed = |text: &str| decoder.feed(stderr, text.as_bytes(), &mut |_| {});
        feed(&format!("{mark} b 0\n")).unwrap();
        let sent = (0..100).find_map(|n| {
            feed(&"x".repeat(1 << 20)).and_then(|()| feed(&format!("{mark} {n} 0\n"))).err().map(|e| (n, e))
        });
        let (n, error) = sent.unwrap();
        assert_eq!(error, Garbled::TooMuch(wanted << 20));
        assert!(n >= 31, "{n}");
    }
    let mut decoder = Decoder::new(&nonce, &parts);
    assert_eq!(decoder.feed(true, &vec![0; NOISE_LIMIT + 1], &mut |_| {}), Err(Garbled::Noise));
}

/// What a host may send of a frame: text, and marks that are right, wrong, cut off or out of order.
fn pieces() -> impl proptest::strategy::Strategy<Value = Vec<(bool, Vec<u8>)>> {
    use proptest::prelude::*;
    let mark = format!("\x1e{}", "ab".repeat(16));
    let word = prop_oneof![
        Just("b".to_owned()),
        Just("end".to_owned()),
        (0..5_u32).prop_map(|n| n.to_string()),
        (0..5_u32).prop_map(|n| format!("x{n}")),
        "[a-z0-9 -]{0,70}",
    ];
    let code = prop_oneof![Just("0".to_owned()), Just("124".to_owned()), "[0-9-]{0,12}"];
    let whole = (word, code).prop_map(move |(word, code)| format!("{mark} {word} {code}\n").into_bytes());
    let cut = (whole.clone(), 0..60_usize).prop_map(|(text, n)| text[..n.min(text.len())].to_vec());
    let text = proptest::collection::vec(any::<u8>(), 0..40);
    let lines = "[a-z\n]{0,40}".prop_map(String::into_bytes);
    let piece = prop_oneof![6 => whole, 1 => cut, 1 => text, 2 => lines];
    proptest::collection::vec((any::<bool>(), piece), 0..24)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        failure_persistence: None,
        cases: std::env::var("FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000),
        ..proptest::prelude::ProptestConfig::default()
    })]

    /// An error or answers, but no panic, and no more answers than were asked for; both however it is cut.
    #[test]
    fn whatever_a_host_sends_is_read_or_refused(pieces in pieces(), size in 1..50_usize) {
        let nonce = Nonce::new([0xab; 24]);
        let parts = [
            Part { stop_on_failure: true, stream: true, ..part("a") },
            Part { keep: Keep::End(20), stream: true, ..part("b") },
            Part { keep: Keep::All(30), ..part("c") },
        ];
        let mut said: Vec<String> = Vec::new();
        for size in [size, usize::MAX] {
            let mut decoder = Decoder::new(&nonce, &parts);
            let mut error = None;
            for (stderr, bytes) in &pieces {
                for bytes in bytes.chunks(size.min(bytes.len().max(1))) {
                    if error.is_none() {
                        error = decoder.feed(*stderr, bytes, &mut |heard| assert!(heard.part() < parts.len())).err();
                    }
                }
            }
            if error.is_none() && decoder.is_complete() {
                let outcome = decoder.finish();
                if let Outcome::Answered(answers) | Outcome::TimedOut { answers, .. } = &outcome {
                    proptest::prop_assert!(answers.len() <= parts.len());
                }
                said.push(format!("{outcome:?}"));
            } else {
                let (_, answers) = decoder.so_far();
                proptest::prop_assert!(answers.len() <= parts.len());
                said.push(format!("{error:?}"));
            }
        }
        proptest::prop_assert_eq!(&said[0], &said[1]);
    }
}
