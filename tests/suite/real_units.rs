//! Questions about units and accounts and what acts on them, in real shells, with tools that answer as told.

use hostwright::model::Privilege;
use hostwright::probe::{Answers, CheckError};
use hostwright::step::{Change, Verdict};

use super::real_files::{Bench, each_shell};

/// Asks with `prelude` before the question (functions go before programs), `/run`, `/etc`, `/usr` and `/lib` of systemd
/// below the host's folder.
fn ask(host: &Bench, prelude: &str, text: &str) -> Result<Verdict, CheckError> {
    let step = host.step(text);
    let mut answers = Answers::default();
    for probe in step.probes() {
        answers.insert(
            &probe,
            &Privilege::Login,
            host.run(&here(host, prelude, &probe.script.render()), &[]),
        );
    }
    step.check(&answers.seen_with(&Privilege::Login))
}

fn here(host: &Bench, prelude: &str, script: &str) -> String {
    let root = host.at("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    let mut script = script.to_owned();
    for folder in ["/etc/systemd", "/usr/local/lib/systemd", "/run/systemd"] {
        script = script.replace(folder, &format!("{root}{folder}"));
    }
    for folder in ["/usr/lib/systemd", "/lib/systemd"] {
        script = script.replace(&format!(" {folder}"), &format!(" {root}{folder}"));
    }
    format!("timeout() {{ shift; \"$@\"; }}\n{prelude}\n{script}")
}

fn drift(verdict: Result<Verdict, CheckError>) -> Change {
    match verdict {
        Ok(Verdict::Drift(change)) => change,
        other => panic!("{other:?} is no drift"),
    }
}

fn booted(host: &Bench) {
    for folder in ["run/systemd/system", "etc/systemd/system", "usr/lib/systemd/system"] {
        std::fs::create_dir_all(host.at(folder)).unwrap();
    }
}

#[test]
fn a_host_without_systemd_is_told_in_a_sentence() {
    each_shell(|host| {
        let error = ask(&host, "", "service = \"crond\"").unwrap_err().to_string();
        assert!(error.starts_with("this host has no systemd: its first process is `"), "{error}");
        booted(&host);
        let dead = "systemctl() { echo 'Failed to connect to bus: Connection refused' >&2; return 1; }";
        let error = ask(&host, dead, "service = \"crond\"").unwrap_err().to_string();
        assert_eq!(
            error,
            "systemctl cannot say how crond.service stands: Failed to connect to bus: Connection refused"
        );
    });
}

#[test]
fn a_unit_is_found_by_what_would_be_its_alias_and_with_what_triggers_it() {
    each_shell(|host| {
        booted(&host);
        let unit = |name: &str, alias: &str| {
            host.write(&format!("usr/lib/systemd/system/{name}"), format!("[Install]\n{alias}\n"));
        };
        unit("ssh.service", "WantedBy=multi-user.target\nAlias=x.service sshd.service");
        unit("sshdx.service", "Alias=sshd-service.service asshd.service");
        unit("sshd@.service", "Alias=sshd.service");
        unit("gdm.service", "Alias = dm.service");
        unit("sddm.service", "Alias=dm.service");
        let systemctl = r"systemctl() {
  while [ $# -gt 0 ]; do [ $1 != -- ] || { shift; break; }; shift; done
  for u; do
    case $u in
    sshd.service|dm.service) printf 'Id=%s\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n\n' $u ;;
    ssh.service) printf 'Type=notify\nTriggeredBy=\nId=ssh.service\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=disabled\n\n' ;;
    cups.service) printf 'Type=notify\nTriggeredBy=cups.path cups.socket\nId=cups.service\nLoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=enabled\n\n' ;;
    cups.path) printf 'Id=cups.path\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n' ;;
    *) printf 'Id=%s\nLoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n\n' $u ;;
    esac
  done
}";
        let change = drift(ask(&host, systemctl, "service = { name = \"sshd\", running = false }"));
        assert_eq!(change.summary, "stop ssh.service");
        let error = ask(&host, systemctl, "service = \"dm\"").unwrap_err();
        assert!(format!("{error:?}").contains("gdm.service, sddm.service"), "{error:?}");
        let change = drift(ask(&host, systemctl, "service = { name = \"cups\", running = false }"));
        assert!(
            change.actions[0].script.to_string().ends_with("units='cups.service cups.path'"),
            "{change:?}"
        );
    });
}

#[test]
fn a_oneshot_that_systemd_has_forgotten_is_looked_up_in_the_journal() {
    each_shell(|host| {
        booted(&host);
        let systemctl = r"systemctl() {
  printf 'Type=oneshot\nRemainAfterExit=no\nResult=success\nExecMainExitTimestampMonotonic=0\nId=job.service\nNames=job.service\nLoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=static\n\n'
}
";
        let runs = |entry: &str| {
            let journal =
                format!("{systemctl}journalctl() {{ case \"$*\" in *UNIT=job.service*) {entry} ;; esac; }}");
            match ask(&host, &journal, "service = { name = \"job\", running = true }") {
                Ok(Verdict::Satisfied { .. }) => true,
                Ok(Verdict::Drift(_)) => false,
                other => panic!("{other:?}"),
            }
        };
        assert!(!runs(":"), "nothing is known of a run");
        assert!(runs(r"printf 'MESSAGE=Finished\nINVOCATION_ID=0a1b\n'"));
        assert!(runs(r"printf 'MESSAGE=Started\n'"), "systemd 219 knows no invocations");
        assert!(!runs(r"printf 'INVOCATION_ID=\nMESSAGE=skipped\n'"), "a condition kept it from running");
    });
}

