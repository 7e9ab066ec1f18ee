//! Steps on a real file system: the rendered probes and actions run in `sh` and `bash`, as they do on a host.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use hostwright::config::document;
use hostwright::model::digest::sha256;
use hostwright::model::value::Value as TomlValue;
use hostwright::model::{Host, HostName, Hosts, Login, Place, Privilege};
use hostwright::probe::{Answer, Answers, CheckError};
use hostwright::step::{self, Change, Context, Problem, Step, Then, Value, Verdict};

/// The shells that hosts have as `sh`: dash on Debian, bash on CentOS.
pub(crate) const SHELLS: [&str; 2] = ["dash", "bash"];

/// Where programs are on a host.
pub(crate) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What the scripts need of the host's coreutils.
pub(crate) const COREUTILS: [&str; 16] = [
    "cat",
    "chmod",
    "chown",
    "cp",
    "dd",
    "env",
    "head",
    "ln",
    "mkdir",
    "mktemp",
    "mv",
    "readlink",
    "rm",
    "rmdir",
    "sha256sum",
    "stat",
];

/// A controller's folder, a host's folder, and the host's shell.
pub(crate) struct Bench {
    shell: &'static str,
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new(shell: &'static str) -> Self {
        let bench = Self { shell, folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(bench.folder.path().join("host")).unwrap();
        std::fs::create_dir(bench.folder.path().join("controller")).unwrap();
        bench
    }

    /// A path on the host.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("host").join(name)
    }

