//! Runs of programs: `tests/programs/PROGRAM.toml` holds, for one program, what it is given, what tools say, and what
//! comes of it. Each run has a root of its own, a copy of this machine's that is thrown away, in name spaces of its own.
//!
//! Keys of a file: `except = { busybox = "why" }` leaves out a set of tools ([`SETS`]). Keys of a `[[run]]`, all but
//! `name` optional:
//! - `name`: what is shown by it;
//! - `variables`: a table; lists are arrays, what is not there is empty;
//! - `before`: shell code that prepares the root;
//! - `mountinfo`: what the program reads in place of /proc/self/mountinfo;
//! - `tools`: a table of fake tools, each the body of a shell script that stands in front of the real one;
//! - `payload`: what is on file descriptor 3; 9, which is for the lock of a host, can be locked;
//! - `code` (0): the exit code; `stdout`: all of it, without blanks at its end; `stderr`: a part of it;
//! - `mask`: a regular expression; what it finds in the standard output differs from run to run, and is shown as `#`;
//! - `calls`: what the fake tools were called with, a line each;
//! - `after`: a table of paths and their content in the end, `false` for none;
//! - `holds`: shell code that succeeds in the end;
//! - `except`: as for the file.
//!
//! A program whose name begins with `ask_` must leave the root as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hostwright::program::{Flag, Program, Sort as _, Value};
use hostwright::shell::{Script, quote};
use serde::Deserialize;

use super::programs::programs;
use super::real_files::is_root;

/// Shells and tools that hosts have: a name, the shell, and where its tools are, in front of the usual ones.
const SETS: &[(&str, &[&str], Option<&str>)] = &[
    ("dash", &["dash"], None),
    ("bash", &["bash", "--posix"], None),
    ("busybox", &["busybox", "sh"], Some("busybox")),
    ("uutils", &["dash"], Some("coreutils")),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    except: BTreeMap<String, String>,
    run: Vec<Run>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    name: String,
    #[serde(default)]
    variables: BTreeMap<String, toml::Value>,
    #[serde(default)]
    before: String,
    #[serde(default)]
    mountinfo: String,
    #[serde(default)]
    tools: BTreeMap<String, String>,
    #[serde(default)]
    payload: String,
    #[serde(default)]
    code: i32,
    stdout: Option<String>,
    mask: Option<String>,
    #[serde(default)]
    stderr: String,
    calls: Option<String>,
    #[serde(default)]
    after: BTreeMap<String, toml::Value>,
    #[serde(default)]
    holds: String,
    #[serde(default)]
    except: BTreeMap<String, String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs")
}

fn cases() -> BTreeMap<String, Case> {
    let files = std::fs::read_dir(folder()).unwrap().map(|f| f.unwrap().path());
    let case = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let case = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), case)
    };
    files.filter(|path| path.extension().is_some_and(|e| e == "toml")).map(case).collect()
}

#[test]
fn every_program_is_run_and_fails_at_least_once() {
    let cases = cases();
    let known: BTreeSet<String> =
        programs().keys().map(|name| name.trim_end_matches(".sh").to_owned()).collect();
    let strange: Vec<_> = cases.keys().filter(|name| !known.contains(*name)).collect();
    assert!(strange.is_empty(), "tests/programs has files of no program: {strange:?}");
    let mut poor = Vec::new();
    for name in &known {
        let codes: Vec<i32> =
            cases.get(name).map(|c| c.run.iter().map(|r| r.code).collect()).unwrap_or_default();
        // What asks has an answer for everything, but there is more than one.
        let enough = if name.starts_with("ask_") { codes.len() > 1 } else { codes.iter().any(|c| *c != 0) };
        if !enough || !codes.contains(&0) {
            poor.push(format!("tests/programs/{name}.toml: exit codes {codes:?}"));
        }
    }
    assert!(poor.is_empty(), "these want a run that succeeds and one that fails:\n{}", poor.join("\n"));
}

