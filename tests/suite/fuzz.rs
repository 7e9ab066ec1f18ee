//! Answers that no host should give: those of every case, cut, doubled, mixed and garbled. A kind may say of one what it
//! likes, but it does not panic, does not hang, and says the same of the same answer twice.
//!
//! `FUZZ_SECONDS=600 cargo test --test suite -- fuzz` goes on for so long; `FUZZ_SEED` begins elsewhere. What it finds
//! becomes a case in `tests/steps`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hostwright::config::document;
use hostwright::model::Privilege;
use hostwright::model::value::Value as TomlValue;
use hostwright::probe::{Answer, Answers};
use hostwright::step::Step;

use super::steps::{cases, expect, in_order, parse_step, role, said};

/// xorshift64*: the same numbers for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Pieces on which parsers stumble.
const PIECES: &[&[u8]] = &[
    b"",
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"|",
    b":",
    b"=",
    b",",
    b"\"",
    b"\\",
    b"\\040",
    b"\\x",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"18446744073709551616",
    b"99999999999999999999999999999999",
    b"1e999",
    b"%s%n",
    b"\xff\xfe",
    b"\xf0\x9f\x92\xa3",
    b"\xe2\x80\xae",
    b"\x1b[31m",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"Content-Length: 99999999999\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n",
];

/// One to four changes of `text`; what comes from elsewhere is a piece of `other`.
fn garbled(text: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        let to = at + random.below((text.len() - at).min(64) + 1);
        match random.below(7) {
            0 => text.truncate(at),
            1 => drop(text.drain(at..to)),
            2 => drop(text.splice(at..to, random.pick(PIECES).iter().copied())),
            3 => {
                let twice = text[at..to].to_vec();
                drop(text.splice(at..at, twice));
            }
            4 => {
                let from = random.below(other.len() + 1);
                let till = from + random.below((other.len() - from).min(200) + 1);
                drop(text.splice(at..to, other[from..till].iter().copied()));
            }
            5 => {
                if let Some(byte) = text.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            _ => {
                let mut lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
                let (a, b) = (random.below(lines.len()), random.below(lines.len()));
                if !lines.is_empty() {
                    lines.swap(a, b);
                }
                text = lines.concat();
            }
        }
    }
    text
}

/// A case that has a step and answers.
struct Seed {
    name: String,
    step: Arc<dyn Step>,
    given: Vec<Answer>,
    expected: Answers,
}

fn seeds() -> Vec<Seed> {
    let seed = |path: &Path| {
        let folder = path.parent()?;
        let kind = folder.file_name()?.to_str()?;
        let (case, _) = document::parse(&std::fs::read_to_string(path).ok()?);
        let step = parse_step(kind, case.entry(kind)?.1, folder, role(&case)).ok()?;
        let TomlValue::Array(answers) = &case.entry("answer")?.1.value else { return None };
        let given = in_order(path, &step.probes(), answers).into_iter().map(said).collect();
        let mut expected = Answers::default();
        if let Some(TomlValue::Table(entries)) = case.entry("expected").map(|(_, n)| &n.value) {
            for (key, value) in entries.iter().filter(|(key, _)| key.name != "verdict") {
                expect(&mut expected, &key.name, value);
            }
        }
        Some(Seed { name: format!("{}", path.display()), step, given, expected })
    };
    cases().iter().filter_map(|path| seed(path)).collect()
}

/// What a kind says of these answers, twice.
fn said_of(seed: &mut Seed, answers: &[Answer]) -> [String; 2] {
    for (probe, answer) in seed.step.probes().iter().zip(answers) {
        seed.expected.insert(probe, &Privilege::Login, answer.clone());
    }
    let view = || seed.expected.seen_with(&Privilege::Login);
    let said = || format!("{:?}{:?}", seed.step.check(&view()), seed.step.on_notify(&view()));
    [said(), said()]
}

#[test]
fn no_answer_of_a_host_makes_a_kind_panic() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let mut seeds = seeds();
    assert!(seeds.len() > 500, "{} cases with answers", seeds.len());
    let texts: Vec<Vec<u8>> = seeds.iter().flat_map(|s| &s.given).map(|a| a.stdout.clone()).collect();
    let until = number("FUZZ_SECONDS").map(|s| Instant::now() + Duration::from_secs(s));
    let mut random = Random(number("FUZZ_SEED").unwrap_or(0x9E37_79B9_7F4A_7C15) | 1);
    let mut rounds = 0;
    let mut checks = 0_u64;
    while rounds < 4 || until.is_some_and(|until| Instant::now() < until) {
        rounds += 1;
        for seed in &mut seeds {
            let mut answers = seed.given.clone();
            let n = random.below(answers.len());
            let state = random.0;
            let other = random.pick(&texts);
            answers[n].stdout = garbled(&answers[n].stdout, other, &mut random);
            if random.below(8) == 0 {
                answers[n].code = *random.pick(&[0, 1, 2, 3, 124, 127, 137, 255, -1]);
            }
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| said_of(seed, &answers)));
            let told = || {
                let text = String::from_utf8_lossy(&answers[n].stdout).into_owned();
                format!("{}, FUZZ_SEED={state}: code {}, {text:?}", seed.name, answers[n].code)
            };
            let [once, again] = outcome.unwrap_or_else(|_| panic!("{}", told()));
            assert_eq!(once, again, "{}", told());
            checks += 1;
        }
    }
    println!("{checks} answers of {} cases", seeds.len());
}
