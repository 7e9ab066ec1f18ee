//! `wait`: until a port is open, a page answers, a path is there, or a command succeeds.

use std::time::Duration;

use serde::Deserialize;

use super::family::existence::Existence;
use super::family::guards;
use super::family::path;
use super::{Action, Change, Context, Invalid, Step, Validate, Value, Verdict};
use crate::model::value;
use crate::model::{Kind, Resource};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;
use crate::shell::Script;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = &[];

/// What is waited for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    port: Option<u16>,
    address: Option<String>,
    http: Option<String>,
    status: Option<u16>,
    contains: Option<String>,
    #[serde(default)]
    insecure: bool,
    path: Option<String>,
    command: Option<String>,
    #[serde(default)]
    state: Existence,
    #[serde(default = "five_minutes", deserialize_with = "value::duration")]
    timeout: Duration,
    #[serde(default = "two_seconds", deserialize_with = "value::duration")]
    interval: Duration,
}

fn five_minutes() -> Duration {
    Duration::from_mins(5)
}

fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

/// Bound of one look, in seconds.
const LOOK: u64 = 10;

impl Validate for Wait {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let given = [
            ("port", self.port.is_some()),
            ("http", self.http.is_some()),
            ("path", self.path.is_some()),
            ("command", self.command.is_some()),
        ];
        let given: Vec<_> = given.iter().filter(|(_, set)| *set).map(|(key, _)| *key).collect();
        match given.as_slice() {
            [] => invalid.push(Invalid::new("", "wait for what? give `port`, `http`, `path` or `command`")),
            [_] => {}
            [first, second, ..] => {
                invalid.push(
                    Invalid::new(*second, format!("`{first}` and `{second}` exclude each other"))
                        .help("write two steps"),
                );
            }
        }
        let belongs = [
            ("address", self.address.is_some(), "port"),
            ("status", self.status.is_some(), "http"),
            ("contains", self.contains.is_some(), "http"),
            ("insecure", self.insecure, "http"),
        ];
        for (key, set, to) in belongs {
            if set && !given.contains(&to) {
                invalid.push(Invalid::new(key, format!("`{key}` goes with `{to}` alone")));
            }
        }
        if self.port == Some(0) {
            invalid.push(Invalid::new("port", "ports go from 1 to 65535"));
        }
        if let Some(url) =
            self.http.as_deref().filter(|u| !u.starts_with("http://") && !u.starts_with("https://"))
        {
            invalid.push(Invalid::new("http", format!("{url:?} does not begin with http:// or https://")));
        }
        let host = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if let Some(address) = self.address.as_deref().filter(|a| a.is_empty() || !a.chars().all(host)) {
            invalid
                .push(Invalid::new("address", format!("{address:?} is neither a host name nor an address")));
        }
        if let Some(path) = &mut self.path {
            invalid.extend(path::normalise(path, "path"));
        }
        if self.state == Existence::Absent && self.http.is_some() {
            invalid.push(
                Invalid::new("state", "`http` is waited for, not against").help("wait for the port to close"),
            );
        }
        if self.interval < Duration::from_secs(1) {
            invalid.push(Invalid::new("interval", "at least one second"));
        }
        invalid
    }
}

impl Step for Wait {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let text = answer.text();
        let what = self.what();
        if !answer.ok() {
            return Err(CheckError::unreadable(&probe, answer, "expected `yes` or `no WHY`"));
        }
        if text == "yes" {
            return Ok(Verdict::satisfied(what));
        }
        let tools = text.strip_prefix("tool ");
        let Some(why) = text.strip_prefix("no ").or(tools.map(|_| "not known")) else {
            return Err(CheckError::unreadable(&probe, answer, "expected `yes` or `no WHY`"));
        };
        let seconds = self.timeout.as_secs();
        let script = sh!(
            r#"{}
hw_end=$(( $(date +%s) + {} ))
while :; do
  hw_now=$(hw_look 2>&1)
  case $hw_now in yes) exit 0 ;; tool*) echo "none of ${hw_now#tool } is installed" >&2; exit 1 ;; esac
  [ "$(date +%s)" -lt "$hw_end" ] || break
  sleep {}
done
echo "gave up after {} s: ${hw_now#no }" >&2
exit 1
"#,
            self.look(),
            seconds,
            self.interval.as_secs(),
            seconds
        );
        // One look may still be under way when the time is up.
        let bound = self.timeout + Duration::from_secs(2 * LOOK + 30);
        let action = Action::new(format!("wait until {what}"), script).timeout(bound);
        let mut change = Change::new(format!("wait until {what}"))
            .field("now", why.to_owned(), Value::Text(what.clone()))
            .action(action);
        change.passive = true;
        Ok(match tools {
            None => Verdict::Drift(change),
            Some(tools) => Verdict::Unknown {
                until: Resource::here(Kind::Command, tools.split(',').next().unwrap_or_default()),
                then: Some(change),
                otherwise: format!("cannot look whether {what}: none of {tools} is installed"),
            },
        })
    }

    fn provides(&self) -> Vec<Resource> {
        if self.state == Existence::Absent {
            return Vec::new();
        }
        let port = self.port.filter(|_| self.address.is_none());
        let port = port.map(|port| Resource::here(Kind::Port, &port.to_string()));
        port.into_iter().chain(self.path.as_ref().map(|path| Resource::here(Kind::Path, path))).collect()
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = self.provides();
        if let (Some(port), Some(address), Existence::Present) = (self.port, &self.address, self.state) {
            needs.push(Resource::on(address, Kind::Port, &port.to_string()));
        }
        needs.extend(self.command.as_deref().map(|c| Resource::here(Kind::Command, guards::first_word(c))));
        needs
    }

    /// What it waits for comes about by itself.
    fn opaque(&self) -> bool {
        true
    }
}

