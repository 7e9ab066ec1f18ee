//! What packages a host has, with rpm or dpkg: the one question that `package` asks, and its answer.

use std::collections::BTreeMap;

use crate::probe::{Answer, CheckError, Probe};
use crate::program;
use crate::program::Handle;

program! {
    /// Asks for packages, and what installs them.
    AskPackages in "packages/ask_packages.sh" { names: List, removal: Flag }
}

/// What asks for packages.
pub const PROGRAMS: &[Handle] = &[AskPackages::program];

/// The programs that install packages on a host, newest first as they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageManager {
    /// Fedora's and CentOS 8's and later.
    Dnf,
    /// CentOS 7's.
    Yum,
    /// Debian's and Ubuntu's.
    Apt,
}

impl PackageManager {
    /// As programs call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dnf => "dnf",
            Self::Yum => "yum",
            Self::Apt => "apt",
        }
    }
}

/// A package as a playbook names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As written: `nfs-utils`, `nfs-utils-2.5.4`, `docker-ce=3:26.1.*`, `/usr/sbin/exportfs`.
    pub text: String,
    /// Its name: what stands before `=`, otherwise the text.
    pub name: String,
    /// What stands after `=`.
    pub version: Option<String>,
}

impl Wanted {
    /// Reads a name with or without a version.
    ///
    /// # Errors
    /// A few words on what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let good = |c: char| c.is_ascii_alphanumeric() || "-+._:~^/()".contains(c);
        if name.is_empty() || version.is_some_and(str::is_empty) {
            return Err("lacks a name or a version");
        }
        if name.starts_with('@') {
            return Err(
                "is a group of packages; name the packages themselves, for a group has no state of its own",
            );
        }
        let file = [".rpm", ".deb"].iter().any(|end| name.to_ascii_lowercase().ends_with(end));
        if file || name.contains("://") {
            return Err("is a package file; give the host a repository that has the package");
        }
        if name.contains('*') {
            return Err("is a pattern; only a version may have a `*` (`docker-ce=26.1.*`)");
        }
        if !name.chars().all(good) || !name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/') {
            return Err("is not the name of a package");
        }
        if version.is_some_and(|v| !v.chars().all(|c| good(c) || c == '*')) {
            return Err("has a version that no package can have");
        }
        Ok(Self { text: text.to_owned(), name: name.to_owned(), version: version.map(str::to_owned) })
    }

    /// The name and version that rpm would see in `nfs-utils-2.5.4-38.el9`: every way to cut it before a digit.
    /// The host's answer decides which one is meant, for names have dashes and digits, too.
    pub fn cuts(&self) -> Vec<(&str, &str)> {
        if self.version.is_some() {
            return Vec::new();
        }
        let bytes = self.name.as_bytes();
        (1..bytes.len().saturating_sub(1))
            .filter(|&at| bytes[at] == b'-' && bytes[at + 1].is_ascii_digit())
            .map(|at| (&self.name[..at], without_architecture(&self.name[at + 1..])))
            .collect()
    }

    /// Every name that this package may turn out to have.
    pub fn names(&self) -> Vec<&str> {
        std::iter::once(&*self.name).chain(self.cuts().into_iter().map(|(name, _)| name)).collect()
    }
}

/// The name or version without the architecture that rpm lets one add (`nfs-utils.x86_64`).
fn without_architecture(text: &str) -> &str {
    ["x86_64", "aarch64", "noarch", "i686", "ppc64le", "s390x"]
        .into_iter()
        .find_map(|arch| text.strip_suffix(arch)?.strip_suffix('.'))
        .unwrap_or(text)
}

/// What a host said of its packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packages {
    /// What installs packages there; `None` if none of the known ones is there.
    pub manager: Option<PackageManager>,
    /// Name to versions, `EPOCH:VERSION-RELEASE` with the epoch left out where there is none.
    installed: BTreeMap<String, Vec<String>>,
    /// Names that are no package but something that an installed package provides.
    provided: BTreeMap<String, String>,
    /// The file of a repository whose mirror list was shut down with its release, if there is one.
    pub dead_repository: Option<String>,
    /// A dpkg was cut off in the middle: nothing can be installed or removed before that is put right.
    pub interrupted: bool,
    /// A dpkg is at work: its process and name.
    pub busy: Option<(String, String)>,
    /// For a removal: `NAME is needed by (installed) OTHER`, or the names that would go with it.
    pub dependents: Vec<String>,
}

/// Asks for `wanted`, all in one go, and what installs packages there; where they are to go, for what needs them.
pub fn probe(wanted: &[Wanted], removal: bool) -> Probe {
    let mut names: Vec<String> = wanted.iter().flat_map(Wanted::names).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    Probe::new(AskPackages { names: &names, removal }.script())
}