#[test]
fn a_drop_in_that_systemd_has_not_read_is_read() {
    each_shell(|host| {
        booted(&host);
        let log = host.at("log");
        let reloads = |read: &str| {
            std::fs::write(&log, "").unwrap();
            let root = host.at("");
            let read = read.replace("ROOT", root.to_str().unwrap().trim_end_matches('/'));
            let systemctl = format!(
                "systemctl() {{ echo \"$1\" >>'{}'; printf 'Type=notify\\nId=a@b.service\\nNames=a@b.service\\nLoadState=loaded\\nActiveState=inactive\\nUnitFileState=enabled\\nNeedDaemonReload=no\\nDropInPaths={read}\\n'; }}",
                log.display()
            );
            let change = drift(ask(&host, &systemctl, r#"service = { name = "a\u0040b", running = true }"#));
            let script = here(&host, &systemctl, &change.actions[0].script.render());
            // It is never active here; what is of interest is what was called before its start.
            host.run(&format!("journalctl() {{ :; }}\n{script}"), &[]);
            let log = std::fs::read_to_string(&log).unwrap();
            assert!(log.contains("start\n"), "{log}");
            log.contains("daemon-reload\n")
        };
        assert!(!reloads(""));
        std::fs::create_dir(host.at("etc/systemd/system/a@.service.d")).unwrap();
        host.write("etc/systemd/system/a@.service.d/one.conf", "[Service]\n");
        assert!(reloads(""));
        assert!(!reloads("ROOT/etc/systemd/system/a@.service.d/one.conf"));
        // The one of a higher folder wins, so that the lower one is never read.
        std::fs::create_dir(host.at("usr/lib/systemd/system/a@b.service.d")).unwrap();
        host.write("usr/lib/systemd/system/a@b.service.d/one.conf", "[Service]\n");
        assert!(!reloads("ROOT/etc/systemd/system/a@.service.d/one.conf"));
        // One that is masked is not read either.
        std::os::unix::fs::symlink("/dev/null", host.at("etc/systemd/system/a@.service.d/two.conf")).unwrap();
        assert!(!reloads("ROOT/etc/systemd/system/a@.service.d/one.conf"));
        std::fs::create_dir(host.at("etc/systemd/system/a@b.service.d")).unwrap();
        host.write("etc/systemd/system/a@b.service.d/three.conf", "[Service]\n");
        assert!(reloads("ROOT/etc/systemd/system/a@.service.d/one.conf"));
    });
}

#[test]
fn accounts_are_asked_by_name_and_by_number() {
    each_shell(|host| {
        let getent = r"getent() {
  db=$1; shift 2; hit=0
  for k; do
    case $db:$k in
    passwd:anna|passwd:1001) echo 'anna:x:1001:1001:Anna *:/nonexistent:/bin/sh' ;;
    group:anna|group:1001) echo 'anna:x:1001:' ;;
    group:wheel|group:10) echo 'wheel:x:10:anna,bert' ;;
    *) hit=2 ;;
    esac
  done
  return $hit
}
id() { echo 'uid=1001(anna) gid=1001(anna) groups=1001(anna),10(wheel),77(domain users)'; }";
        let text = |text: &str| match ask(&host, getent, text) {
            Ok(Verdict::Satisfied { reason, .. }) => reason,
            Ok(Verdict::Drift(change)) => change.summary,
            Ok(Verdict::Unknown { otherwise, .. }) => otherwise,
            Err(error) => error.to_string(),
        };
        assert_eq!(
            text(r#"user = { name = "anna", uid = 1001, group = 1001, groups = [10] }"#),
            "uid 1001, groups anna, wheel, domain users"
        );
        assert_eq!(
            text(r#"user = { name = "bert", uid = 1001 }"#),
            "the number 1001 is taken: it is the user anna's"
        );
        assert_eq!(text(r#"user = { name = "bert", groups = ["nosuch"] }"#), "there is no group nosuch");
        assert_eq!(text(r#"user = "bert""#), "make the user bert");
        assert_eq!(text(r#"user = { name = "anna", state = "absent" }"#).lines().count(), 1);
        assert_eq!(
            text(r#"group = { name = "docker", gid = 10 }"#),
            "the number 10 is taken: it is the group wheel's"
        );
        assert_eq!(text(r#"group = { name = "wheel", gid = 10 }"#), "gid 10");
        // Of this machine: root is the first group of root.
        let all = "getent() { echo 'wheel:x:0:'; }";
        match ask(&host, all, r#"group = { name = "wheel", state = "absent" }"#) {
            Err(CheckError::Refused { message, .. }) => {
                assert!(message.contains("directory service") || message.contains("first group of root"));
            }
            other => panic!("{other:?}"),
        }
        // A home is looked for where it is.
        let home = host.at("");
        let getent = getent.replace("/nonexistent", home.to_str().unwrap().trim_end_matches('/'));
        let local = r#"user = { name = "anna", create_home = true }"#;
        assert!(matches!(ask(&host, &getent, local), Ok(Verdict::Satisfied { .. })));
    });
}
