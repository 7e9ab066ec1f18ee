//! Answers that no host should give: those of every case, cut, doubled, mixed and garbled. A kind may say of one what it
//! likes, but it does not panic, does not hang, and says the same of the same answer twice.
//!
//! `FUZZ_SECONDS=600 cargo test --test suite -- fuzz` goes on for so long; `FUZZ_SEED` begins elsewhere. What it finds
//! becomes a case in `tests/steps`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hostwright::config::{Environment, Options, document, load};
use hostwright::diagnostic::Severity;
use hostwright::model::value::Value as TomlValue;
use hostwright::model::{Known, Privilege};
use hostwright::probe::{Answer, Answers};
use hostwright::step::Step;

use super::config::Memory;
use super::steps::{cases, expect, in_order, parse_step, role, said};

/// xorshift64*: the same numbers for the same seed, everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A number in the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
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
    crate::figures::tell(&format!("{checks} answers of {} cases", seeds.len()));
}

/// The bundled playbooks and the inventory of the lab, by name.
fn bundled() -> Memory {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut memory = Memory::default();
    for folder in ["playbooks", "playbooks/ops", "playbooks/variants"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                memory.files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    for name in ["REDIS_PASSWORD", "PORTAINER_PASSWORD"] {
        memory.variables.insert(name.into(), "a long enough secret".into());
    }
    let inventory = std::fs::read(root.join("tests/lab/inventory.toml")).unwrap();
    memory.files.insert("inventory.toml".into(), inventory);
    memory
}

/// Reads a fleet and its playbooks, renders each step for each host, and says what was wrong.
fn loaded(memory: Memory) -> (usize, Vec<String>) {
    let playbooks = memory.files.keys().filter(|name| name.starts_with("playbooks/"));
    let options = Options {
        inventory: "inventory.toml".into(),
        playbooks: playbooks.map(Into::into).collect(),
        ..Options::default()
    };
    let environment: Arc<dyn Environment> = Arc::new(memory);
    let loaded = load(&options, &environment);
    // What is no text at all has no place in it; then its file is named.
    let wrong = loaded.diagnostics.iter().filter(|d| d.severity == Severity::Error && d.span.is_none());
    let nowhere = wrong.map(|d| d.message.clone()).filter(|m| !m.contains(".toml")).collect();
    let mut rendered = 0;
    if let Some(run) = &loaded.run {
        for play in &run.plays {
            for (step, &host) in play.steps.iter().flat_map(|step| play.hosts.iter().map(move |h| (step, h)))
            {
                // Whether it can be rendered without facts is not the question.
                let _ = step.resolve(&run.hosts[host], &Known::default());
                rendered += 1;
            }
        }
    }
    (rendered, nowhere)
}

/// Files of a user that nobody should write: every mistake in them is an error with its place.
#[test]
fn no_file_of_a_user_makes_the_loader_panic() {
    let until = number("FUZZ_SECONDS").map(|s| Instant::now() + Duration::from_secs(s));
    let mut random = Random(number("FUZZ_SEED").unwrap_or(0x9E37_79B9_7F4A_7C15) | 1);
    let names: Vec<String> = bundled().files.keys().cloned().collect();
    let (whole, nowhere) = loaded(bundled());
    assert!(whole > 50 && nowhere.is_empty(), "{whole} {nowhere:?}");
    let (mut loads, mut runs) = (0, 0);
    while loads < 60 || until.is_some_and(|until| Instant::now() < until) {
        let state = random.0;
        let mut memory = bundled();
        let (name, other) = (random.pick(&names), random.pick(&names));
        let text = garbled(&memory.files[name], &memory.files[other], &mut random);
        let told = format!("FUZZ_SEED={state}, {name}:\n{}", String::from_utf8_lossy(&text));
        memory.files.insert(name.clone(), text);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| loaded(memory)));
        let (rendered, nowhere) = outcome.unwrap_or_else(|_| panic!("{told}"));
        assert!(nowhere.is_empty(), "without a place: {nowhere:?}: {told}");
        loads += 1;
        runs += usize::from(rendered > 0);
    }
    crate::figures::tell(&format!(
        "{loads} garbled inventories and playbooks, {runs} of them could be read: no panic, no error without a place"
    ));
}
