//! What the host is asked about zones and rules, with shells and a `firewall-cmd` of its own.

use super::*;
use crate::model::Privilege;
use crate::probe::Answers;

fn open(ports: &[&str]) -> Opened {
    Opened { items: ports.iter().map(|p| Item::port(p).unwrap()).collect(), ..Opened::default() }
}

#[test]
fn a_range_lets_its_ports_in() {
    let open = open(&["8000-8010/tcp", "8011-8020/tcp", "53/udp"]);
    for (port, has, touches) in [
        ("8005/tcp", true, true),
        ("8000-8010/TCP", true, true),
        ("8005/udp", false, false),
        ("8010-8011/tcp", true, true),
        ("8019-8021/tcp", false, true),
        ("7999-8030/tcp", false, true),
        ("0053-53/udp", true, true),
    ] {
        let port = Item::port(port).unwrap();
        assert_eq!((open.has(&port), open.touches(&port)), (has, touches), "{port}");
    }
    for wrong in ["6379", "0/tcp", "70000/tcp", "9-8/tcp", "80/http", ""] {
        assert_eq!(Item::port(wrong), None, "{wrong}");
    }
}

#[test]
fn a_protocol_has_a_name_and_a_number() {
    let protocol = |name: &str| Item::Protocol(name.into());
    assert!(protocol("esp").same(&protocol("50")) && protocol("47").same(&protocol("GRE")));
    assert!(!protocol("esp").same(&protocol("51")) && !protocol("x").same(&protocol("y")));
}

/// A `firewall-cmd` that knows one zone whose rules are in a file, in canonical form, and that takes a rule in any
/// spelling that its table of spellings has.
const FAKE: &str = r#"#!/bin/sh
echo "$*" >>"$HW_DIR/calls"
[ "$1" != --permanent ] || shift
[ "$1" != --zone=public ] || shift
known() { while IFS='|' read -r a b; do [ "$a" != "$1" ] || { k=$b; return 0; }; done <"$HW_DIR/spellings"; return 1; }
case $1 in
  --list-all) printf 'public\n  services: ssh\n  ports: \n  rich rules: \n'; sed 's/^/	/' "$HW_DIR/rules" ;;
  --query-rich-rule=*)
    n=$#
    for q do
      r=${q#*=}
      if ! known "$r"; then
        if [ "$n" -gt 1 ]; then echo "Warning: INVALID_RULE: bad" >&2; echo "'$r': yes"; continue; fi
        echo "Error: INVALID_RULE: bad attribute 'x'
  in it" >&2; exit 122
      fi
      if grep -qxF -e "$k" "$HW_DIR/rules"; then y=yes; else y=no; fi
      if [ "$n" -gt 1 ]; then echo "'$r': $y"; else echo $y; [ $y = yes ]; exit; fi
    done ;;
  *) exit 2 ;;
esac
"#;

/// What the probe says in a place with these rules, and the calls that it took.
fn ask(listed: &[&str], rules: &[&str], absent: bool) -> (Result<Found, CheckError>, String) {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let lines = |lines: &[&str]| lines.iter().map(|l| format!("{l}\n")).collect::<Vec<_>>().concat();
    std::fs::write(at("rules"), lines(listed)).unwrap();
    std::fs::write(
        at("spellings"),
        lines(&[
            "rule a|rule family=\"ipv4\" a",
            "rule it's b|rule b",
            "rule service name=\"x\" drop|rule service name=\"x\" drop",
            "rule service name=x drop|rule service name=\"x\" drop",
        ]),
    )
    .unwrap();
    std::fs::write(at("firewall-cmd"), FAKE).unwrap();
    let run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(at("firewall-cmd"), run).unwrap();
    let rules = Rules { rules, absent, offline: false };
    let place = Place::Zone("public");
    let probe = probe(&place, rules);
    let mut results = Vec::new();
    for shell in ["dash", "bash", "busybox"] {
        std::fs::write(at("calls"), "").unwrap();
        let mut command = std::process::Command::new(shell);
        if shell == "busybox" {
            command.arg("sh");
        }
        command.env("PATH", format!("{}:/usr/bin:/bin", dir.path().display())).env("HW_DIR", dir.path());
        let Ok(out) = command.arg("-c").arg(probe.script.render()).output() else { continue };
        let answer = Answer { code: out.status.code().unwrap(), stdout: out.stdout, stderr: out.stderr };
        let mut answers = Answers::default();
        answers.insert(&probe, &Privilege::Login, answer);
        let calls = std::fs::read_to_string(at("calls")).unwrap();
        results.push((read(&answers.seen_with(&Privilege::Login), &place, rules), calls));
    }
    results.dedup();
    assert_eq!(results.len(), 1, "the shells differ: {results:?}");
    results.pop().unwrap()
}

#[test]
fn firewalld_is_asked_about_rules_that_it_does_not_list_word_by_word() {
    let has = |found: &Result<Found, CheckError>, rule: &str| match found {
        Ok(Found::Running(now)) => {
            assert_eq!(now.runtime, now.permanent);
            now.runtime.touches(&Item::Rule(rule.into()))
        }
        other => panic!("{other:?}"),
    };
    let listed = ["rule family=\"ipv4\" a", "rule service name=\"x\" drop"];
    // Listed in the form that it will have: nothing more is asked.
    let (found, calls) = ask(&listed, &["rule service name=x drop"], false);
    assert!(has(&found, "rule service name=x drop"));
    assert_eq!(calls.lines().count(), 2, "{calls}");
    // Not understood here: asked for, both at once.
    let (found, calls) = ask(&listed, &["rule a", "rule it's b"], false);
    assert!(has(&found, "rule a") && !has(&found, "rule it's b"));
    assert_eq!(calls.lines().count(), 4, "{calls}");
    // To be gone, from a zone without rules: nothing more is asked.
    let (found, calls) = ask(&[], &["rule a"], true);
    assert!(!has(&found, "rule a"));
    assert_eq!(calls.lines().count(), 2, "{calls}");
    assert!(has(&ask(&listed, &["rule a"], true).0, "rule a"));
    // Not taken, alone or beside others: in its own words.
    for rules in [&["rule x"][..], &["rule a", "rule x"], &["rule x", "rule a"]] {
        let Err(CheckError::Refused { message, .. }) = ask(&listed, rules, false).0 else { panic!() };
        assert_eq!(
            message,
            "firewalld does not take the rich rule `rule x`: INVALID_RULE: bad attribute 'x' in it"
        );
    }
}

#[test]
fn what_goes_is_named_as_it_is_listed() {
    let now = open(&["8000-8010/tcp", "9000/tcp"]);
    let script = |port: &str| {
        let items = [Item::port(port).unwrap()];
        act(&Place::Zone("public"), &items, false, Side::Permanent, Some(&now)).to_string()
    };
    let start = "change_zone.sh side=permanent zone=public";
    assert_eq!(
        script("8000-9000/tcp"),
        format!("{start} options='--remove-port=8000-8010/tcp --remove-port=9000/tcp'")
    );
    assert_eq!(
        script("8005/tcp"),
        format!(
            "{start} cuts='--remove-port=8005/tcp --remove-port=8000-8010/tcp --add-port=8000-8004/tcp \
             --add-port=8006-8010/tcp'"
        )
    );
}

#[test]
fn every_service_of_the_table_has_ports() {
    for (service, ports) in SERVICES {
        assert_eq!(ports_of(service).unwrap().len(), ports.len());
    }
}
