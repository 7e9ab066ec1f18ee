//! Commands, scripts, waits, assertions and fetches, run for real.

use std::io::{Read as _, Write as _};

use hostwright::model::Privilege;
use hostwright::probe::Answers;
use hostwright::step::{Then, Value, Verdict};

use super::real_files::{Bench, each_shell};

#[test]
fn a_command_runs_until_its_guards_hold() {
    each_shell(|host| {
        host.apply(r#"command = { run = "echo x > 'a b'", chdir = "@", creates = "@/a b" }"#);
        host.apply(r#"command = { run = ["rm", "-f", "--", "a b"], chdir = "@", removes = "@/a b" }"#);
        host.apply(
            r#"command = { run = "echo \"$GREETING\" >@/g", unless = "grep -q \"^it's \\$HOME$\" @/g", env = { GREETING = "it's $HOME" } }"#,
        );
        assert_eq!(host.read("g"), "it's $HOME\n");
        host.apply(r#"command = { run = "rm -f @/g # a comment", only_if = "test -e @/g" }"#);
        host.apply(
            r#"command = { run = "cat > @/in; cat >> @/in", stdin = "from\nfd 3\n", creates = "@/in" }"#,
        );
        assert_eq!(host.read("in"), "from\nfd 3\n");
    });
}

#[test]
fn guards_cannot_harm_the_check() {
    each_shell(|host| {
        // They neither eat the rest of the script nor leak their output, and `exit` ends them alone.
        let step = host.step(
            r#"command = { run = "true", unless = "echo only_if 0; cat; exit 1", only_if = "echo creates 0; exit 0" }"#,
        );
        host.drift(&*step);
        let step = host.step("command = { run = \"true\", unless = 'if then' }");
        host.drift(&*step);
        // Nor does a mistake in `only_if` pass for "nothing to do".
        for (code, why) in [
            ("if then", "does not understand `only_if`"),
            ("true; fi", "does not understand `only_if`"),
            ("'", "does not understand `only_if`"),
            ("/dev/null", "`only_if` cannot be run"),
        ] {
            let step = host.step(&format!(r#"command = {{ run = "true", only_if = "{code}" }}"#));
            assert!(host.refused(&*step).contains(why), "{code}");
        }
        for code in ["exit 2", "test", "grep -q x @/none", "echo 'only_if 0'; echo read 0; false"] {
            let step = host.step(&format!(r#"command = {{ run = "true", only_if = "{code}" }}"#));
            assert!(host.satisfied(&*step).contains("fails (exit code"), "{code}");
        }
        // An unknown program is a need.
        let step = host.step(r#"command = { run = "true", unless = "nosuchprogram -x" }"#);
        match host.check(&*step) {
            Ok(Verdict::Unknown { until, otherwise, .. }) => {
                assert_eq!(until.to_string(), "command nosuchprogram");
                assert!(otherwise.contains("not found"), "{otherwise}");
            }
            other => panic!("{other:?}"),
        }
        let step = host.step(r#"command = { run = "true", unless = "true", chdir = "@/none" }"#);
        assert!(matches!(host.check(&*step), Ok(Verdict::Unknown { .. })));
        // Secrets in guards are no arguments of any process.
        let step = host.step(r#"command = { run = "true", unless = "grep -qa s3cr3tw0rd /proc/[0-9]*/cmdline 2>/dev/null; [ $? = 1 ] # s3cr3tw0rd" }"#);
        let script = step.probes()[0].script.render();
        assert!(!script.lines().any(|l| l.starts_with("timeout") && l.contains("s3cr3t")), "{script}");
    });
}

#[test]
fn exit_codes_count_as_the_user_says() {
    each_shell(|host| {
        let run = |text: &str| host.act(&host.drift(&*host.step(text)));
        assert_eq!(run(r#"command = { run = "exit 3", always = true }"#).code, 3);
        assert_eq!(run(r#"command = { run = "exit 3", always = true, ok_codes = [0, 3] }"#).code, 0);
        let answer = run(r#"command = { run = "exit 0", always = true, ok_codes = [3] }"#);
        assert_eq!((answer.code, &*answer.error_text()), (1, "exit code 0, expected 3"));
        let answer = run(r#"command = { run = "true", always = true, chdir = "/nosuch" }"#);
        assert_eq!(answer.code, 125, "{answer:?}");
    });
}

#[test]
fn a_handler_needs_no_guard_and_obeys_only_if() {
    each_shell(|host| {
        let notified = |text: &str| {
            let step = host.step(text);
            let change = step.on_notify(&host.ask(&*step).seen_with(&Privilege::Login)).unwrap().unwrap();
            assert!(change.always, "nobody asks whether it held");
            host.act(&change)
        };
        assert!(host.refused(&*host.step(r#"command = "touch @/a""#)).contains("nothing says how to know"));
        assert!(notified(r#"command = "touch @/a""#).ok());
        assert!(notified(r#"command = { run = "touch @/b", only_if = "test -e @/none" }"#).ok());
        assert!(notified(r#"command = { run = "touch @/c", only_if = "test -e @/a" }"#).ok());
        for code in ["if then", "nosuchprogram", "/dev/null"] {
            let answer = notified(&format!(r#"command = {{ run = "touch @/d", only_if = "{code}" }}"#));
            assert!(answer.error_text().contains("`only_if` cannot be asked"), "{code}: {answer:?}");
        }
        assert!(notified(r#"command = { run = "touch @/e; exit 2", only_if = "exit 2" }"#).ok());
        assert_eq!(host.names(""), ["a", "c"]);
    });
}

#[test]
fn a_script_runs_with_its_interpreter_and_arguments() {
    each_shell(|host| {
        std::fs::write(host.local("s.sh"), "#!/bin/sh -e\nprintf '%s|' \"$@\" \"$X\" >\"$1\"\n").unwrap();
        host.apply(
            r#"script = { source = "s.sh", args = ["@/out", "two words", "it's", ""], env = { X = "x" }, creates = "@/out" }"#,
        );
        let out = host.at("out");
        assert_eq!(host.read("out"), format!("{}|two words|it's||x|", out.display()));
        host.apply(
            r#"script = { content = "echo in place > @/o2\nexit 7\n", ok_codes = [7], creates = "@/o2" }"#,
        );
        host.apply(r#"script = { content = "BEGIN { print \"awk\" > \"@/o3\" }", interpreter = ["awk", "-f"], creates = "@/o3" }"#);
        assert_eq!(host.read("o3"), "awk\n");
        let change = host.drift(&*host.step(r#"script = { content = "touch @/half", always = true }"#));
        let answer = host.run(&change.actions[0].script.render(), b"touch @");
        assert!(answer.error_text().contains("did not arrive whole"), "{answer:?}");
        assert!(
            host.try_step("script = { content = \"#!/bin/sh\\r\\necho\\r\\n\", always = true }").is_err()
        );
        let mistakes =
            host.try_step("script = { content = \"\u{feff}#!/bin/bash\\ntrue\\n\", always = true }");
        assert!(mistakes.unwrap_err()[0].message.contains("byte order mark"));
        assert!(host.try_step("script = { always = true }").is_err());
    });
}

#[test]
fn an_assertion_holds_or_says_what_does_not() {
    each_shell(|host| {
        host.satisfied(&*host.step(r#"assert = { that = ["true", true], command = "test -d @" }"#));
        let refused = |text: &str| host.refused(&*host.step(text));
        assert_eq!(refused(r#"assert = { that = [true, "false"] }"#), "condition 2 of `that` does not hold");
        assert_eq!(refused(r#"assert = { that = false, message = "too small" }"#), "too small");
        assert_eq!(refused(r#"assert = { command = ["true", "test -e @/x"] }"#)[..6], *"`test ");
        assert!(refused(r#"assert = { command = "nosuchprogram" }"#).contains("not found"));
        assert!(host.try_step(r#"assert = { that = "maybe" }"#).is_err());
        assert!(host.try_step("assert = { that = [] }").is_err());
        assert!(host.try_step(r#"assert = { message = "x" }"#).is_err());
    });
}

#[test]
fn a_wait_sees_ports_pages_paths_and_commands() {
    each_shell(|host| {
        // Not one that the kernel hands out: another test could be given it once it is closed here.
        let listener =
            (20_000..30_000).find_map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let page = std::thread::spawn(move || {
            // Until it is told to stop.
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0u8; 2000];
                let n = stream.read(&mut request).unwrap_or(0);
                if request[..n].starts_with(b"STOP") {
                    return;
                }
                let _ = stream.write_all(
                    b"HTTP/1.1 503 Busy\r\nContent-Length: 11\r\nConnection: close\r\n\r\n\0\xe9not *yet*",
                );
            }
        });
        host.satisfied(&*host.step(&format!("wait = {{ port = {port} }}")));
        host.satisfied(&*host.step(&format!(r#"wait = {{ port = {port}, address = "127.0.0.1" }}"#)));
        let busy = host.step(&format!(
            r#"wait = {{ http = "http://127.0.0.1:{port}/x?a=1&b", timeout = 1, interval = 1 }}"#
        ));
        let change = host.drift(&*busy);
        assert_eq!(change.fields[0].before, Value::Text("it answers 503".into()));
        let answer = host.act(&change);
        assert_eq!((answer.code, &*answer.error_text()), (1, "gave up after 1 s: it answers 503"));
        let text = |contains: &str| {
            host.step(&format!(
                r#"wait = {{ http = "http://127.0.0.1:{port}", status = 503, contains = "{contains}" }}"#
            ))
        };
        host.satisfied(&*text("not *yet*"));
        // The action looks as the question does, NULs in the page or not.
        let change = host.drift(&*text("n*t"));
        let script = change.actions[0].script.render().replace("n*t", "not *yet*");
        assert!(host.run(&script, &[]).ok());
        assert_eq!(
            host.drift(&*text("n*t")).fields[0].before,
            Value::Text("it answers, without the text".into())
        );
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"STOP").unwrap();
        page.join().unwrap();
        host.satisfied(&*host.step(&format!(r#"wait = {{ port = {port}, state = "absent" }}"#)));
        let gone = host
            .drift(&*host.step(&format!(r#"wait = {{ http = "http://127.0.0.1:{port}", timeout = 1 }}"#)));
        assert!(matches!(&gone.fields[0].before, Value::Text(t) if t.starts_with("it does not answer")));
        let closed = host.step(&format!(r#"wait = {{ port = {port}, address = "127.0.0.1" }}"#));
        assert_eq!(host.drift(&*closed).fields[0].before, Value::Text("no connection comes about".into()));

        // Something that comes about while it is waited for.
        let path = host.step(r#"wait = { path = "@/a b", interval = 1 }"#);
        let change = host.drift(&*path);
        let file = host.at("a b");
        let later = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            std::fs::write(file, "").unwrap();
        });
        assert!(host.act(&change).ok());
        later.join().unwrap();
        host.satisfied(&*path);
        host.satisfied(&*host.step(r#"wait = { command = "test -e '@/a b'" }"#));
        let gone = host
            .step(r#"wait = { command = "test -e '@/a b'", state = "absent", timeout = 1, interval = 1 }"#);
        assert_eq!(host.act(&host.drift(&*gone)).code, 1);
    });
}

#[test]
fn a_file_is_fetched_once() {
    each_shell(|host| {
        let bytes = b"binary \0 \n\n";
        host.write("a b", bytes);
        let text = r#"fetch = { path = "@/a b", dest = "got" }"#;
        let change = host.drift(&*host.step(text));
        assert!(matches!(&change.actions[0].then, Then::Save(path) if path.starts_with("got/worker-01")));
        assert!(host.act(&change).ok());
        let saved = host.local("got/worker-01").join(host.at("a b").strip_prefix("/").unwrap());
        assert_eq!(std::fs::read(saved).unwrap(), bytes);
        host.satisfied(&*host.step(text));
        host.write("a b", "changed");
        host.drift(&*host.step(text));
        assert!(matches!(
            host.check(&*host.step(r#"fetch = { path = "@/x", dest = "got" }"#)),
            Ok(Verdict::Unknown { .. })
        ));
        host.satisfied(&*host.step(r#"fetch = { path = "@/x", dest = "got", optional = true }"#));
    });
}

#[test]
fn a_reboot_is_asked_about_and_scheduled_for_later() {
    for shell in ["dash", "bash"] {
        let host = Bench::new(shell);
        let step = host.step(r#"reboot = "needed""#);
        // The answer of this very machine makes sense, whatever it is.
        assert!(host.check(&*step).is_ok());
        let probe = step.probes()[0].script.render();
        // A machine with another kernel to come, and packages that ask.
        std::fs::create_dir_all(host.at("modules/9.9.9-1.el9")).unwrap();
        host.write("vmlinuz-9.9.9-1.el9", "");
        host.write("reboot-required", "");
        host.write("reboot-required.pkgs", "libc6\nlinux-base\nlibc6\n");
        let folder = host.at("").display().to_string();
        let folder = folder.trim_end_matches('/');
        let probe = probe
            .replace("/boot/", &format!("{folder}/"))
            .replace("/lib/modules", &format!("{folder}/modules"))
            .replace("/var/run/", &format!("{folder}/"));
        let answer = host.run(&probe, &[]);
        let mut answers = Answers::default();
        answers.insert(&step.probes()[0], &Privilege::Login, answer);
        let Ok(Verdict::Drift(change)) = step.check(&answers.seen_with(&Privilege::Login)) else {
            panic!("{answers:?}")
        };
        let Value::Text(reasons) = &change.fields[0].after else { panic!() };
        assert!(reasons.starts_with("packages ask for it: libc6 linux-base"), "{reasons}");
        assert!(reasons.contains("kernel 9.9.9-1.el9 is installed"), "{reasons}");
        assert!(change.disrupts.is_some());

        // The action answers at once and restarts later, in a session of its own.
        let script = change.actions[0].script.render();
        let script = script.replace("/run/systemd/system", "/nosuch").replace(
            "sleep 2; systemctl reboot || shutdown -r now || reboot",
            &format!("sleep 1; ps -o sid= -p $$ > {folder}/done"),
        );
        let start = std::time::Instant::now();
        let answer = host.run(&script, &[]);
        assert!(answer.ok() && start.elapsed().as_millis() < 900, "{answer:?} {:?}", start.elapsed());
        assert!(!host.at("done").exists());
        while !host.at("done").exists() && start.elapsed().as_secs() < 20 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert!(host.at("done").exists());
    }
}
