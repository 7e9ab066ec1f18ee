//! `hostname`: what the host calls itself, now and at boot.

use serde::Deserialize;

use super::{Action, Change, Context, Invalid, Step, Validate, Value, Verdict};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;

/// The name of a host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hostname {
    name: String,
}

impl Validate for Hostname {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let label = |part: &str| {
            (1..=63).contains(&part.len())
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        // HOST_NAME_MAX of Linux is 64 (hostname(7)).
        if self.name.len() > 64 || !self.name.split('.').all(label) {
            return vec![
                Invalid::new("name", format!("{:?} is not a host name", self.name))
                    .help("letters, digits and `-`, parts of at most 63 with a dot between, 64 in all"),
            ];
        }
        Vec::new()
    }
}

impl Step for Hostname {
    fn probes(&self) -> Vec<Probe> {
        vec![probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = probe();
        let answer = readings.of(&probe)?;
        let text = answer.text();
        let line = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).map(str::trim);
        let (Some(now), Some(boot), true) = (line("now "), line("boot "), answer.ok()) else {
            return Err(CheckError::unreadable(&probe, answer, "expected the name now and at boot"));
        };
        if now == self.name && boot == self.name {
            return Ok(Verdict::satisfied(self.name.clone()));
        }
        let mut change = Change::new(format!("call the host {}", self.name));
        if now != self.name {
            change = change.field("now", now, self.name.clone());
        }
        if boot != self.name {
            let before = if boot.is_empty() { Value::Absent } else { boot.into() };
            change = change.field("at boot", before, self.name.clone());
        }
        if line("docker").is_some() {
            change = change.note("a swarm shows the new name once Docker is restarted");
        }
        if line("cloud-init").is_some() {
            change = change
                .note("cloud-init may put the old name back at boot, unless /etc/cloud/cloud.cfg has `preserve_hostname: true`");
        }
        Ok(Verdict::Drift(change.action(Action::new(format!("call the host {}", self.name), self.script()))))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Asks the kernel and /etc/hostname (hostname(5)); no process is started for it.
fn probe() -> Probe {
    Probe::new(sh!(r#"read -r hw_now </proc/sys/kernel/hostname || exit 3
hw_boot=
if [ -e /etc/hostname ]; then
  while read -r hw_l || [ "$hw_l" ]; do
    case $hw_l in ""|\#*) ;; *) hw_boot=$hw_l; break ;; esac
  done </etc/hostname
fi
echo "now $hw_now"
echo "boot $hw_boot"
[ ! -S /run/docker.sock ] || echo docker
if [ -e /etc/cloud/cloud.cfg ]; then
  hw_keeps=
  while read -r hw_l; do
    case $hw_l in "preserve_hostname: true"*) hw_keeps=1 ;; esac
  done </etc/cloud/cloud.cfg
  [ "$hw_keeps" ] || echo cloud-init
fi
exit 0"#))
}

impl Hostname {
    /// hostnamectl(1) tells others of the new name, but needs D-Bus, which a small host may lack.
    fn script(&self) -> crate::shell::Script {
        sh!(
            r#"n={}
if timeout 30 hostnamectl set-hostname "$n" 2>/dev/null &&
   [ "$(cat /etc/hostname)" = "$n" ] && [ "$(cat /proc/sys/kernel/hostname)" = "$n" ]; then exit 0; fi
set -e
printf '%s\n' "$n" >/etc/hostname.hostwright-new
chmod 0644 /etc/hostname.hostwright-new
mv -f /etc/hostname.hostwright-new /etc/hostname
if command -v restorecon >/dev/null; then restorecon /etc/hostname || :; fi
printf '%s\n' "$n" >/proc/sys/kernel/hostname"#,
            self.name
        )
    }
}
