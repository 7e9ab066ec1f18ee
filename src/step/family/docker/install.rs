//! What `docker_engine` asks a host about packages and its service, and the texts that it writes there.

use std::collections::BTreeMap;

use crate::probe::{Answer, Probe};
use crate::program;
use crate::program::Handle;

program! {
    /// Asks what `docker_engine` has to know of a host.
    AskDockerHost in "ask_docker_host.sh" { packages: List }
}

/// What asks about the host of an engine.
pub const PROGRAMS: &[Handle] = &[AskDockerHost::program];

/// There while the engine still runs with older settings than its files say: made before `daemon.json` is replaced,
/// removed after the restart. A restart of the host removes it too, with the whole of `/run`.
pub const RESTART_MARK: &str = "/run/hostwright.docker-restart";

/// Asks for the distribution, its package manager, the versions of `packages` and the state of the service.
pub fn probe(packages: &[String]) -> Probe {
    Probe::new(AskDockerHost { packages }.script())
}

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// `dnf`.
    Dnf,
    /// `yum`, on CentOS 7.
    Yum,
    /// `apt-get`.
    Apt,
}

impl Manager {
    /// Its command.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dnf => "dnf",
            Self::Yum => "yum",
            Self::Apt => "apt-get",
        }
    }
}

/// The answer to [`probe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// `ID` of os-release.
    pub os: String,
    /// `VERSION_CODENAME` of os-release, of Debian and Ubuntu.
    pub codename: String,
    /// Its package manager.
    pub manager: Manager,
    /// The installed ones of the packages asked for, with their versions.
    pub packages: BTreeMap<String, String>,
    /// `LoadState` of docker.service.
    pub load: String,
    /// `ActiveState` of docker.service.
    pub active: String,
    /// `UnitFileState` of docker.service.
    pub enabled: String,
    /// [`RESTART_MARK`] is there.
    pub restart: bool,
}

/// Reads the answer to [`probe`]; what is missing in it, if it cannot be read.
pub fn parse(answer: &Answer) -> Result<Host, &'static str> {
    let text = answer.text();
    let line = |prefix: &str| text.lines().find_map(|l| l.strip_prefix(prefix));
    let mut os = line("os ").ok_or("expected a line with the distribution")?.split('|');
    let manager = match line("manager ") {
        Some("dnf") => Manager::Dnf,
        Some("yum") => Manager::Yum,
        Some("apt") => Manager::Apt,
        _ => return Err("expected a host with dnf, yum or apt-get"),
    };
    let packages = text.lines().filter_map(|l| l.strip_prefix("package ")?.split_once(' '));
    Ok(Host {
        os: os.next().unwrap_or_default().to_owned(),
        codename: os.nth(1).unwrap_or_default().to_owned(),
        manager,
        packages: packages.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        load: line("LoadState=").ok_or("expected the state of docker.service")?.to_owned(),
        active: line("ActiveState=").unwrap_or_default().to_owned(),
        enabled: line("UnitFileState=").unwrap_or_default().to_owned(),
        restart: line("mark restart").is_some(),
    })
}

/// Whether an installed version is of the wanted one: `26.1` is met by `26.1.4-1.el9`.
pub fn meets(installed: &str, wanted: &str) -> bool {
    let installed = installed.split_once(':').map_or(installed, |(_, v)| v);
    installed
        .strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '~', '+']))
}

/// A `.repo` file for Docker CE.
pub fn yum_repository(os: &str, base: &str, channel: &str, gpgcheck: bool) -> String {
    // Docker has folders of its own for Fedora and RHEL; all else of the family uses that of CentOS.
    let folder = if matches!(os, "fedora" | "rhel") { os } else { "centos" };
    let check = u8::from(gpgcheck);
    format!(
        "[docker-ce-{channel}]\nname=Docker CE ({channel})\nbaseurl={base}/{folder}/$releasever/$basearch/{channel}\n\
         enabled=1\ngpgcheck={check}\ngpgkey={base}/{folder}/gpg\n"
    )
}

/// Where the key of [`apt_repository`] lies.
pub const APT_KEY: &str = "/etc/apt/keyrings/docker.asc";

/// A source for apt.
pub fn apt_repository(os: &str, codename: &str, base: &str, channel: &str, gpgcheck: bool) -> String {
    let option = if gpgcheck { format!("signed-by={APT_KEY}") } else { "trusted=yes".to_owned() };
    format!("deb [{option}] {base}/{os} {codename} {channel}\n")
}

/// The drop-in that lets the engine start after the file systems of `paths` are mounted, and not without them
/// (systemd.unit(5), `RequiresMountsFor=`; from CentOS 7's systemd 219 on).
pub fn mounts_drop_in(paths: &[String]) -> String {
    paths.iter().fold("[Unit]\n".to_owned(), |text, path| {
        // `%` starts a specifier; a blank ends a path that is not quoted. Escapes such as `\x20` are not known here.
        let path = path.replace('%', "%%").replace('\\', r"\\").replace('"', "\\\"");
        let quote = if path.contains(char::is_whitespace) { "\"" } else { "" };
        format!("{text}RequiresMountsFor={quote}{path}{quote}\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_met_by_its_own_parts_only() {
        for (installed, wanted, met) in [
            ("26.1.4-1.el9", "26.1", true),
            ("5:26.1.4-1~debian.12", "26.1.4", true),
            ("26.10.0-1.el9", "26.1", false),
            ("20.10.24-1.lab", "20.10.24", true),
        ] {
            assert_eq!(meets(installed, wanted), met, "{installed} {wanted}");
        }
    }

    #[test]
    fn quotes_paths_for_systemd() {
        assert_eq!(
            mounts_drop_in(&["/mnt/a b".into(), "/mnt/50%".into()]),
            "[Unit]\nRequiresMountsFor=\"/mnt/a b\"\nRequiresMountsFor=/mnt/50%%\n"
        );
    }
}