/// Reads the answer to [`probe`].
pub fn read(probe: &Probe, answer: &Answer, wanted: &[Wanted]) -> Result<Packages, CheckError> {
    let unreadable = |why: &str| Err(CheckError::unreadable(probe, answer, why));
    let mut packages = Packages {
        manager: None,
        installed: BTreeMap::new(),
        provided: BTreeMap::new(),
        dead_repository: None,
        interrupted: false,
        busy: None,
        dependents: Vec::new(),
    };
    let text = answer.text();
    let mut lines = text.lines();
    packages.manager = match lines.next() {
        Some("manager dnf") => Some(PackageManager::Dnf),
        Some("manager yum") => Some(PackageManager::Yum),
        Some("manager apt") => Some(PackageManager::Apt),
        Some("manager none") if answer.ok() => return Ok(packages),
        _ => return unreadable("expected the name of the package manager"),
    };
    if !answer.ok() {
        return unreadable("the database of packages could not be read");
    }
    let mut missing = Vec::new();
    for line in lines {
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["i", name, version, arch] => {
                for name in [(*name).to_owned(), format!("{name}.{arch}")] {
                    packages.installed.entry(name).or_default().push((*version).to_owned());
                }
            }
            ["p", name, by] => {
                packages.provided.insert((*name).to_owned(), (*by).to_owned());
            }
            ["missing", name] => missing.push(*name),
            ["dead", file] => packages.dead_repository = Some((*file).to_owned()),
            ["interrupted"] => packages.interrupted = true,
            ["busy", pid, name] => packages.busy = Some(((*pid).to_owned(), (*name).to_owned())),
            ["needed", text] => packages.dependents.push((*text).to_owned()),
            _ => return unreadable("expected lines on packages"),
        }
    }
    // A database that cannot be read lets rpm say nothing at all on a name.
    for name in wanted.iter().flat_map(Wanted::names) {
        let bare = name.split(':').next().unwrap_or(name);
        let known = packages.installed.contains_key(name)
            || packages.installed.contains_key(bare)
            || packages.provided.contains_key(name)
            || missing.contains(&name)
            // `rpm -q nfs-utils-2.5.4` answers with the name alone.
            || Wanted::parse(name).is_ok_and(|w| w.cuts().iter().any(|(n, v)| packages.version_of(n, v).is_some()));
        if !known {
            return unreadable(&format!("nothing was said of {name}"));
        }
    }
    Ok(packages)
}

/// How a wanted package stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Installed, in a version that will do: `nfs-utils 2.5.4-38.el9`.
    Installed(String),
    /// Not installed under its own name, but an installed package provides it.
    Provided(String),
    /// Installed in another version.
    Other {
        /// Its name.
        name: String,
        /// The version that is there.
        version: String,
        /// The version that is wanted.
        wanted: String,
    },
    /// Not installed.
    Missing,
}

impl Packages {
    /// Returns how `wanted` stands.
    pub fn standing(&self, wanted: &Wanted) -> Standing {
        let bare = wanted.name.split(':').next().unwrap_or(&wanted.name);
        let exact = self.installed.get(&wanted.name).or_else(|| self.installed.get(bare));
        if let Some(versions) = exact {
            let Some(pattern) = &wanted.version else {
                return Standing::Installed(format!("{bare} {}", versions.join(", ")));
            };
            return versions.iter().find(|v| matches_version(pattern, v)).map_or_else(
                || Standing::Other {
                    name: bare.to_owned(),
                    version: versions.join(", "),
                    wanted: pattern.clone(),
                },
                |version| Standing::Installed(format!("{bare} {version}")),
            );
        }
        let mut other = None;
        // dpkg knows no such form.
        let cuts = if self.manager == Some(PackageManager::Apt) { Vec::new() } else { wanted.cuts() };
        for (name, pattern) in cuts {
            let Some(versions) = self.installed.get(name) else { continue };
            if let Some(version) = self.version_of(name, pattern) {
                return Standing::Installed(format!("{name} {version}"));
            }
            other = Some(Standing::Other {
                name: name.to_owned(),
                version: versions.join(", "),
                wanted: pattern.to_owned(),
            });
        }
        if wanted.version.is_none()
            && let Some(by) = self.provided.get(&wanted.name)
        {
            return Standing::Provided(by.clone());
        }
        other.unwrap_or(Standing::Missing)
    }

    fn version_of(&self, name: &str, pattern: &str) -> Option<&str> {
        self.installed.get(name)?.iter().map(String::as_str).find(|v| matches_version(pattern, v))
    }
}

/// Whether `version` (`EPOCH:VERSION-RELEASE`) is what `pattern` asks for: all of it, or without its epoch, its release
/// or both; `*` stands for anything.
fn matches_version(pattern: &str, version: &str) -> bool {
    let no_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
    let no_release = |v: &str| v.rsplit_once('-').map_or_else(|| v.to_owned(), |(v, _)| v.to_owned());
    [version.to_owned(), no_epoch.to_owned(), no_release(version), no_release(no_epoch)]
        .iter()
        .any(|v| glob(pattern, v))
}

fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_may_leave_out_epoch_and_release() {
        for (pattern, version, matches) in [
            ("2.5.4", "1:2.5.4-38.el9", true),
            ("2.5.4-38.el9", "1:2.5.4-38.el9", true),
            ("1:2.5.4-38.el9", "1:2.5.4-38.el9", true),
            ("1:2.5.4", "1:2.5.4-38.el9", true),
            ("2.5", "1:2.5.4-38.el9", false),
            ("2.5.*", "1:2.5.4-38.el9", true),
            ("26.1.*", "3:26.1.4-1.el9", true),
            ("26.1.*", "3:26.10.4-1.el9", false),
            ("*.el9", "3:26.10.4-1.el9", true),
            ("2:*", "3:26.10.4-1.el9", false),
        ] {
            assert_eq!(matches_version(pattern, version), matches, "{pattern} {version}");
        }
    }

    #[test]
    fn a_name_is_cut_where_a_version_may_start() {
        let cuts = |text: &str| {
            Wanted::parse(text)
                .unwrap()
                .cuts()
                .into_iter()
                .map(|(n, v)| format!("{n}|{v}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(cuts("nfs-utils"), [""; 0]);
        assert_eq!(cuts("nfs-utils-2.5.4-38.el9"), ["nfs-utils|2.5.4-38.el9", "nfs-utils-2.5.4|38.el9"]);
        assert_eq!(cuts("java-1.8.0-openjdk"), ["java|1.8.0-openjdk"]);
        assert_eq!(cuts("docker-ce=26.1.4"), [""; 0]);
    }
}
