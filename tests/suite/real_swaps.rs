//! Somebody who owns a folder puts other things in the place of what is in it, while root works there.
//!
//! What he can reach is bounded by what a user may do: rename, make and remove names in his own folder. Once before
//! each program that an action or a question starts, and in a loop beside it.

use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hostwright::model::Privilege;
use hostwright::probe::Answers;
use hostwright::step::Verdict;

use super::real_files::{Bench, COREUTILS, PATH, SHELLS, is_root};

/// A step, and what is at `@/home/sub/data` and `@/victim/data` before it: a file, a directory, a link or nothing.
struct Case {
    step: &'static str,
    there: &'static str,
    victim: &'static str,
}

const CASES: [Case; 15] = [
    Case {
        step: r#"directory = { path = "@/home/sub/data", owner = "65534", mode = "0755" }"#,
        there: "",
        victim: "directory",
    },
    Case {
        step: r#"directory = { path = "@/home/sub/data", owner = "65534", mode = "0755" }"#,
        there: "directory",
        victim: "directory",
    },
    Case {
        step: r#"directory = { path = "@/home/sub/new/data", owner = "65534", mode = "0777" }"#,
        there: "",
        victim: "directory",
    },
    Case {
        step: r#"directory = { path = "@/home/sub/data", state = "absent", purge = true }"#,
        there: "directory",
        victim: "directory",
    },
    Case {
        step: r#"directory = { path = "@/home/sub/data", state = "absent" }"#,
        there: "directory",
        victim: "empty",
    },
    Case {
        step: r#"file = { path = "@/home/sub/data", content = "new", owner = "65534", mode = "0666" }"#,
        there: "",
        victim: "file",
    },
    Case {
        step: r#"file = { path = "@/home/sub/data", content = "new", owner = "65534", mode = "0644" }"#,
        there: "file",
        victim: "file",
    },
    Case {
        step: r#"file = { path = "@/home/sub/data", content = "new", mode = "0600" }"#,
        there: "file",
        victim: "file",
    },
    Case {
        step: r#"file = { path = "@/home/sub/data", owner = "65534", mode = "0666" }"#,
        there: "file",
        victim: "file",
    },
    Case {
        step: r#"file = { path = "@/home/sub/data", content = "new", in_place = true, owner = "65534", mode = "0666" }"#,
        there: "file",
        victim: "file",
    },
    Case { step: r#"file = { path = "@/home/sub/data", state = "absent" }"#, there: "file", victim: "file" },
    Case {
        step: r#"file = { path = "@/home/sub/data", state = "absent", backup = true }"#,
        there: "file",
        victim: "file",
    },
    Case { step: r#"line = { path = "@/home/sub/data", line = "added" }"#, there: "file", victim: "file" },
    Case {
        step: r#"block = { path = "@/home/sub/data", content = "added" }"#,
        there: "file",
        victim: "file",
    },
    Case {
        step: r#"link = { path = "@/home/sub/data", target = "elsewhere", force = true }"#,
        there: "file",
        victim: "file",
    },
];

/// What he does, and takes back; `$v` is what he is after.
const ATTACKS: [(&str, &str, &str); 6] = [
    (
        "what the path names becomes a link",
        "mv -T data data.x; ln -s \"$v/data\" data",
        "rm -f data; mv -T data.x data",
    ),
    (
        "its folder becomes a link",
        "mv -T ../sub ../sub.x; ln -s \"$v\" ../sub",
        "rm ../sub; mv -T ../sub.x ../sub",
    ),
    (
        "what is made aside becomes a link",
        "for s in .hw-*; do mv -T \"$s\" \"x$s\"; ln -s \"$v\" \"$s\"; done",
        "for s in .hw-*; do rm -f \"$s\"; mv -T \"x$s\" \"$s\"; done",
    ),
    (
        "what is made aside becomes another folder of root's",
        "for s in .hw-*; do mv -T \"$s\" \"x$s\"; mv -T roots \"$s\"; done",
        "for s in .hw-*; do mv -T \"$s\" roots; mv -T \"x$s\" \"$s\"; done",
    ),
    (
        "what the path names becomes a hard link",
        "mv -T data data.x; ln \"$v/data\" data",
        "rm -f data; mv -T data.x data",
    ),
    ("what the path names becomes a pipe", "mv -T data data.x; mkfifo data", "rm -f data; mv -T data.x data"),
];

fn set_up(host: &Bench, case: &Case) {
    let root = host.at("");
    for entry in std::fs::read_dir(&root).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let make = |name: &str, kind: &str, text: &str| match kind {
        "file" => {
            host.write(name, text);
        }
        "empty" => std::fs::create_dir(host.at(name)).unwrap(),
        "directory" => {
            std::fs::create_dir(host.at(name)).unwrap();
            host.write(&format!("{name}/inside"), text);
        }
        _ => {}
    };
    for name in ["home", "home/sub", "home/sub/roots", "victim"] {
        std::fs::create_dir(host.at(name)).unwrap();
    }
    make("victim/data", case.victim, "TOPSECRET\n");
    make(
        "home/sub/data",
        if case.step.contains("state = \"absent\" }") && case.there == "directory" {
            "empty"
        } else {
            case.there
        },
        "old\n",
    );
    let mode = |name: &str, mode| {
        std::fs::set_permissions(host.at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("victim", 0o700);
    if !case.victim.is_empty() {
        mode("victim/data", if case.victim == "file" { 0o600 } else { 0o700 });
    }
    mode("home/sub/roots", 0o700);
    for name in ["home", "home/sub"] {
        std::os::unix::fs::chown(host.at(name), Some(65534), Some(65534)).unwrap();
    }
    if case.there == "file" {
        std::os::unix::fs::chown(host.at("home/sub/data"), Some(65534), Some(65534)).unwrap();
        mode("home/sub/data", 0o644);
    }
}

/// Everything about what must not change, but for the number of names and the times.
fn state(path: &Path) -> String {
    let meta = std::fs::symlink_metadata(path).unwrap();
    let mut text = format!("{} {:o} {}:{}", path.display(), meta.mode(), meta.uid(), meta.gid());
    if meta.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        for name in names {
            text.push('\n');
            text.push_str(&state(&name));
        }
    } else if meta.is_file() {
        write!(text, " {:?}", std::fs::read_to_string(path).unwrap()).unwrap();
    }
    text
}

/// What of the secret somebody else than root could read now.
fn leaks(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            found.extend(leaks(&path));
        } else if meta.is_file()
            && (meta.uid() != 0 || meta.mode() & 0o077 != 0)
            && std::fs::read_to_string(&path).unwrap().contains("TOPSECRET")
        {
            found.push(format!("{} {:o} of {}", path.display(), meta.mode(), meta.uid()));
        }
    }
    found
}

/// A folder of programs that count, and attack before the one whose turn it is.
fn tools(host: &Bench) -> String {
    let folder = host.local("tools");
    std::fs::create_dir(&folder).unwrap();
    let wrapper = format!(
        r#"#!/bin/sh
d='{}'
read -r n at undo <"$d/turn"; echo "$((n + 1)) $at $undo" >"$d/turn"
PATH={PATH}
[ "$n" != "$at" ] || (. "$d/attack") >/dev/null 2>&1
[ "$n" != "$undo" ] || (. "$d/back") >/dev/null 2>&1
exec "${{0##*/}}" "$@"
"#,
        host.local("").display()
    );
    std::fs::write(folder.join("stat"), wrapper).unwrap();
    std::fs::set_permissions(folder.join("stat"), std::fs::Permissions::from_mode(0o755)).unwrap();
    for name in COREUTILS.iter().filter(|name| **name != "stat") {
        std::os::unix::fs::symlink("stat", folder.join(name)).unwrap();
    }
    format!("{}:{PATH}", folder.display())
}

/// Says to the tools when to do what; returns how many programs were started since.
fn at_turn(host: &Bench, turn: Option<usize>, back: bool) -> usize {
    let count = std::fs::read_to_string(host.local("turn"))
        .map_or(0, |text| text.split(' ').next().unwrap().parse().unwrap());
    let word = |turn: Option<usize>| turn.map_or("-".to_owned(), |n| n.to_string());
    let text = format!("0 {} {}\n", word(turn), word(turn.filter(|_| back).map(|n| n + 1)));
    std::fs::write(host.local("turn"), text).unwrap();
    count
}

fn can_attack() -> bool {
    if !is_root() {
        eprintln!("skipped: only root can be led anywhere");
    }
    is_root()
}

/// What an attack is, and how it is taken back, wherever the folder has gone by then.
fn write_attack(host: &Bench, swap: &str, back: &str) {
    let (sub, victim) = (host.at("home/sub"), host.at("victim"));
    let enter = format!("v='{}'\ncd '{}'", victim.display(), sub.display());
    std::fs::write(host.local("attack"), format!("{enter}\n{swap}\n")).unwrap();
    let enter = format!("cd '{0}.x' || cd '{0}'", sub.display());
    std::fs::write(host.local("back"), format!("{enter}\n{back}\n")).unwrap();
}

/// `part` of `parts`: the attacks are many, and one run of the tests takes its share of them.
fn at_every_program(shell: &'static str, part: usize, parts: usize) {
    if !can_attack() {
        return;
    }
    let all = std::env::var_os("SWAP_ALL").is_some();
    let host = Bench::new(shell);
    let search = tools(&host);
    let mut turns = 0;
    for (number, case) in CASES.iter().enumerate() {
        let step = host.step(case.step);
        for (kind, (attack, swap, back)) in ATTACKS.into_iter().enumerate() {
            write_attack(&host, swap, back);
            for undo in [false, true] {
                let mut programs = 20;
                let mut turn = 0;
                while turn <= programs {
                    let mine = (number * 5 + kind * 3 + turn * 2 + usize::from(undo)) % parts == part;
                    if !all && !mine {
                        turn += 1;
                        continue;
                    }
                    set_up(&host, case);
                    at_turn(&host, None, false);
                    let change = host.drift(&*step);
                    let before = state(&host.at("victim"));
                    at_turn(&host, Some(turn), undo);
                    let start = Instant::now();
                    let answer = host.act_with(&search, &change);
                    let told = format!(
                        "{shell}: {}\n{attack} (back: {undo}) before program {turn}: {answer:?}\n{}",
                        case.step,
                        answer.error_text()
                    );
                    assert_eq!(before, state(&host.at("victim")), "{told}");
                    assert_eq!(leaks(&host.at("home")), [""; 0], "{told}");
                    assert!(start.elapsed() < Duration::from_secs(30), "it hangs: {told}");
                    assert!(answer.ok() || !answer.error_text().is_empty(), "{told}");
                    if host.at("home/sub/roots").exists() {
                        assert_eq!(host.names("home/sub/roots"), [""; 0], "{told}");
                    }
                    turns += 1;
                    programs = at_turn(&host, None, false);
                    assert!(turn < programs || answer.ok(), "nobody was in the way: {told}");
                    turn += 1;
                }
            }
        }
        if all {
            eprintln!("{shell}: {turns} attacks: {}", case.step);
        }
    }
    assert!(turns > 100, "{turns} attacks");
}

#[test]
fn a_swap_before_any_program_leads_dash_nowhere() {
    at_every_program(SHELLS[0], 0, 12);
}

#[test]
fn a_swap_before_any_program_leads_bash_nowhere() {
    at_every_program(SHELLS[1], 1, 12);
}

#[test]
fn swaps_in_a_loop_lead_nowhere() {
    if !can_attack() {
        return;
    }
    let rounds = std::env::var("SWAP_ROUNDS").map_or(3, |n| n.parse().unwrap());
    let over = AtomicBool::new(false);
    let hosts = SHELLS.map(Bench::new);
    for case in &CASES {
        for host in &hosts {
            let step = host.step(case.step);
            for (attack, swap) in [
                ("the thing", [("home/sub/data", "home/sub/data.x", "victim/data")].as_slice()),
                ("its folder", &[("home/sub", "home/sub.x", "victim")]),
            ] {
                for round in 0..rounds {
                    set_up(host, case);
                    let change = host.drift(&*step);
                    let before = state(&host.at("victim"));
                    over.store(false, Ordering::Relaxed);
                    let answer = std::thread::scope(|scope| {
                        scope.spawn(|| {
                            while !over.load(Ordering::Relaxed) {
                                for (name, aside, target) in swap {
                                    let (name, aside) = (host.at(name), host.at(aside));
                                    let moved = std::fs::rename(&name, &aside).is_ok();
                                    std::os::unix::fs::symlink(host.at(target), &name).ok();
                                    if std::fs::symlink_metadata(&name).is_ok_and(|m| m.is_symlink()) {
                                        std::fs::remove_file(&name).ok();
                                    }
                                    if moved {
                                        std::fs::rename(&aside, &name).ok();
                                    }
                                }
                            }
                        });
                        let answer = host.act(&change);
                        over.store(true, Ordering::Relaxed);
                        answer
                    });
                    let told = format!("{}: {attack}, round {round}: {answer:?}", case.step);
                    assert_eq!(before, state(&host.at("victim")), "{told}");
                    assert_eq!(leaks(&host.at("home")), [""; 0], "{told}");
                }
            }
        }
    }
}

/// The file that is looked at has the owner and mode that are wanted; the one that they are copied from may not.
#[test]
fn another_file_in_its_place_gives_away_no_owner_and_mode() {
    if !can_attack() {
        return;
    }
    for shell in SHELLS {
        let host = Bench::new(shell);
        let search = tools(&host);
        let step = r#"file = { path = "@/home/sub/data", content = "new", owner = "root", mode = "0600" }"#;
        let case = Case { step, there: "file", victim: "" };
        let swap = "mv -T data data.x; echo his >data; chmod 666 data; chown 65534 data";
        write_attack(&host, swap, ":");
        let step = host.step(step);
        for turn in 0..14 {
            set_up(&host, &case);
            let data = host.at("home/sub/data");
            std::os::unix::fs::chown(&data, Some(0), Some(0)).unwrap();
            std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o600)).unwrap();
            at_turn(&host, None, false);
            let change = host.drift(&*step);
            at_turn(&host, Some(turn), false);
            if host.act_with(&search, &change).ok() && std::fs::read_to_string(&data).unwrap() == "new" {
                let meta = std::fs::metadata(&data).unwrap();
                assert_eq!((meta.uid(), meta.mode() & 0o7777), (0, 0o600), "{shell}: before program {turn}");
            }
        }
    }
}

