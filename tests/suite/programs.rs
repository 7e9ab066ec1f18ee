//! What is true of every program that runs on hosts: its header, its variables, its syntax, and what a linter says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hostwright::program::{Library, Program, Text};
use hostwright::step::KINDS;

use super::real_files::Bench;

/// Every program, by the name of its file.
pub(crate) fn programs() -> BTreeMap<&'static str, &'static Program> {
    let kinds = KINDS.iter().flat_map(|kind| kind.programs).copied().flatten();
    let kinds = kinds.chain(hostwright::facts::PROGRAMS).chain(hostwright::engine::PROGRAMS);
    let kinds = kinds.chain(hostwright::transport::PROGRAMS.iter().copied().flatten().copied().flatten());
    let mut programs = BTreeMap::new();
    for handle in kinds {
        let program = handle();
        let other = programs.insert(program.text.name(), program);
        assert!(other.is_none_or(|other| other.text == program.text), "two files {}", program.text.name());
    }
    assert!(!programs.is_empty());
    programs
}

/// Every library, by the name of its file.
fn libraries() -> BTreeMap<&'static str, &'static Library> {
    fn add(uses: &'static [&'static Library], found: &mut BTreeMap<&'static str, &'static Library>) {
        for library in uses {
            add(library.uses, found);
            let other = found.insert(library.text.name(), library);
            assert!(other.is_none_or(|other| other == *library), "two files {}", library.text.name());
        }
    }
    let mut found = BTreeMap::new();
    for program in programs().values() {
        add(program.uses, &mut found);
    }
    // What probes have found out ahead.
    let step = Bench::new("dash").step(r#"link = { path = "/x", target = "y" }"#);
    let ahead = step.probes().into_iter().find_map(|probe| probe.ahead).unwrap();
    add(vec![ahead.library].leak(), &mut found);
    found
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "sh") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_is_a_program_of_a_kind_or_a_library_of_one() {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let known: BTreeMap<&str, &Text> = programs()
        .values()
        .map(|p| (p.text.name(), &p.text))
        .chain(libraries().values().map(|l| (l.text.name(), &l.text)))
        .collect();
    assert!(found.len() >= known.len());
    for path in found {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = known.get(name).unwrap_or_else(|| panic!("{} is in no `PROGRAMS`", path.display()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text.source(), "{}", path.display());
    }
}

/// The names below `# Variables:` of a header.
fn documented(source: &str) -> Option<Vec<&str>> {
    let mut lines = source.lines().skip_while(|line| !line.starts_with("# Variables"));
    if lines.next()? == "# Variables: none" {
        return Some(Vec::new());
    }
    let lines = lines.take_while(|line| line.starts_with("#   "));
    Some(
        lines
            .filter_map(|line| line.strip_prefix("#   "))
            .filter(|l| !l.starts_with(' '))
            .filter_map(|l| l.split(' ').next())
            .collect(),
    )
}

#[test]
fn every_header_tells_what_one_has_to_know() {
    for (name, program) in programs() {
        let source = program.text.source();
        source
            .strip_prefix("#!/bin/sh\n# ")
            .unwrap_or_else(|| panic!("{name}: begins with #!/bin/sh and what it does"));
        let header: Vec<&str> = source.lines().skip(1).take_while(|line| line.starts_with('#')).collect();
        for part in ["# Prints: ", "# Exit codes: ", "# Relies on: "] {
            assert!(header.iter().any(|line| line.starts_with(part)), "{name}: its header lacks {part:?}");
        }
        let variables =
            documented(source).unwrap_or_else(|| panic!("{name}: its header lacks `# Variables:`"));
        assert_eq!(variables, program.variables, "{name}: the variables of its header and of its type");
        for variable in program.variables {
            let plain = variable.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            assert!(plain && !variable.starts_with("hw_"), "{name}: {variable}");
        }
        for library in program.texts() {
            let says = header.iter().any(|line| line.contains(library.name()));
            assert!(says || library.name() == name, "{name}: its header does not name {}", library.name());
        }
        // What is no comment in a host's eyes would be cut from a text that goes on over several lines.
        let within = |line: &&str| line.trim_start().starts_with("#!");
        assert_eq!(source.lines().filter(within).count(), 1, "{name}");
    }
    for (name, library) in libraries() {
        assert!(library.text.source().starts_with("# "), "{name}: a library begins with what it does");
    }
}

/// The whole program as a linter should see it: with variables that are set, in a file of which each line is one of ours.
fn whole(program: &'static Program) -> String {
    let mut out = "#!/bin/sh\nHW_RUN_ID=run\n".to_owned();
    for variable in program.variables {
        writeln!(out, "{variable}=$(cat)").unwrap();
    }
    for text in program.texts() {
        writeln!(out, "# == {}\n{}", text.name(), text.source()).unwrap();
    }
    out
}

#[test]
fn every_shell_understands_them() {
    for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
        for (name, program) in programs() {
            let texts: String = program.texts().iter().map(|text| text.lean()).collect();
            for text in [whole(program), texts] {
                let mut child = Command::new(shell[0])
                    .args(&shell[1..])
                    .arg("-n")
                    .stdin(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap_or_else(|e| panic!("{}: {e}: tests/setup installs it", shell[0]));
                child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
                let out = child.wait_with_output().unwrap();
                assert!(out.status.success() && out.stderr.is_empty(), "{shell:?} {name}: {out:?}");
            }
        }
    }
}

#[test]
fn a_linter_finds_nothing() {
    if Command::new("shellcheck").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "shellcheck is missing: tests/setup installs it");
        eprintln!("skipped: there is no shellcheck");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("shellcheck");
    // SC2317: not every program calls all functions of its libraries. SC2034: nor looks at all they leave.
    // SC2015: `A && B || C` is meant as it is written: C unless both hold.
    command
        .args(["--shell=sh", "--format=gcc", "--exclude=SC2317,SC2034,SC2015", "--"])
        .current_dir(folder.path());
    for (name, program) in programs() {
        std::fs::write(folder.path().join(name), whole(program)).unwrap();
        command.arg(name);
    }
    let out = command.output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    let mut found: Vec<String> = said.lines().map(place).collect();
    found.sort();
    found.dedup();
    assert!(out.status.success(), "\n{}", found.join("\n"));
}

/// `PROGRAM:LINE:COLUMN: WHAT` with the file and its line.
fn place(line: &str) -> String {
    let parts: Vec<&str> = line.splitn(3, ':').collect();
    let [name, number, what] = parts[..] else { return line.to_owned() };
    let (Some(program), Ok(number)) = (programs().get(name).copied(), number.parse::<usize>()) else {
        return line.to_owned();
    };
    let text = whole(program);
    let before: Vec<&str> = text.lines().take(number).collect();
    let begins = before.iter().rposition(|line| line.starts_with("# == "));
    match begins {
        Some(n) => format!("{}:{}:{what}", before[n].trim_start_matches("# == "), number - n - 1),
        None => line.to_owned(),
    }
}