    pub(crate) fn local(&self, name: &str) -> PathBuf {
        self.folder.path().join("controller").join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.at(name), content).unwrap();
        self.at(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.at(name)).unwrap()).into_owned()
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.at(name)).unwrap().permissions().mode() & 0o7777
    }

    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.at(name))
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Reads `KIND = VALUE`; `@` in it stands for the host's folder.
    pub(crate) fn try_step(&self, text: &str) -> Result<Arc<dyn Step>, Vec<Problem>> {
        let host = self.at("");
        let (node, malformed) =
            document::parse(&text.replace('@', host.to_str().unwrap().trim_end_matches('/')));
        assert!(malformed.is_empty(), "{text}: {malformed:?}");
        let TomlValue::Table(entries) = &node.value else { unreachable!() };
        let (key, value) = &entries[0];
        let kind = step::kind(&key.name).unwrap();
        let value = match (&value.value, kind.shorthand) {
            (TomlValue::Table(_), _) | (_, None) => value.clone(),
            (_, Some(short)) => hostwright::model::value::Node::wrapped(short, value.clone()),
        };
        let host = Arc::new(Host {
            name: HostName::new("worker-01").unwrap(),
            login: Login { address: "127.0.0.1".into(), ..Login::default() },
            groups: Vec::new(),
            vars: Arc::default(),
            place: Place { file: "inventory.toml".into(), line: 1, column: 1 },
        });
        let inventory = Hosts::new(vec![Arc::clone(&host)]);
        let read = |path: &str| {
            std::fs::read(self.local(path)).map(Arc::from).map_err(|_| "no such file".to_owned())
        };
        let render = |_: &str, text: &str| Ok(text.replace("{{ host.name }}", "worker-01"));
        let context = Context {
            host: &|| &host,
            inventory: &inventory,
            read: &read,
            locate: &|path| PathBuf::from(path),
            render: &render,
            holds_secret: &|| false,
            role: step::Role::InOrder,
        };
        (kind.parse)(&value, &context)
    }

    pub(crate) fn step(&self, text: &str) -> Arc<dyn Step> {
        self.try_step(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
    }

    /// Runs a script as a part of a frame.
    pub(crate) fn run(&self, script: &str, payload: &[u8]) -> Answer {
        self.run_with(PATH, script, payload)
    }

    /// The same with another search path for programs.
    pub(crate) fn run_with(&self, search: &str, script: &str, payload: &[u8]) -> Answer {
        let file = self.folder.path().join("payload");
        std::fs::write(&file, payload).unwrap();
        let mut frame = format!("HW_RUN_ID=run1\n(\n{script}\n) 3<'{}' 0</dev/null", file.display());
        if self.shell.starts_with("busybox") {
            // Its own small programs come before those of the host.
            for name in COREUTILS {
                frame = format!("{name}() {{ /usr/bin/env {name} \"$@\"; }}\n{frame}");
            }
        }
        // Backups of tests are not for this machine.
        let frame = frame.replace("/var/lib/hostwright", self.state().to_str().unwrap());
        let shell = self.shell.split(' ');
        // What hangs is to fail.
        let out = Command::new("timeout")
            .args(["-k", "1", "120"])
            .args(shell)
            .arg("-c")
            .arg(frame)
            .env_clear()
            .env("LC_ALL", "C")
            .env("XDG_STATE_HOME", self.folder.path())
            .env("PATH", search)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Answer { code: out.status.code().unwrap_or(-1), stdout: out.stdout, stderr: out.stderr }
    }

    /// Where the host keeps backups and the like.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("hostwright")
    }

    /// The backup of a file in the run.
    pub(crate) fn backup(&self, name: &str) -> PathBuf {
        self.backup_of(&self.at(name))
    }

    /// The content of that.
    pub(crate) fn kept(&self, name: &str) -> String {
        std::fs::read_to_string(self.backup(name)).unwrap()
    }

    fn backup_of(&self, path: &Path) -> PathBuf {
        let sum = sha256(path.to_str().unwrap().as_bytes());
        self.state().join("backups/run1").join(&sum[..16])
    }

    pub(crate) fn ask(&self, step: &dyn Step) -> Answers {
        let mut answers = Answers::default();
        for probe in step.probes() {
            let before = tree(&self.at(""));
            answers.insert(&probe, &Privilege::Login, self.run(&probe.script.render(), &[]));
            assert_eq!(before, tree(&self.at("")), "a probe changed something: {}", probe.script);
        }
        answers
    }

    pub(crate) fn check(&self, step: &dyn Step) -> Result<Verdict, CheckError> {
        step.check(&self.ask(step).seen_with(&Privilege::Login))
    }

    pub(crate) fn drift(&self, step: &dyn Step) -> Change {
        match self.check(step) {
            Ok(Verdict::Drift(change)) => change,
            other => panic!("{}: {other:?} is no drift", self.shell),
        }
    }

    pub(crate) fn satisfied(&self, step: &dyn Step) -> String {
        match self.check(step) {
            Ok(Verdict::Satisfied { reason, .. }) => reason,
            other => panic!("{}: {other:?} is not satisfied", self.shell),
        }
    }

    pub(crate) fn refused(&self, step: &dyn Step) -> String {
        match self.check(step) {
            Err(CheckError::Refused { message, .. }) => message,
            other => panic!("{}: {other:?} is not refused", self.shell),
        }
    }

    /// Runs the actions of a change; the answer of the first that fails, or of the last.
    pub(crate) fn act(&self, change: &Change) -> Answer {
        self.act_with(PATH, change)
    }

    /// The same with another search path for programs.
    pub(crate) fn act_with(&self, search: &str, change: &Change) -> Answer {
        let mut last = Answer::default();
        for action in &change.actions {
            let payload = action.payload.as_ref().map(|p| p.0.to_vec()).unwrap_or_default();
            last = self.run_with(search, &action.script.render(), &payload);
            if !last.ok() {
                break;
            }
            if let Then::Save(file) = &action.then {
                let file = self.local("").join(file);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, &last.stdout).unwrap();
            }
        }
        last
    }

    /// Applies the step, twice: the second time there is nothing to do. Returns the first change.
    pub(crate) fn apply(&self, text: &str) -> Change {
        let step = self.step(text);
        let change = self.drift(&*step);
        let answer = self.act(&change);
        assert!(answer.ok(), "{}: {text}: {answer:?} {}", self.shell, answer.error_text());
        // Safe to run again after it was cut off.
        let answer = self.act(&change);
        assert!(answer.ok(), "{}: {text}: the second time: {}", self.shell, answer.error_text());
        self.satisfied(&*self.step(text));
        change
    }
}