#[test]
fn what_is_read_while_it_is_swapped_goes_into_no_file_of_others() {
    if !can_attack() {
        return;
    }
    let host = Bench::new("bash");
    let search = tools(&host);
    for case in CASES.iter().filter(|c| c.step.starts_with("line") || c.step.starts_with("block")) {
        let step = host.step(case.step);
        for (_, swap, _) in ATTACKS {
            for turn in 0..6 {
                set_up(&host, case);
                write_attack(&host, swap, ":");
                at_turn(&host, Some(turn), false);
                let mut answers = Answers::default();
                for probe in step.probes() {
                    answers.insert(
                        &probe,
                        &Privilege::Login,
                        host.run_with(&search, &probe.script.render(), &[]),
                    );
                }
                let Ok(Verdict::Drift(change)) = step.check(&answers.seen_with(&Privilege::Login)) else {
                    continue;
                };
                // And is as it was when root acts.
                for sub in ["home/sub", "home/sub.x"] {
                    let back = "rm -f ../sub; mv -T ../sub.x ../sub; rm -f data; mv -T data.x data";
                    Command::new("sh").arg("-c").arg(back).current_dir(host.at(sub)).output().ok();
                }
                host.act(&change);
                assert_eq!(leaks(&host.at("home")), [""; 0], "{}: {swap}: {turn}", case.step);
            }
        }
    }
}

