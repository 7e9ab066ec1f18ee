//! What stays of an old file, what a failure leaves behind, and what is no file at all.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::process::Command;

use super::real_files::{Bench, can_mount, each_shell, is_root, on_mount};

fn mode(host: &Bench, name: &str, mode: u32) {
    std::fs::set_permissions(host.at(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

fn has(program: &str) -> bool {
    let found =
        Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{program} is missing: tests/setup installs it");
        eprintln!("skipped: there is no {program}");
    }
    found
}

#[test]
fn a_backup_is_never_for_more_people_than_the_file() {
    each_shell(|host| {
        for in_place in [false, true] {
            for (old, keys, becomes) in [
                (0o644, r#", mode = "0600""#, 0o600),
                (0o664, r#", mode = "0640""#, 0o640),
                (0o640, r#", mode = "0604""#, 0o600),
                (0o600, r#", mode = "0644""#, 0o600),
                (0o644, "", 0o644),
                (0o640, ", diff = false", 0o600),
                (0o4755, r#", mode = "0755""#, 0o755),
            ] {
                host.write("f", "old");
                mode(&host, "f", old);
                if is_root() {
                    chown(host.at("f"), Some(1234), Some(4321)).unwrap();
                    mode(&host, "f", old);
                }
                host.apply(&format!(
                    r#"file = {{ path = "@/f", content = "new", in_place = {in_place}{keys} }}"#
                ));
                let meta = std::fs::metadata(host.backup("f")).unwrap();
                assert_eq!(meta.mode() & 0o7777, becomes, "{old:o}{keys} in place: {in_place}");
                assert_eq!(host.kept("f"), "old");
                if is_root() {
                    assert_eq!((meta.uid(), meta.gid()), (1234, 4321), "{old:o}{keys}");
                }
                for path in [host.at("f"), host.backup("f")] {
                    std::fs::remove_file(path).unwrap();
                }
                assert_eq!(host.names(""), [""; 0]);
            }
        }
        // Another name of the old file keeps its mode.
        host.write("f", "old");
        mode(&host, "f", 0o644);
        std::fs::hard_link(host.at("f"), host.at("other")).unwrap();
        host.apply(r#"file = { path = "@/f", content = "new", mode = "0600" }"#);
        assert_eq!(
            (
                host.mode("other"),
                std::fs::metadata(host.backup("f")).unwrap().mode() & 0o7777,
                host.mode("f")
            ),
            (0o644, 0o600, 0o600)
        );
    });
}

#[test]
fn a_run_that_fails_leaves_no_backup() {
    if !can_mount() {
        return;
    }
    each_shell(|host| {
        host.write("f", "old");
        host.write("mounted", "");
        let step = host.step(r#"file = { path = "@/mounted", content = "new" }"#);
        let answer = on_mount(&host, "mount --bind f mounted", &host.drift(&*step), "ls -A");
        assert_eq!((answer.code, &*answer.text()), (1, "f\nmounted"), "{}", answer.error_text());
        // Nor one where the file system fills up.
        std::fs::create_dir(host.at("m")).unwrap();
        host.write("m/f", "x".repeat(30_000));
        let large = "y".repeat(30_000);
        for in_place in [false, true] {
            let step = host
                .step(&format!(r#"file = {{ path = "@/m/f", content = "{large}", in_place = {in_place} }}"#));
            let change = host.drift(&*step);
            let answer = on_mount(
                &host,
                "mount -t tmpfs -o size=48k none m && head -c 30000 /dev/zero | tr '\\0' x >m/f",
                &change,
                "tr -s x <m/f; ls -A m",
            );
            assert_eq!((answer.code, &*answer.text()), (1, "xf"), "{}", answer.error_text());
        }
    });
}

#[test]
fn an_immutable_file_or_folder_is_named_and_nothing_is_left_over() {
    if !is_root() || !has("chattr") {
        return;
    }
    each_shell(|host| {
        std::fs::create_dir(host.at("d")).unwrap();
        host.write("d/f", "old");
        let chattr = |flag: &str, name: &str| {
            Command::new("chattr").arg(flag).arg(host.at(name)).output().unwrap().status.success()
        };
        if !chattr("+i", "d/f") {
            eprintln!("skipped: this file system has no immutable files");
            return;
        }
        let steps = [
            r#"file = { path = "@/d/f", content = "new" }"#,
            r#"file = { path = "@/d/f", content = "new", in_place = true }"#,
            r#"file = { path = "@/d/f", mode = "0600" }"#,
            r#"file = { path = "@/d/f", state = "absent" }"#,
            r#"line = { path = "@/d/f", line = "new" }"#,
        ];
        let folder = [
            r#"file = { path = "@/d/g", content = "new" }"#,
            r#"directory = "@/d/e""#,
            r#"link = { path = "@/d/l", target = "f" }"#,
        ];
        let mut told = Vec::new();
        for text in steps {
            told.push((text, host.act(&host.drift(&*host.step(text)))));
        }
        assert!(chattr("-i", "d/f") && chattr("+i", "d"));
        for text in steps.iter().filter(|t| !t.contains("mode")).take(1).chain(&folder) {
            told.push((text, host.act(&host.drift(&*host.step(text)))));
        }
        assert!(chattr("-i", "d"));
        for (text, answer) in told {
            let why = answer.error_text();
            assert!(!answer.ok() && why.contains("no permission; nothing was changed"), "{text}: {why}");
            assert!(why.contains("lsattr"), "{text}: {why}");
        }
        assert_eq!((host.read("d/f"), host.names("d")), ("old".into(), vec!["f".into()]));
        assert_eq!(host.mode("d/f"), 0o644);
    });
}

#[test]
fn a_read_only_file_system_keeps_all_kinds_out() {
    if !can_mount() {
        return;
    }
    each_shell(|host| {
        std::fs::create_dir(host.at("m")).unwrap();
        host.write("m/f", "old");
        for text in [
            r#"file = { path = "@/m/f", content = "new", in_place = true }"#,
            r#"file = { path = "@/m/f", mode = "0600" }"#,
            r#"file = { path = "@/m/f", state = "absent" }"#,
            r#"directory = "@/m/d""#,
            r#"directory = { path = "@/m", mode = "0700" }"#,
            r#"link = { path = "@/m/l", target = "f" }"#,
        ] {
            let change = host.drift(&*host.step(text));
            let answer =
                on_mount(&host, "mount --bind m m && mount -o remount,ro,bind m", &change, "ls -A m");
            assert!(answer.error_text().contains("read-only (EROFS)"), "{text}: {}", answer.error_text());
            assert_eq!((answer.code, &*answer.text()), (1, "f"), "{text}");
        }
    });
}

#[test]
fn what_is_no_regular_file_is_refused_in_the_plan() {
    each_shell(|host| {
        let run = |words: &[&str]| {
            Command::new(words[0]).args(&words[1..]).current_dir(host.at("")).status().unwrap()
        };
        run(&["mkfifo", "fifo"]);
        let _socket = std::os::unix::net::UnixListener::bind(host.at("socket")).unwrap();
        let mut names = vec![("fifo", "fifo"), ("socket", "socket")];
        if is_root() && run(&["mknod", "device", "c", "1", "5"]).success() {
            run(&["mknod", "disk", "b", "7", "200"]);
            names.extend([("device", "character special file"), ("disk", "block special file")]);
        }
        for (name, kind) in names {
            for text in [
                format!(r#"file = {{ path = "@/{name}", content = "x" }}"#),
                format!(r#"file = {{ path = "@/{name}", mode = "0600" }}"#),
                format!(r#"line = {{ path = "@/{name}", line = "x" }}"#),
                format!(r#"block = {{ path = "@/{name}", content = "x" }}"#),
                format!(r#"fetch = {{ path = "@/{name}", dest = "got" }}"#),
                format!(r#"link = {{ path = "@/{name}", target = "x", force = true }}"#),
                format!(r#"directory = "@/{name}""#),
            ] {
                let message = host.refused(&*host.step(&text));
                assert!(message.ends_with(&format!("but a {kind}")), "{text}: {message}");
            }
            let force = format!(r#"file = {{ path = "@/{name}", content = "x", force = true }}"#);
            if kind.ends_with("file") {
                assert!(host.refused(&*host.step(&force)).contains(kind));
                assert!(!std::fs::symlink_metadata(host.at(name)).unwrap().file_type().is_file());
            } else {
                // The document promises that a pipe and a socket are replaced.
                host.apply(&force);
                assert_eq!(host.read(name), "x");
                std::fs::remove_file(host.at(name)).unwrap();
            }
            if kind == "fifo" {
                run(&["mkfifo", "fifo"]);
                assert!(std::fs::symlink_metadata(host.at("fifo")).unwrap().file_type().is_fifo());
            }
        }
        // These have no size before they are read, and cannot be replaced.
        for path in ["/proc/version", "/proc/sys/kernel/hostname", "/sys/kernel/profiling"] {
            if !std::path::Path::new(path).exists() {
                continue;
            }
            for text in [
                format!(r#"file = {{ path = "{path}", content = "x" }}"#),
                format!(r#"line = {{ path = "{path}", line = "x" }}"#),
                format!(r#"fetch = {{ path = "{path}", dest = "got" }}"#),
            ] {
                let message = host.refused(&*host.step(&text));
                assert!(message.contains("a view of the kernel"), "{text}: {message}");
            }
        }
    });
}

#[test]
fn a_huge_file_is_not_read() {
    each_shell(|host| {
        let huge = std::fs::File::create(host.at("huge")).unwrap();
        huge.set_len(1 << 40).unwrap();
        assert!(host.refused(&*host.step(r#"line = { path = "@/huge", line = "x" }"#)).contains("too large"));
        let fetch = host.step(r#"fetch = { path = "@/huge", dest = "got" }"#);
        assert!(host.refused(&*fetch).contains("too large to be fetched"));
        // A file that is replaced by another one need not be read for that.
        let file = host.step(r#"file = { path = "@/huge", content = "small" }"#);
        host.drift(&*file);
        host.drift(&*host.step(r#"file = { path = "@/huge", content = "small", diff = false }"#));
    });
}

#[test]
fn names_may_be_as_long_as_the_file_system_takes() {
    each_shell(|host| {
        let name = "ä".repeat(127);
        host.apply(&format!(r#"file = {{ path = "@/{name}", content = "one" }}"#));
        host.apply(&format!(r#"file = {{ path = "@/{name}", content = "two" }}"#));
        assert_eq!(host.read(&name), "two");
        assert_eq!((host.kept(&name), host.names("").len()), ("one".into(), 1));
        let long = "x".repeat(256);
        let step = host.step(&format!(r#"file = {{ path = "@/{long}", content = "one" }}"#));
        let answer = host.act(&host.drift(&*step));
        assert!(answer.error_text().contains("too long (ENAMETOOLONG)"), "{}", answer.error_text());
        assert_eq!(host.names("").len(), 1);
        // In a folder of somebody else, too.
        if is_root() {
            std::fs::create_dir(host.at("home")).unwrap();
            chown(host.at("home"), Some(65534), Some(65534)).unwrap();
            for name in
                [name.as_str(), "-rf", "two\\nlines\\n", "back\\\\slash", "it's $HOME `id`", ".hidden"]
            {
                host.apply(&format!(r#"file = {{ path = "@/home/{name}", content = "one" }}"#));
                host.apply(&format!(r#"line = {{ path = "@/home/{name}", line = "two" }}"#));
                host.apply(&format!(
                    r#"file = {{ path = "@/home/{name}", mode = "0600", owner = "65534" }}"#
                ));
                host.apply(&format!(r#"directory = {{ path = "@/home/d/{name}/e", owner = "65534" }}"#));
                host.apply(&format!(r#"link = {{ path = "@/home/{name}", target = "-n", force = true }}"#));
                host.apply(&format!(r#"link = {{ path = "@/home/{name}", state = "absent" }}"#));
            }
            assert_eq!(host.names("home"), ["d"]);
        }
    });
}

#[test]
fn acls_attributes_and_the_folders_group_are_kept() {
    if !has("setfacl") || !is_root() {
        return;
    }
    each_shell(|host| {
        for (folder, owner) in [("own", 0), ("home", 65534)] {
            std::fs::create_dir(host.at(folder)).unwrap();
            chown(host.at(folder), Some(owner), Some(12345)).unwrap();
            mode(&host, folder, 0o2755);
            let file = format!("{folder}/f");
            host.write(&file, "old");
            let run = |words: &[&str]| {
                let out = Command::new(words[0]).args(&words[1..]).current_dir(host.at("")).output().unwrap();
                assert!(out.status.success(), "{words:?}: {out:?}");
                String::from_utf8(out.stdout).unwrap()
            };
            run(&["setfacl", "-m", "u:1234:rw", &file]);
            run(&["setfattr", "-n", "user.note", "-v", "mine", &file]);
            let acl = |name: &str| run(&["getfacl", "-cn", name]);
            let before = acl(&file);
            host.apply(&format!(r#"file = {{ path = "@/{file}", content = "new" }}"#));
            assert_eq!(acl(&file), before);
            assert!(run(&["getfattr", "-d", &file]).contains("user.note=\"mine\""));
            assert_eq!(acl(host.backup(&file).to_str().unwrap()), before);
            // A new one gets what the folder gives to new ones.
            run(&["setfacl", "-d", "-m", "u:1234:rwx", folder]);
            host.apply(&format!(r#"file = {{ path = "@/{folder}/new", content = "x" }}"#));
            let meta = std::fs::metadata(host.at(&format!("{folder}/new"))).unwrap();
            assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (0, 12345, 0o644));
            assert!(
                acl(&format!("{folder}/new")).contains("user:1234:rw"),
                "{}",
                acl(&format!("{folder}/new"))
            );
            host.apply(&format!(r#"directory = {{ path = "@/{folder}/a/b", mode = "0750" }}"#));
            let meta = std::fs::metadata(host.at(&format!("{folder}/a/b"))).unwrap();
            assert_eq!((meta.gid(), host.mode(&format!("{folder}/a")) & 0o2000), (12345, 0o2000));
        }
    });
}

#[test]
fn the_functions_work_in_busybox() {
    if !has("busybox") {
        return;
    }
    let host = Bench::new("busybox sh");
    host.apply(r#"file = { path = "@/a b'c", content = "one\n", mode = "0640" }"#);
    host.apply(r#"file = { path = "@/a b'c", content = "two\n" }"#);
    host.apply(r#"line = { path = "@/a b'c", line = "three" }"#);
    host.apply(r#"directory = { path = "@/d/e", mode = "0700" }"#);
    host.apply(r#"link = { path = "@/l", target = "d" }"#);
    host.apply(r#"file = { path = "@/l/x", content = "x" }"#);
    host.apply(r#"directory = { path = "@/d", state = "absent", purge = true }"#);
    assert_eq!(host.names(""), ["a b'c", "l"]);
    if is_root() {
        std::fs::create_dir(host.at("home")).unwrap();
        chown(host.at("home"), Some(65534), Some(65534)).unwrap();
        host.apply(r#"file = { path = "@/home/f", content = "one", owner = "65534" }"#);
        host.apply(r#"file = { path = "@/home/f", content = "two", mode = "0600" }"#);
        host.apply(r#"file = { path = "@/home/f", owner = "0" }"#);
        assert_eq!(host.names("home"), ["f"]);
    }
}