fn tree(folder: &Path) -> Vec<(PathBuf, u32, u64, i64)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                open.push(path.clone());
            }
            found.push((path, meta.mode(), meta.ino(), meta.mtime_nsec()));
        }
    }
    found.sort();
    found
}

pub(crate) fn each_shell(test: impl Fn(Bench)) {
    for shell in SHELLS {
        test(Bench::new(shell));
    }
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Whether a private mount name space can be made here; says why not.
pub(crate) fn can_mount() -> bool {
    let out =
        Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]).output();
    let can = is_root() && out.as_ref().is_ok_and(|o| o.status.success());
    if !can {
        eprintln!("skipped: a private mount name space needs root and unshare(1): {out:?}");
    }
    can
}

#[test]
fn a_file_is_made_changed_and_removed() {
    each_shell(|host| {
        let change = host.apply(r#"file = { path = "@/a b'c", content = "one\n", mode = "0640" }"#);
        assert_eq!(host.read("a b'c"), "one\n");
        assert_eq!(host.mode("a b'c"), 0o640);
        assert_eq!(change.fields[0].before, Value::Absent);
        assert_eq!(host.names(""), ["a b'c"], "a new file has no backup, and nothing is left over");

        let change = host.apply(r#"file = { path = "@/a b'c", content = "two\n" }"#);
        assert_eq!(change.fields[0].before, Value::Content("one\n".into()));
        assert_eq!(host.mode("a b'c"), 0o640, "keeps its mode");
        assert_eq!(host.names(""), ["a b'c"]);
        host.apply(r#"file = { path = "@/a b'c", content = "three\n" }"#);
        assert_eq!(host.kept("a b'c"), "one\n", "the state before the run");

        host.apply(r#"file = { path = "@/a b'c", state = "absent" }"#);
        assert_eq!(host.names(""), [""; 0]);
    });
}

#[test]
fn a_file_takes_any_bytes_and_any_name() {
    each_shell(|host| {
        let mut bytes: Vec<u8> = (0..=255).collect();
        bytes.extend(b"\n\n\0");
        std::fs::write(host.local("blob"), &bytes).unwrap();
        for name in [
            "plain",
            "it's \\\"new\\\"",
            "two\\nlines",
            "-rf",
            "ende\\n",
            "$HOME `id`",
            "back\\\\slash",
            "ä%s",
        ] {
            let change = host.apply(&format!(r#"file = {{ path = "@/{name}", source = "blob" }}"#));
            let size = bytes.len() as u64;
            assert!(matches!(&change.fields[0].after, Value::Binary { size: s, .. } if *s == size));
        }
        assert_eq!(host.names("").len(), 8);
        assert_eq!(std::fs::read(host.at("two\nlines")).unwrap(), bytes);
        assert_eq!(std::fs::read(host.at("ende\n")).unwrap(), bytes);
        // A binary file is shown by its digest, before and after.
        let change = host.drift(&*host.step(r#"file = { path = "@/plain", content = "text" }"#));
        assert!(matches!(&change.fields[0].before, Value::Binary { .. }), "{change:?}");
        // A large one does not travel back.
        host.write("large", vec![b'x'; (1 << 20) + 1]);
        let step = host.step(r#"file = { path = "@/large", content = "text" }"#);
        let answers = host.ask(&*step);
        assert!(answers.seen_with(&Privilege::Login).of(&step.probes()[0]).unwrap().stdout.len() < 200);
        assert!(matches!(step.check(&answers.seen_with(&Privilege::Login)), Ok(Verdict::Drift(_))));
    });
}

#[test]
fn a_templates_text_and_an_empty_file() {
    each_shell(|host| {
        std::fs::write(host.local("t.j2"), "I am {{ host.name }}\n").unwrap();
        host.apply(r#"file = { path = "@/t", template = "t.j2" }"#);
        assert_eq!(host.read("t"), "I am worker-01\n");
        host.apply(r#"file = { path = "@/empty", mode = "0600" }"#);
        assert_eq!((host.read("empty"), host.mode("empty")), (String::new(), 0o600));
        host.satisfied(&*host.step(r#"file = { path = "@/t" }"#));
        assert_eq!(host.read("t"), "I am worker-01\n", "content that is not given is left alone");
        assert!(host.try_step(r#"file = { path = "@/t", template = "none.j2" }"#).is_err());
    });
}

#[test]
fn owner_and_setuid_bits_are_set_in_the_right_order() {
    if !is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    each_shell(|host| {
        host.apply(
            r#"file = { path = "@/f", content = "x", mode = "4755", owner = "65534", group = "12345" }"#,
        );
        let meta = std::fs::metadata(host.at("f")).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (65534, 12345, 0o4755));
        host.satisfied(&*host.step(r#"file = { path = "@/f", owner = "nobody" }"#));
        // Owner alone: chown takes the setuid bit away, and it has to come back.
        let change = host.apply(r#"file = { path = "@/f", owner = "root" }"#);
        assert!(change.actions[0].payload.is_none(), "no content travels for an owner");
        assert_eq!(host.mode("f"), 0o4755);
        // Content alone keeps all of that.
        host.apply(r#"file = { path = "@/f", content = "y" }"#);
        let meta = std::fs::metadata(host.at("f")).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (0, 12345, 0o4755));
        // A mode without the setgid bit takes it from a directory.
        host.apply(r#"directory = { path = "@/d", mode = "2775", group = "12345" }"#);
        assert_eq!(host.mode("d"), 0o2775);
        host.apply(r#"directory = { path = "@/d", mode = "0755" }"#);
        assert_eq!(host.mode("d"), 0o755);
        // An account that is missing is a need, not a drift.
        for text in [
            r#"file = { path = "@/f", owner = "nosuchuser" }"#,
            r#"file = { path = "@/new", content = "x", owner = "nosuchuser" }"#,
            r#"directory = { path = "@/new", group = "nosuchgroup" }"#,
        ] {
            match host.check(&*host.step(text)) {
                Ok(Verdict::Unknown { then: Some(_), otherwise, .. }) => {
                    assert!(otherwise.contains("nosuch"), "{otherwise}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    });
}

#[test]
fn what_is_in_the_way_is_refused_unless_asked_for() {
    each_shell(|host| {
        host.write("target", "old");
        std::os::unix::fs::symlink("target", host.at("link")).unwrap();
        std::fs::create_dir(host.at("dir")).unwrap();
        let refused = |text: &str| host.refused(&*host.step(text));
        assert!(
            refused(r#"file = { path = "@/link", content = "new" }"#).contains("symbolic link to target")
        );
        assert!(refused(r#"file = { path = "@/dir", content = "new", force = true }"#).contains("directory"));
        assert!(refused(r#"directory = "@/target""#).contains("not a directory but a file"));
        assert!(
            refused(r#"file = { path = "@/target/x", content = "new" }"#)
                .contains("target is not a directory")
        );
        let change = host.apply(r#"file = { path = "@/link", content = "new", follow = true }"#);
        assert_eq!(change.fields[0].before, Value::Content("old".into()));
        assert_eq!(host.read("target"), "new");
        assert!(std::fs::symlink_metadata(host.at("link")).unwrap().is_symlink());
        host.apply(r#"file = { path = "@/link", content = "own", force = true }"#);
        assert!(!std::fs::symlink_metadata(host.at("link")).unwrap().is_symlink());
        assert_eq!((host.read("link"), host.read("target")), ("own".into(), "new".into()));
    });
}

#[test]
fn a_missing_folder_is_a_need() {
    each_shell(|host| {
        let step = host.step(r#"file = { path = "@/a/b/c", content = "x" }"#);
        let parent = host.at("a/b");
        match host.check(&*step) {
            Ok(Verdict::Unknown { until, then: Some(_), otherwise }) => {
                assert_eq!(&*until.name, parent.to_str().unwrap());
                assert!(otherwise.contains("no directory"), "{otherwise}");
                assert!(step.needs().contains(&until));
            }
            other => panic!("{other:?}"),
        }
        // The step that makes it leaves it, with all folders above.
        let folder = host.step(r#"directory = "@/a/b""#);
        let change = host.drift(&*folder);
        assert!(folder.provides().iter().any(|r| &*r.name == host.at("a").to_str().unwrap()));
        let mut answers = host.ask(&*step);
        for (resource, state) in &change.expects {
            answers.expect(resource.clone(), state.clone());
        }
        let seen = answers.seen_with(&Privilege::Login);
        assert!(matches!(step.check(&seen), Ok(Verdict::Drift(_))));
        assert!(!seen.into_used().is_empty(), "the verdict is a predicted one");
        assert!(host.act(&change).ok());
        host.apply(r#"file = { path = "@/a/b/c", content = "x" }"#);
    });
}

#[test]
fn a_directory_goes_only_when_empty_or_purged() {
    each_shell(|host| {
        host.apply(r#"directory = { path = "@/d/e f", mode = "0750" }"#);
        assert_eq!((host.mode("d"), host.mode("d/e f")), (0o755, 0o750));
        host.write("d/e f/.hidden", "x");
        host.write("d/e f/x", "x");
        let gone = host.step(r#"directory = { path = "@/d/e f", state = "absent" }"#);
        assert!(host.refused(&*gone).contains("is not empty: it holds x and 1 more"));
        // Earlier steps of the plan empty it.
        let mut answers = host.ask(&*gone);
        for name in ["x", ".hidden"] {
            let file = host.step(&format!(r#"file = {{ path = "@/d/e f/{name}", state = "absent" }}"#));
            for (resource, state) in host.drift(&*file).expects {
                answers.expect(resource, state);
            }
        }
        assert!(matches!(gone.check(&answers.seen_with(&Privilege::Login)), Ok(Verdict::Drift(_))));
        host.apply(r#"directory = { path = "@/d", state = "absent", purge = true }"#);
        host.apply(r#"directory = "@/d""#);
        host.apply(r#"directory = { path = "@/d", state = "absent" }"#);
    });
}

#[test]
fn a_file_that_is_not_valid_is_not_put_in_place() {
    each_shell(|host| {
        host.write("f", "good\n");
        let bad = host.step(r#"file = { path = "@/f", content = "bad\n", validate = "grep -q good %s || { echo line 1 is bad; exit 1; }" }"#);
        let answer = host.act(&host.drift(&*bad));
        assert!(!answer.ok());
        assert!(answer.error_text().contains("line 1 is bad"), "{}", answer.error_text());
        assert!(answer.error_text().contains("nothing was changed"), "{}", answer.error_text());
        assert_eq!((host.read("f"), host.names("")), ("good\n".into(), vec!["f".into()]));
        host.apply(r#"file = { path = "@/f", content = "good too\n", validate = "grep -q good %s" }"#);
    });
}

#[test]
fn in_place_keeps_the_inode() {
    each_shell(|host| {
        host.write("f", "a longer old content\n");
        let inode = std::fs::metadata(host.at("f")).unwrap().ino();
        host.apply(r#"file = { path = "@/f", content = "new\n", in_place = true, mode = "0600" }"#);
        assert_eq!(std::fs::metadata(host.at("f")).unwrap().ino(), inode);
        assert_eq!((host.read("f"), host.mode("f")), ("new\n".into(), 0o600));
        assert_eq!(host.kept("f"), "a longer old content\n");
        host.apply(r#"file = { path = "@/f", content = "newer\n", in_place = true, backup = false }"#);
        assert_eq!(host.names(""), ["f"]);
    });
}

#[test]
fn content_that_does_not_arrive_whole_changes_nothing() {
    each_shell(|host| {
        host.write("f", "old");
        let change = host.drift(&*host.step(r#"file = { path = "@/f", content = "all of it" }"#));
        let answer = host.run(&change.actions[0].script.render(), b"all of");
        assert!(answer.error_text().contains("did not arrive whole"), "{answer:?}");
        assert_eq!((host.read("f"), host.names("")), ("old".into(), vec!["f".into()]));
    });
}

#[test]
fn a_hidden_file_left_over_or_planted_does_no_harm() {
    each_shell(|host| {
        host.write("victim", "precious");
        let text = r#"file = { path = "@/f", content = "x" }"#;
        let change = host.drift(&*host.step(text));
        let script = change.actions[0].script.to_string();
        let name = script.split("temporary=").nth(1).unwrap().split(' ').next().unwrap();
        for planted in [name.to_owned(), format!("{name}.old")] {
            std::os::unix::fs::symlink("victim", host.at(&planted)).unwrap();
        }
        std::fs::create_dir(host.at(&format!("{name}.12345678"))).unwrap();
        host.apply(text);
        assert_eq!(host.read("victim"), "precious");
        assert_eq!(host.names(""), ["f", "victim"]);
    });
}

#[test]
fn a_run_says_what_was_there_before() {
    each_shell(|host| {
        host.apply(r#"file = { path = "@/a\nb\\c", content = "new" }"#);
        host.apply(r#"link = { path = "@/l", target = "one" }"#);
        host.apply(r#"link = { path = "@/l", target = "two" }"#);
        host.apply(r#"link = { path = "@/l", state = "absent" }"#);
        let manifest = std::fs::read_to_string(host.state().join("backups/run1/manifest")).unwrap();
        let at = host.at("").display().to_string();
        let said = manifest
            .lines()
            .map(|line| line.split_once('\t').unwrap().1.replace(at.trim_end_matches('/'), "@"));
        let mut said: Vec<_> = said.collect();
        // Each was applied twice.
        said.dedup();
        let new = "file 11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437";
        let wanted = [
            format!("absent\t{new}\t@/a\\nb\\\\c"),
            "absent\tlink one\t@/l".into(),
            "link one\tlink one\t@/l".into(),
            "link one\tlink two\t@/l".into(),
            "link two\tlink two\t@/l".into(),
            "link two\tabsent\t@/l".into(),
        ];
        assert_eq!(said, wanted, "{}", host.shell);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&host.state()), mode(&host.state().join("backups/run1"))), (0o700, 0o700));
    });
}

#[test]
fn what_is_kept_of_a_run_has_no_digest_of_a_secret() {
    each_shell(|host| {
        host.write("f", "old");
        for in_place in [false, true] {
            let content = format!("s3cret {in_place}");
            host.apply(&format!(
                r#"file = {{ path = "@/f", content = "{content}", diff = false, in_place = {in_place} }}"#
            ));
            let sum = sha256(content.as_bytes());
            let manifest = std::fs::read_to_string(host.state().join("backups/run1/manifest")).unwrap();
            assert!(!manifest.contains(&sum), "{manifest}");
            let now = std::fs::metadata(host.at("f")).unwrap();
            let said = manifest.lines().last().unwrap().split('\t').nth(2).unwrap();
            assert_eq!(said, format!("sealed {} {}", now.ino(), now.mtime()), "{manifest}");
        }
        assert_eq!(host.kept("f"), "old");
    });
}

#[test]
fn nothing_is_changed_where_no_backup_can_be_kept() {
    each_shell(|host| {
        std::fs::create_dir(host.at("elsewhere")).unwrap();
        std::os::unix::fs::symlink(host.at("elsewhere"), host.state()).unwrap();
        host.write("f", "old");
        let change = host.drift(&*host.step(r#"file = { path = "@/f", content = "new" }"#));
        let answer = host.act(&change);
        assert!(answer.error_text().contains("cannot keep a backup of "), "{}", answer.error_text());
        assert_eq!((host.read("f"), host.names("")), ("old".into(), vec!["elsewhere".into(), "f".into()]));
    });
}

#[test]
fn backups_of_old_runs_go() {
    let host = Bench::new("dash");
    for n in 0..60 {
        std::fs::create_dir_all(host.state().join(format!("backups/old{n}"))).unwrap();
    }
    host.apply(r#"file = { path = "@/f", content = "new" }"#);
    let left = std::fs::read_dir(host.state().join("backups")).unwrap().count();
    assert!((50..=51).contains(&left) && host.state().join("backups/run1/manifest").exists(), "{left}");
}

/// Runs `test` for real on a file system that `mount` makes: the actions run in a private mount name space.
pub(crate) fn on_mount(host: &Bench, mount: &str, change: &Change, after: &str) -> Answer {
    let action = &change.actions[0];
    let script = host.folder.path().join("script");
    let code = action.script.render().replace("/var/lib/hostwright", host.state().to_str().unwrap());
    std::fs::write(&script, code).unwrap();
    let payload = action.payload.as_ref().map(|p| p.0.to_vec()).unwrap_or_default();
    std::fs::write(host.folder.path().join("payload"), payload).unwrap();
    let shell = host.shell;
    let folder = host.folder.path().display();
    let inside = format!(
        "cd '{folder}/host' && {mount} && {shell} '{folder}/script' 3<'{folder}/payload'; rc=$?\n{after}\nexit $rc"
    );
    let out = Command::new("unshare")
        .args(["-m", "sh", "-c", &inside])
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    Answer { code: out.status.code().unwrap(), stdout: out.stdout, stderr: out.stderr }
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    if !can_mount() {
        return;
    }
    each_shell(|host| {
        std::fs::create_dir(host.at("m")).unwrap();
        host.write("m/f", "old");
        let large = "x".repeat(200_000);
        for in_place in [false, true] {
            let step = host
                .step(&format!(r#"file = {{ path = "@/m/f", content = "{large}", in_place = {in_place} }}"#));
            let change = host.drift(&*step);
            let answer = on_mount(
                &host,
                "mount -t tmpfs -o size=64k none m && printf old >m/f",
                &change,
                "cat m/f; ls -A m",
            );
            assert_eq!((answer.code, &*answer.text()), (1, "oldf"), "{}", answer.error_text());
            assert!(answer.error_text().contains("no space left (ENOSPC)"), "{}", answer.error_text());
            assert!(answer.error_text().contains("hint: free some space"), "{}", answer.error_text());
        }
    });
}

#[test]
fn in_place_on_a_disk_that_fills_up_puts_the_old_content_back() {
    if !can_mount() {
        return;
    }
    each_shell(|host| {
        std::fs::create_dir(host.at("m")).unwrap();
        let old = "o".repeat(40_000);
        host.write("m/f", &old);
        let new = "n".repeat(60_000);
        let step = host.step(&format!(
            r#"file = {{ path = "@/m/f", content = "{new}", in_place = true, backup = false }}"#
        ));
        let change = host.drift(&*step);
        // 40 kB old, 60 kB new, 40 kB copy fit; the growth in place does not.
        for size in ["96k", "108k", "120k", "140k", "144k", "148k", "152k"] {
            let mount =
                format!("mount -t tmpfs -o size={size} none m && head -c 40000 /dev/zero | tr '\\0' o >m/f");
            let answer = on_mount(&host, &mount, &change, "tr -s no <m/f; wc -c <m/f; ls -A m");
            let text = answer.text().into_owned();
            assert!(!answer.ok(), "{size}: {text}");
            assert_eq!(text, "o40000\nf", "{size}: {}", answer.error_text());
        }
    });
}

#[test]
fn a_read_only_file_system_is_named() {
    if !can_mount() {
        return;
    }
    each_shell(|host| {
        std::fs::create_dir(host.at("m")).unwrap();
        host.write("m/f", "old");
        let change = host.drift(&*host.step(r#"file = { path = "@/m/f", content = "new" }"#));
        let answer = on_mount(&host, "mount --bind m m && mount -o remount,ro,bind m", &change, "ls -A m");
        assert!(answer.error_text().contains("read-only (EROFS)"), "{}", answer.error_text());
        assert_eq!((answer.code, &*answer.text(), &*host.read("m/f")), (1, "f", "old"));
    });
}

#[test]
fn a_bind_mounted_file_needs_in_place() {
    if !can_mount() {
        return;
    }
    each_shell(|host| {
        host.write("f", "old");
        host.write("mounted", "");
        for (in_place, code, content) in [(false, 1, "old"), (true, 0, "new")] {
            let step = host.step(&format!(
                r#"file = {{ path = "@/mounted", content = "new", in_place = {in_place}, backup = false }}"#
            ));
            let answer = on_mount(&host, "mount --bind f mounted", &host.drift(&*step), "cat f");
            assert_eq!((answer.code, &*answer.text()), (code, content), "{}", answer.error_text());
            assert_eq!(answer.error_text().contains("in_place = true"), !in_place);
        }
    });
}

/// Runs a script as a user without rights.
fn as_nobody(host: &Bench, script: &str, payload: &[u8]) -> Answer {
    let file = host.folder.path().join("script");
    std::fs::write(&file, script).unwrap();
    let open =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    open(host.folder.path(), 0o755);
    let run =
        format!("setpriv --reuid 65534 --regid 65534 --clear-groups {} '{}'", host.shell, file.display());
    host.run(&run, payload)
}

#[test]
fn without_rights_it_says_so_and_guesses_nothing() {
    if !is_root() || Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: needs root and setpriv(1) to give up rights");
        return;
    }
    each_shell(|host| {
        std::fs::create_dir(host.at("closed")).unwrap();
        host.write("closed/f", "old");
        host.write("f", "old");
        let answers = |text: &str| {
            let step = host.step(text);
            let mut answers = Answers::default();
            for probe in step.probes() {
                answers.insert(&probe, &Privilege::Login, as_nobody(&host, &probe.script.render(), &[]));
            }
            step.check(&answers.seen_with(&Privilege::Login))
        };
        // What can be read but not written: the action says why.
        let Ok(Verdict::Drift(change)) = answers(r#"file = { path = "@/closed/f", content = "new" }"#) else {
            panic!()
        };
        let action = &change.actions[0];
        let payload = action.payload.as_ref().unwrap().0.to_vec();
        let answer = as_nobody(&host, &action.script.render(), &payload);
        assert!(!answer.ok());
        assert!(
            answer.error_text().contains("no permission; nothing was changed"),
            "{}",
            answer.error_text()
        );
        assert_eq!(host.names("closed"), ["f"]);
        // A folder that can be written, but a file of somebody else: it would change hands silently.
        std::fs::set_permissions(host.at(""), std::fs::Permissions::from_mode(0o777)).unwrap();
        let Ok(Verdict::Drift(change)) = answers(r#"file = { path = "@/f", content = "new" }"#) else {
            panic!()
        };
        let action = &change.actions[0];
        let answer = as_nobody(&host, &action.script.render(), b"new");
        assert!(answer.error_text().contains("cannot keep the owner"), "{}", answer.error_text());
        assert_eq!((host.read("f"), host.names("")), ("old".into(), vec!["closed".into(), "f".into()]));
        // What cannot be looked into is not taken for missing.
        std::fs::set_permissions(host.at("closed"), std::fs::Permissions::from_mode(0o700)).unwrap();
        match answers(r#"file = { path = "@/closed/f", content = "new" }"#) {
            Err(CheckError::Refused { message, .. }) => {
                assert!(message.contains("cannot look into"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        // What cannot be read is not taken for different.
        std::fs::set_permissions(host.at("f"), std::fs::Permissions::from_mode(0o600)).unwrap();
        match answers(r#"file = { path = "@/f", content = "new" }"#) {
            Err(CheckError::Refused { message, .. }) => assert!(message.contains("cannot read"), "{message}"),
            other => panic!("{other:?}"),
        }
    });
}
