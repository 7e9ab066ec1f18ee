//! The schedules of `explain reports`, as they are written there: a timer of systemd, and the job of a CI system.

use crate::Book;
use crate::lab::{bring, lab, on, until};

/// Where the units and the script are written down.
const MANUAL: &str = include_str!("../../../src/manual/reports.md");

/// A fleet of one host: the machine itself, and what is to be so there.
const FLEET: &str = r#"
useradd -m audit && mkdir -p /srv/fleet/playbooks /srv/fleet/reports && cd /srv/fleet
printf '[hosts.here]\nconnection = "local"\n' >inventory.toml
printf 'title = "Message"\nhosts = "all"\n[[step]]\nfile = { path = "/srv/fleet/motd", content = "hello\\n" }\n' >playbooks/motd.toml
echo hello >motd && chown -R audit: /srv/fleet
"#;

/// The code block of the manual that begins with this.
fn block(start: &str) -> &'static str {
    let from = MANUAL.find(&format!("```{start}")).expect("the manual has it") + 3 + start.len();
    MANUAL[from..].split_once("```").expect("it ends").0.trim_start_matches(|c| c != '\n').trim_start()
}

/// How the last run of the service ended.
fn code() -> String {
    on("143", "systemctl show -p ExecMainStatus --value fleet-audit.service")
}

pub fn chapter(book: &mut Book) {
    book.check("a host that audits itself", || {
        lab(&["up"]);
        bring("143", env!("CARGO_BIN_EXE_hostwright"), "/usr/local/bin/hostwright");
        on("143", FLEET);
        for unit in block("ini").split("# /etc/systemd/system/").skip(1) {
            let (name, text) = unit.split_once('\n').unwrap();
            on("143", &format!("cat >/etc/systemd/system/{name} <<'END'\n{text}\nEND"));
        }
        on("143", "systemd-analyze verify fleet-audit.timer fleet-audit.service && systemctl daemon-reload");
    });
    book.check("the unit of the manual keeps reports, and fails on drift with the code of the audit", || {
        on("143", "systemctl start fleet-audit.service && ls /srv/fleet/reports/*.html");
        assert_eq!(code(), "0");
        on("143", "echo moon >/srv/fleet/motd; ! systemctl start fleet-audit.service 2>&1");
        assert_eq!(code(), "2");
        let said = on("143", "journalctl -u fleet-audit.service -o cat");
        assert!(said.contains("+hello") && said.contains("drifted: motd/step-1 on here"), "{said}");
    });
    book.check("the timer of the manual makes up for a night that it has missed", || {
        // Only how long it waits at random is another than in the manual.
        on(
            "143",
            "rm -f /srv/fleet/reports/*; echo hello >/srv/fleet/motd; systemctl reset-failed fleet-audit.service; \
             mkdir -p /etc/systemd/system/fleet-audit.timer.d /var/lib/systemd/timers; \
             printf '[Timer]\\nRandomizedDelaySec=0\\n' >/etc/systemd/system/fleet-audit.timer.d/now.conf; systemctl daemon-reload; \
             touch -d '2 days ago' /var/lib/systemd/timers/stamp-fleet-audit.timer; systemctl enable --now fleet-audit.timer",
        );
        until("a report is there", || on("143", "ls /srv/fleet/reports").contains(".json"));
        until("the audit has ended", || on("143", "systemctl is-active fleet-audit.service || :") == "inactive");
        assert_eq!(code(), "0");
    });
    book.check("the job of the manual fails on drift, and its reports are there", || {
        let job = format!("cd /srv/fleet; cat >job.sh <<'END'\n{}\nEND\n", block("sh"));
        let ran = on("143", &(job + "echo moon >motd; sh job.sh >/dev/null 2>&1; echo $?; ls audit.xml audit.html"));
        assert_eq!(ran, "2\naudit.html\naudit.xml");
        let ran = on("143", "cd /srv/fleet; echo hello >motd; sh job.sh >/dev/null 2>&1; echo $?; grep -c '<failure' audit.xml || :");
        assert_eq!(ran, "0\n0");
    });
}
