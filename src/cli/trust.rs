//! `trust`: a public key of the user is let in on hosts, by a playbook of our own that is applied like any other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::apply::How;
use super::args::Trust;
use super::environment::{Controller, WithFiles};
use super::exit::Exit;
use super::question::may_ask;
use super::recording::Invocation;
use super::settings::{self, Display};
use super::{apply, common, output};
use crate::config::{Environment as _, Options};
use crate::secret_file::USUAL;

/// What is applied.
const PLAYBOOK: &str = include_str!("trust.toml");

/// How it is called in plans; no file has this name.
const NAME: &str = "hostwright/trust.toml";

/// Types of keys that `sshd` may know.
const TYPES: [&str; 4] = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-", "sk-"];

/// Bytes of a public key.
const LARGEST: u64 = 64 << 10;

/// `trust PATTERN --key FILE`.
pub(super) async fn trust(args: &Trust, display: &Display, invocation: &Invocation) -> std::io::Result<Exit> {
    let key = match key(args.key.as_deref()) {
        Ok(key) => key,
        Err((message, hint)) => return Ok(output::complain(&message, hint)),
    };
    if !args.yes && !may_ask() {
        return Ok(apply::nobody_to_ask());
    }
    let of_hosts = settings::of_hosts(&args.inventory, &args.target);
    let limit = of_hosts.hosts_pattern.clone().or(of_hosts.limit.clone());
    let mut vars = of_hosts.vars.clone();
    vars.extend([format!("key={}", key.line), format!("same={}", key.same())]);
    let wanted = Options { playbooks: vec![NAME.into()], limit, vars, hosts_pattern: None, ..of_hosts };
    let owner = common::owner(&[PathBuf::from("trust")]);
    let ready = match common::prepare_from(
        wanted,
        Arc::new(WithFiles(BTreeMap::from([(NAME.into(), PLAYBOOK.to_owned())]))),
        &args.connection,
        owner,
        display,
    ) {
        Ok(ready) => ready,
        Err(exit) => return Ok(exit),
    };
    let how = How { yes: args.yes, lock_wait: Duration::ZERO };
    Ok(apply::once(ready, how, display, invocation).await?.0)
}

/// A public key.
#[derive(Debug, PartialEq, Eq)]
struct PublicKey {
    kind: String,
    key: String,
    /// All of it, with its comment.
    line: String,
}

impl PublicKey {
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let (line, None) = (lines.next()?, lines.next()) else { return None };
        let mut words = line.splitn(3, char::is_whitespace).map(str::to_owned);
        let (kind, key) = (words.next()?, words.next()?);
        let comment = words.next().unwrap_or_default().trim().to_owned();
        let is_key = key.len() > 40
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
            && TYPES.iter().any(|known| kind.starts_with(known));
        // A comment is for people alone: one that a template or a terminal would take for something else goes.
        let plain = !comment.contains(['{', '}']) && !comment.contains(char::is_control);
        let line = if comment.is_empty() || !plain {
            format!("{kind} {key}")
        } else {
            format!("{kind} {key} {comment}")
        };
        is_key.then_some(Self { kind, key, line })
    }

    /// An expression for a line with this key and no options before it: those of the host's own have their reasons.
    fn same(&self) -> String {
        format!("^{} {}( |$)", regex::escape(&self.kind), regex::escape(&self.key))
    }
}

fn key(named: Option<&Path>) -> Result<PublicKey, (String, &'static str)> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let usual = || USUAL.iter().map(|name| home.join(format!("{name}.pub"))).find(|path| path.is_file());
    let path = named.map(Path::to_owned).or_else(usual).ok_or((
        "there is neither ~/.ssh/id_ed25519.pub nor id_rsa.pub".to_owned(),
        "name your key with --key FILE.pub, or make one: `ssh-keygen -t ed25519`",
    ))?;
    let shown = path.display();
    let hint = "a public key is one line, such as \"ssh-ed25519 AAAA... me@laptop\"; ssh-keygen puts it into FILE.pub";
    let bytes = Controller
        .read_at_most(&path, LARGEST)
        .map_err(|why| (format!("cannot read {shown}: {why}"), hint))?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("PRIVATE KEY") {
        return Err((
            format!("{shown} is a private key, which stays here"),
            "its public part is in FILE.pub",
        ));
    }
    PublicKey::read(&text).ok_or_else(|| (format!("{shown} is no public key"), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_read_and_found_again() {
        let blob = "AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
        let line = format!("ssh-ed25519 {blob} me@laptop, at home");
        let key = PublicKey::read(&format!("# mine\n{line}\n")).unwrap();
        assert_eq!(key.line, line);
        let same = regex::Regex::new(&key.same()).unwrap();
        assert!(same.is_match(&line) && same.is_match(&format!("ssh-ed25519 {blob}")));
        assert!(
            !same.is_match(&format!("from=\"10.0.0.1\" {line}")) && !same.is_match(&line.replace("GN", "GM"))
        );
        let templated = PublicKey::read(&format!("ssh-ed25519 {blob} {{{{ x }}}}")).unwrap();
        assert_eq!(templated.line, format!("ssh-ed25519 {blob}"));
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA me",
            &format!("{line}\n{line}"),
            &format!("command=\"x\" {line}"),
        ] {
            assert_eq!(PublicKey::read(bad), None, "{bad}");
        }
    }
}