impl Wait {
    /// What will hold, as a clause.
    fn what(&self) -> String {
        let gone = self.state == Existence::Absent;
        if let Some(port) = self.port {
            let at = self.address.as_ref().map(|a| format!(" of {a}")).unwrap_or_default();
            return format!("port {port}{at} is {}", if gone { "closed" } else { "open" });
        }
        if let Some(url) = &self.http {
            let holds = self.contains.as_ref().map(|c| format!(" and {c:?}")).unwrap_or_default();
            return format!("{url} answers {}{holds}", self.status.unwrap_or(200));
        }
        if let Some(path) = &self.path {
            return format!("{path} is {}", if gone { "gone" } else { "there" });
        }
        let command = guards::brief(self.command.as_deref().unwrap_or_default().trim());
        format!("`{command}` {}", if gone { "fails" } else { "succeeds" })
    }

    fn probe(&self) -> Probe {
        Probe::new(sh!("{}\nhw_look", self.look()))
    }

    /// The function `hw_look`: prints `yes`, `no WHY`, or `tool NAMES` if none of these tools is there.
    fn look(&self) -> Script {
        let (yes, no) = if self.state == Existence::Absent { ("no", "yes") } else { ("yes", "no") };
        if let Some(url) = &self.http {
            return self.look_http(url);
        }
        let test = if let Some(port) = self.port {
            match &self.address {
                None => listens(port),
                Some(address) => connects(address, port),
            }
        } else if let Some(path) = &self.path {
            sh!("timeout -s KILL {} test -e {}; hw_rc=$?; hw_is='there'; hw_not='not there'\n", LOOK, path)
        } else {
            let code = self.command.as_deref().unwrap_or_default();
            sh!(
                "{}hw_rc=$?; hw_is='it succeeds'; hw_not=\"exit code $hw_rc\"\n",
                guards::bounded(code, ">/dev/null")
            )
        };
        sh!(
            "hw_look() {\n{}case $hw_rc in 124|137) echo \"no it hangs\"; return ;; esac\nif [ $hw_rc = 0 ]; then hw_yes={} hw_why=$hw_is; else hw_yes={} hw_why=$hw_not; fi\n[ $hw_yes = yes ] && echo yes || echo \"no $hw_why\"\n}",
            test,
            yes,
            no
        )
    }

    fn look_http(&self, url: &str) -> Script {
        let (curl, wget) = if self.insecure { ("-sk", "--no-check-certificate") } else { ("-s", "--quiet") };
        sh!(
            r#"hw_look() {
hw_want={}; hw_part={}
if command -v curl >/dev/null; then
  # bash says aloud that it drops NULs.
  { hw_body=$(curl {} -m {} -w '\n%{http_code}' {}); hw_rc=$?; } 2>/dev/null
  hw_code=${hw_body##*
}; hw_body=${hw_body%
*}
elif command -v wget >/dev/null; then
  { hw_body=$(wget -q {} -T {} -t 1 --max-redirect=0 -S -O - {} 2>&1); hw_rc=$?; } 2>/dev/null
  hw_code=$(printf '%s\n' "$hw_body" | sed -n 's/^ *HTTP\/[0-9.]* \([0-9]*\).*/\1/p' | tail -n 1)
else echo 'tool curl, wget'; return; fi
case $hw_code in
  "$hw_want") case $hw_body in *"$hw_part"*) echo yes ;; *) echo 'no it answers, without the text' ;; esac ;;
  ''|000) echo "no it does not answer (exit code $hw_rc)" ;;
  *) echo "no it answers $hw_code" ;;
esac
}"#,
            u64::from(self.status.unwrap_or(200)),
            self.contains.clone().unwrap_or_default(),
            curl,
            LOOK,
            url,
            wget,
            LOOK,
            url
        )
    }
}

/// Whether something listens on the port on any address of the host: proc(5), state 0A is LISTEN.
fn listens(port: u16) -> Script {
    sh!(
        r#"awk '$4 == "0A" && $2 ~ /:{}$/ { found = 1 } END { exit !found }' /proc/net/tcp $([ ! -r /proc/net/tcp6 ] || echo /proc/net/tcp6); hw_rc=$?
hw_is='something listens'; hw_not='nothing listens'
"#,
        Script::new().user_code(&format!("{port:04X}"))
    )
}

/// Whether a connection to another address comes about. A POSIX shell cannot make one by itself.
fn connects(address: &str, port: u16) -> Script {
    let port = u64::from(port);
    sh!(
        r#"hw_a={}; hw_p={}
if command -v bash >/dev/null; then timeout -k 1 {} bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$hw_a" "$hw_p" 2>/dev/null; hw_rc=$?
elif command -v nc >/dev/null; then timeout -k 1 {} nc -z "$hw_a" "$hw_p" >/dev/null 2>&1; hw_rc=$?
else echo 'tool bash, nc'; return; fi
[ $hw_rc = 0 ] || hw_rc=1
hw_is='a connection comes about'; hw_not='no connection comes about'
"#,
        address,
        port,
        LOOK,
        LOOK
    )
}