#[test]
fn programs_do_what_their_runs_say() {
    if !is_root() {
        assert!(std::env::var_os("CI").is_none(), "this wants to be root");
        eprintln!("skipped: this wants to be root, for name spaces and a root of its own");
        return;
    }
    let only = std::env::var("PROGRAM").ok();
    let cases = cases();
    let mut runs = Vec::new();
    for (name, case) in &cases {
        let Some(program) = programs().get(format!("{name}.sh").as_str()).copied() else { continue };
        for set in SETS {
            let runs_of = case.run.iter().filter(|r| !r.except.contains_key(set.0));
            if !case.except.contains_key(set.0) && only.as_ref().is_none_or(|only| name.contains(only)) {
                runs.extend(runs_of.clone().map(|run| (program, run, set, "")));
                // What is asked alone and what is asked with others has the same answer.
                if name == "ask_path" {
                    runs.extend(runs_of.map(|run| (program, run, set, " (looked at ahead)")));
                }
            }
        }
    }
    let tools = tempfile::tempdir().unwrap();
    let missing: Vec<&str> =
        SETS.iter().filter_map(|set| set.2).filter(|set| !tool_set(tools.path(), set)).collect();
    assert!(
        missing.is_empty() || std::env::var_os("CI").is_none(),
        "{missing:?} are missing: tests/setup installs them"
    );
    if !missing.is_empty() {
        eprintln!("skipped: runs with the tools of {missing:?}, which are not here");
    }
    runs.retain(|(_, _, set, _)| set.2.is_none_or(|tools| !missing.contains(&tools)));
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((program, run, set, ahead)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = perform(program, run, (set, !ahead.is_empty()), tools.path()) {
                        let title = format!("{} with {}: {}{ahead}", program.text.name(), set.0, run.name);
                        failures.lock().unwrap().push(format!("{title}\n  {}", why.replace('\n', "\n  ")));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} runs:\n{}", failures.len(), runs.len(), failures.join("\n"));
}

/// Makes a folder with a link for each tool of a program that is many tools; returns whether there is one.
fn tool_set(folder: &Path, name: &str) -> bool {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin").join(name);
    let path = [own, Path::new("/usr/bin").join(name)].into_iter().find(|path| path.exists());
    let Some(path) = path else { return false };
    let Ok(list) = Command::new(&path).arg("--list").output() else { return false };
    let folder = folder.join(name);
    std::fs::create_dir(&folder).unwrap();
    // Inside the root of a run it is a file of its own.
    std::fs::copy(&path, folder.join(format!(".{name}"))).unwrap();
    for tool in String::from_utf8(list.stdout).unwrap().split_whitespace().filter(|t| !t.contains(['[', '/']))
    {
        // Those keep what they are: the real file systems and accounts of this machine are none of theirs.
        std::os::unix::fs::symlink(format!(".{name}"), folder.join(tool)).unwrap();
    }
    true
}

fn value(sort: &toml::Value) -> Value {
    match sort {
        toml::Value::String(text) => Value::Plain(text.clone()),
        toml::Value::Integer(number) => Value::Plain(number.to_string()),
        toml::Value::Boolean(flag) => Flag::value(flag),
        toml::Value::Array(words) => {
            let words: Vec<String> = words.iter().map(|w| quote(w.as_str().unwrap())).collect();
            Value::Plain(words.join(" "))
        }
        other => panic!("{other:?} is no value of a variable"),
    }
}

/// In a private copy of the root. The last line tells how it went to who reads the results.
const STAGE: &str = r#"
set -e
w=$1/w r=$1
mkdir "$w"
mount -t tmpfs tmpfs "$w"
mkdir "$w/upper" "$w/work" "$w/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$w/upper,workdir=$w/work" "$w/root"
mount -t proc proc "$w/root/proc"
mount --rbind /dev "$w/root/dev"
mount -t tmpfs tmpfs "$w/root/run"
mount -t tmpfs tmpfs "$w/root/tmp"
mkdir "$w/root/run/fake" "$w/root/run/tools"
[ -z "$2" ] || mount --bind "$2" "$w/root/run/tools"
cp "$r"/tools/* "$w/root/run/fake/" 2>/dev/null || :
cp "$r/program" "$w/root/run/.program"
: >"$w/root/run/.calls"
chmod 666 "$w/root/run/.calls"
in_root() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root HW_RUN_ID=run1 chroot "$w/root" "$@"; }
state() {
  cd "$w/upper"
  find . -printf '%P|%y|%m|%U:%G|%l\n' | sort
  find . -type f -exec sha256sum {} + | sort
  cd /
}
# Others make accounts on this machine meanwhile: what is written to is a copy.
in_root touch /etc/passwd /etc/shadow /etc/group /etc/gshadow
in_root sh -e <"$r/before" >"$r/before.out" 2>&1 || { echo "its \`before\` fails:"; cat "$r/before.out"; exit 9; }
state >"$r/state.before"
code=0
shift 2
in_root env PATH=/run/fake:/run/tools:/usr/sbin:/usr/bin:/sbin:/bin "$@" /run/.program \
  <"/dev/null" 3<"$r/payload" 9<"$r/payload" >"$r/stdout" 2>"$r/stderr" || code=$?
echo "$code" >"$r/code"
state >"$r/state.after"
cp "$w/root/run/.calls" "$r/calls"
n=0
while read -r path; do
  n=$((n + 1))
  if in_root test -e "$path" || in_root test -L "$path"; then in_root cat -- "$path" >"$r/after.$n" || :; fi
done <"$r/paths"
in_root sh -e <"$r/holds" >"$r/holds.out" 2>&1 || { echo "it does not hold:"; cat "$r/holds.out"; }
"#;

/// What a frame does before its questions about paths, where there are several of them.
fn look_ahead(run: &Run) -> String {
    let value = |name: &str| run.variables.get(name).map(ToString::to_string).unwrap_or_default();
    let path = run.variables["path"].as_str().unwrap();
    let mut words = match value("depth").trim_matches('"') {
        "digest" => format!("{}:-1", value("limit")),
        "differing" => format!("{}:{}", value("limit"), value("size")),
        _ => "-1:-1".to_owned(),
    };
    words += if value("follow") == "true" { " /" } else { "@ /" };
    let folders = path.match_indices('/').skip(1).map(|(at, _)| &path[..at]);
    for word in folders.chain([path]) {
        write!(words, " {}", quote(word)).unwrap();
    }
    let library = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/step/family").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let files = ["escape.sh", "path/network.sh", "path/far.sh", "path/look_ahead.sh"].map(library).join("\n");
    format!(
        "set -- 0 1:0 / /etc /etc/passwd '' {words} '' -1:-1 / /etc '' -1:-1 / /nowhere /nowhere/x ''\n\
         {{\n{files}\n}} >/dev/null 2>&1\nset --\nhw_foreseen=${{hw_ahead_1-}}\n\
         [ -n \"${{hw_ahead_0-}}\" ] && [ -n \"${{hw_ahead_2-}}\" ] && [ -z \"${{hw_ahead_3-}}\" ] || echo not looked at\n"
    )
}

fn perform(
    program: &'static Program,
    run: &Run,
    ((_, shell, tools), ahead): (&(&str, &[&str], Option<&str>), bool),
    tool_sets: &Path,
) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let put = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
    let strange = run.variables.keys().find(|name| !program.variables.contains(&name.as_str()));
    assert!(strange.is_none(), "{}: {}: no variable {strange:?}", program.text.name(), run.name);
    let none = || Value::Plain(String::new());
    let values =
        program.variables.iter().map(|name| run.variables.get(*name).map_or_else(none, value)).collect();
    let mut text = Script::call(program, values).render();
    if ahead {
        text.insert_str(0, &look_ahead(run));
    }
    if run.mountinfo.is_empty() {
        put("program", &text);
        put("before", &run.before);
    } else {
        put("program", &text.replace("/proc/self/mountinfo", "/run/mountinfo"));
        put("before", &format!("printf %s {} >/run/mountinfo\n{}", quote(&run.mountinfo), run.before));
    }
    put("holds", &run.holds);
    put("payload", &run.payload);
    put("paths", &run.after.keys().flat_map(|path| [path.as_str(), "\n"]).collect::<String>());
    std::fs::create_dir(at("tools")).unwrap();
    for (name, body) in &run.tools {
        let path = at("tools").join(name);
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"${{0##*/}} $*\" >>/run/.calls\n{body}\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let set = tools.map(|name| tool_sets.join(name).display().to_string()).unwrap_or_default();
    let out = Command::new("unshare")
        .args([
            "--mount",
            "--uts",
            "--net",
            "--pid",
            "--fork",
            "--propagation",
            "private",
            "sh",
            "-c",
            STAGE,
            "stage",
        ])
        .arg(folder.path())
        .arg(set)
        .args(*shell)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let read = |name: &str| std::fs::read_to_string(at(name)).unwrap_or_default();
    let (said, complained) = (read("stdout"), read("stderr"));
    let mut wrong = String::new();
    let mut expect = |what: &str, wanted: &str, actual: &str| {
        let plain = |text: &str| text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        if plain(wanted) != plain(actual) {
            writeln!(wrong, "{what}: wanted\n{}\nbut it is\n{}", wanted.trim_end(), actual.trim_end())
                .unwrap();
        }
    };
    expect(
        "the stage",
        "",
        &format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)),
    );
    expect("exit code", &run.code.to_string(), &read("code"));
    if let Some(stdout) = &run.stdout {
        let mask = run.mask.as_ref().map(|mask| regex::Regex::new(mask).unwrap());
        let masked = mask.map_or_else(|| said.clone(), |mask| mask.replace_all(&said, "#").into_owned());
        expect("stdout", stdout, &masked);
    }
    if let Some(calls) = &run.calls {
        expect("calls", calls, &read("calls"));
    }
    if !complained.contains(run.stderr.trim_end()) {
        expect("stderr: a part", &run.stderr, &complained);
    }
    if program.text.name().starts_with("ask_") {
        expect("what it must not change", &read("state.before"), &read("state.after"));
    }
    for (n, (path, content)) in run.after.iter().enumerate() {
        let actual = std::fs::read_to_string(at(&format!("after.{}", n + 1))).ok();
        match content {
            toml::Value::String(wanted) => expect(path, wanted, actual.as_deref().unwrap_or("(nothing)")),
            _ => expect(path, "(nothing)", actual.as_deref().unwrap_or("(nothing)")),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong}stdout: {said}\nstderr: {complained}")) }
}