#[test]
fn a_link_of_roots_own_is_followed_and_another_one_is_not() {
    if !can_attack() {
        return;
    }
    for shell in SHELLS {
        let host = Bench::new(shell);
        for name in ["data", "data/joe", "joe"] {
            std::fs::create_dir(host.at(name)).unwrap();
        }
        std::os::unix::fs::chown(host.at("joe"), Some(65534), Some(65534)).unwrap();
        std::os::unix::fs::chown(host.at("data/joe"), Some(65534), Some(65534)).unwrap();
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, host.at(name)).unwrap();
        link("data", "home");
        link("home", "indirect");
        link(host.at("data/joe").to_str().unwrap(), "absolute");
        link("../data", "joe/link");
        link("joe/link", "through");
        for (folder, real) in [("home", "data"), ("indirect/joe", "data/joe"), ("absolute", "data/joe")] {
            host.apply(&format!(r#"file = {{ path = "@/{folder}/f", content = "x", owner = "65534" }}"#));
            assert_eq!(host.read(&format!("{real}/f")), "x");
            host.apply(&format!(
                r#"directory = {{ path = "@/{folder}/a/b", owner = "65534", mode = "0700" }}"#
            ));
            host.apply(&format!(r#"line = {{ path = "@/{folder}/f", line = "y" }}"#));
            host.apply(&format!(r#"link = {{ path = "@/{folder}/l", target = "f" }}"#));
            host.apply(&format!(
                r#"directory = {{ path = "@/{folder}/a", state = "absent", purge = true }}"#
            ));
            assert_eq!(
                std::fs::symlink_metadata(host.at(real)).unwrap().uid(),
                if real == "data" { 0 } else { 65534 }
            );
            for name in ["f", "l"] {
                std::fs::remove_file(host.at(&format!("{real}/{name}"))).unwrap();
            }
            assert_eq!(host.names(real), if real == "data" { vec!["joe"] } else { vec![] });
        }
        for path in ["joe/link/f", "through/f", "joe/link"] {
            for step in [
                format!(r#"file = {{ path = "@/{path}", content = "x", follow = true }}"#),
                format!(r#"directory = {{ path = "@/{path}", owner = "65534", follow = true }}"#),
                format!(r#"line = {{ path = "@/{path}", line = "x", create = true, follow = true }}"#),
                format!(r#"fetch = {{ path = "@/{path}", dest = "got" }}"#),
            ] {
                let message = host.refused(&*host.step(&step));
                assert!(message.contains("nobody may write where"), "{step}: {message}");
            }
        }
        // A link in a folder with the sticky bit could be somebody's; a folder of root's in it could not.
        for name in ["tmp", "tmp/roots"] {
            std::fs::create_dir(host.at(name)).unwrap();
        }
        std::fs::set_permissions(host.at("tmp"), std::fs::Permissions::from_mode(0o1777)).unwrap();
        link("../../data", "tmp/roots/link");
        link("../data", "tmp/link");
        host.apply(r#"file = { path = "@/tmp/roots/link/f", content = "x" }"#);
        let message = host.refused(&*host.step(r#"file = { path = "@/tmp/link/f", content = "x" }"#));
        assert!(message.contains("everybody may write where that is"), "{message}");
        std::fs::set_permissions(host.at("tmp"), std::fs::Permissions::from_mode(0o775)).unwrap();
        std::os::unix::fs::chown(host.at("tmp"), Some(0), Some(12345)).unwrap();
        let message = host.refused(&*host.step(r#"file = { path = "@/tmp/link/f", content = "x" }"#));
        assert!(message.contains("group UNKNOWN may write where that is"), "{message}");
    }
}

/// Each program costs a small host a millisecond or two.
#[test]
fn a_change_starts_few_programs() {
    for shell in SHELLS {
        let host = Bench::new(shell);
        let search = tools(&host);
        std::fs::create_dir(host.at("home")).unwrap();
        let programs = |text: &str| {
            let change = host.drift(&*host.step(text));
            at_turn(&host, None, false);
            assert!(host.act_with(&search, &change).ok(), "{text}");
            at_turn(&host, None, false)
        };
        // The first change of a run makes its folder for backups.
        programs(r#"file = { path = "@/first", content = "one" }"#);
        // A new file, a changed one, a changed mode, a new folder, a removed file.
        for (folder, wanted) in [("", [4, 6, 2, 4, 2]), ("home/", [8, 12, 10, 8, 3])] {
            if !folder.is_empty() {
                if !is_root() {
                    continue;
                }
                std::os::unix::fs::chown(host.at("home"), Some(65534), Some(65534)).unwrap();
            }
            let file = |rest: &str| format!(r#"file = {{ path = "@/{folder}f", {rest} }}"#);
            let started = [
                programs(&file(r#"content = "one""#)),
                programs(&file(r#"content = "two""#)),
                programs(&file(r#"mode = "0600""#)),
                programs(&format!(r#"directory = {{ path = "@/{folder}d", mode = "0700" }}"#)),
                programs(&file(r#"state = "absent""#)),
            ];
            assert_eq!(started, wanted, "{shell}: {folder:?}");
        }
    }
}
