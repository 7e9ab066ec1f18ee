//! Mounted file systems as the kernel tells them: what is where, whether it answers, who uses it.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::options::{Facts, split};
use crate::probe::{Answer, CheckError, Probe};
use crate::program;
use crate::program::Library;
use crate::step::family::exports::unescape;
use crate::step::family::path::{FAR, SHARED_NETWORK};

/// One line of mountinfo.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Device number, `MAJOR:MINOR`.
    pub(super) device: String,
    /// The directory of the file system that is seen, `/` unless it is a bind mount or a remote path.
    pub(super) root: String,
    /// Where it is mounted.
    pub(super) point: String,
    /// Its type (`nfs4`, `tmpfs`).
    pub(super) fstype: String,
    /// What is mounted.
    pub(super) source: String,
    /// Flags of this mount.
    pub(super) flags: Vec<String>,
    /// Options of the file system.
    pub(super) options: Vec<String>,
}

/// Types without a source: what stands in its place is a name for people.
pub(super) fn is_virtual(fstype: &str) -> bool {
    matches!(
        fstype,
        "tmpfs"
            | "ramfs"
            | "proc"
            | "sysfs"
            | "devtmpfs"
            | "devpts"
            | "debugfs"
            | "tracefs"
            | "securityfs"
            | "configfs"
            | "cgroup2"
            | "hugetlbfs"
            | "mqueue"
            | "pstore"
            | "bpf"
            | "efivarfs"
            | "fusectl"
            | "binfmt_misc"
    )
}

/// Reads a line of mountinfo; `None` if it is not one.
pub(super) fn parse_mountinfo(line: &str) -> Option<Mounted> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    let [_, _, device, root, point, flags, ..] = left.as_slice() else { return None };
    let (fstype, source, options) = match right.as_slice() {
        // The kernel leaves the source out where it is empty.
        [fstype, options] => (fstype, &"", options),
        [fstype, source, options] => (fstype, source, options),
        _ => return None,
    };
    Some(Mounted {
        device: (*device).to_owned(),
        root: unescape(root),
        point: unescape(point),
        fstype: (*fstype).to_owned(),
        source: unescape(source),
        flags: split(flags),
        options: split(options),
    })
}

/// Escapes a path as the kernel and fstab(5) do.
pub(super) fn escape(path: &str) -> String {
    path.chars()
        .map(|c| match c {
            ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

/// What a probe of a mount point has to know beside its path.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// The mount point.
    pub(super) path: &'a str,
    /// The directory that is bound, or the file that is mounted: a source that is a path of its own.
    pub(super) bound: Option<&'a str>,
    /// The program that mount(8) needs for the type (`mount.nfs`).
    pub(super) helper: Option<&'a str>,
    /// The device, if the source is one: a path, `UUID=` or `LABEL=`.
    pub(super) device: Option<&'a str>,
    /// The server, if the source names one.
    pub(super) server: Option<&'a str>,
    /// The options, of which some name users and groups.
    pub(super) options: &'a [String],
    /// Whether to look for processes that keep it from being unmounted.
    pub(super) holders: bool,
}

/// Reads mountinfo; see there.
pub(super) static MOUNTINFO: Library = Library::new("mountinfo.sh", include_str!("mountinfo.sh"), &[]);

/// Finds who keeps something from being unmounted; see there.
pub(super) static HOLDERS: Library = Library::new("holders.sh", include_str!("holders.sh"), &[]);

program! {
    /// Asks what is mounted at a path.
    pub(super) AskMount in "ask_mount.sh" uses [FAR, MOUNTINFO, HOLDERS] {
        path: Word, helper: Word, bound: Word, device: Word, server: Word, accounts: List, holders: Flag
    }
}

/// Asks what is mounted at a path, whether it answers, and who uses it.
pub(super) fn probe(asked: &Asked<'_>) -> Probe {
    let named = |option: &&String| {
        option.split_once('=').is_some_and(|(key, name)| {
            matches!(key, "uid" | "gid" | "resuid" | "resgid")
                && !name.is_empty()
                && !name.bytes().all(|b| b.is_ascii_digit())
        })
    };
    let accounts: Vec<String> = asked.options.iter().filter(named).cloned().collect();
    let program = AskMount {
        path: asked.path,
        helper: asked.helper.unwrap_or_default(),
        bound: asked.bound.unwrap_or_default(),
        device: &asked.device.map(device_path).unwrap_or_default(),
        server: asked.server.filter(|s| s.parse::<IpAddr>().is_err()).unwrap_or_default(),
        accounts: &accounts,
        holders: asked.holders,
    };
    Probe::new(program.script()).sharing(SHARED_NETWORK)
}

/// The file of a device that a source names by a tag. udev writes what is no plain character as `\xNN`.
fn device_path(source: &str) -> String {
    let Some((tag, value)) = source.split_once('=').filter(|_| !source.starts_with('/')) else {
        return source.to_owned();
    };
    let value = value.trim_matches(|c| c == '"' || c == '\'');
    let is_uuid = tag.ends_with("UUID") && value.len() == 36;
    let name = value.chars().fold(String::new(), |mut name, c| {
        if is_uuid {
            name.push(c.to_ascii_lowercase());
        } else if c.is_ascii() && !c.is_ascii_alphanumeric() && !"#+-.:=@_".contains(c) {
            let _ = write!(name, "\\x{:02x}", u32::from(c));
        } else {
            name.push(c);
        }
        name
    });
    format!("/dev/disk/by-{}/{name}", tag.to_lowercase())
}

/// Whether what is mounted answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Alive {
    /// It does, or it is local.
    #[default]
    Yes,
    /// Not within five seconds.
    Hung,
    /// The server no longer knows the directory.
    Stale,
    /// With an error.
    Error(String),
}

/// The answer to [`probe`].
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether the program that mount(8) needs is there.
    pub(super) helper: bool,
    /// What is mounted at the path, the last on top.
    pub(super) mounts: Vec<Mounted>,
    /// The first symbolic link on the way to the path, what is in it, and where the path leads.
    pub(super) link: Option<(String, String, String)>,
    /// Mount points below the path.
    pub(super) below: Vec<String>,
    /// Other mounts of NFS servers.
    pub(super) peers: Vec<Mounted>,
    /// Mount points of fstab that lead to the path by a link, as they are written there.
    pub(super) aliases: Vec<String>,
    /// Where the path of the source leads.
    pub(super) bound: Option<String>,
    /// The file behind the loop device on top.
    pub(super) backing: Option<String>,
    /// Number of the device on top.
    pub(super) live: Option<String>,
    /// The wanted device and the one on top belong to one file system.
    pub(super) pool: bool,
    /// Addresses of the server.
    pub(super) addresses: Vec<String>,
    /// What is known of the options beyond mountinfo.
    pub(super) facts: Facts,
    /// The mount that a bound directory is on.
    pub(super) bound_on: Option<Mounted>,
    /// Number of the wanted device, `MAJOR:MINOR`.
    pub(super) device: Option<String>,
    /// Type of the file system that the path lies on.
    pub(super) around: String,
    /// `other`, `absent`, or mode and owner; `None` where it was not looked at.
    pub(super) directory: Option<String>,
    /// Some names in the directory.
    pub(super) content: Vec<String>,
    /// Whether the top one answers.
    pub(super) alive: Alive,
    /// Who keeps it, in words.
    pub(super) users: Vec<String>,
    /// Whether all of them are containers.
    pub(super) only_containers: bool,
}

impl Mounted {
    /// In a few words: `SOURCE (TYPE)`.
    pub(super) fn describe(&self) -> String {
        format!("{} ({})", self.source, self.fstype)
    }
}

impl Seen {
    /// Reads the answer.
    pub(super) fn parse(probe: &Probe, answer: &Answer) -> Result<Self, CheckError> {
        let unreadable = |why: &str| CheckError::unreadable(probe, answer, why);
        let mut seen = Self { helper: true, only_containers: true, ..Self::default() };
        let mut complete = false;
        for line in String::from_utf8_lossy(&answer.stdout).lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "HELPER" => seen.helper = rest == "yes",
                "MOUNT" => {
                    let mount = parse_mountinfo(rest);
                    seen.mounts.push(mount.ok_or_else(|| unreadable("expected a line of mountinfo"))?);
                }
                "BELOW" => seen.below.push(unescape(rest)),
                "LINK" => {
                    complete = true;
                    seen.link = Some((rest.to_owned(), String::new(), String::new()));
                }
                "TO" | "REAL" => match &mut seen.link {
                    Some((_, to, _)) if word == "TO" => rest.clone_into(to),
                    Some((.., real)) => rest.clone_into(real),
                    None => return Err(unreadable("expected a symbolic link")),
                },
                "PEER" => seen.peers.extend(parse_mountinfo(rest)),
                "ALIAS" => seen.aliases.push(rest.to_owned()),
                "BOUND" => seen.bound = Some(unescape(rest)),
                "SOURCE" => seen.bound_on = parse_mountinfo(rest),
                "BACKING" => seen.backing = Some(rest.to_owned()),
                "DEVICE" => seen.device = device_number(rest),
                "LIVE" => seen.live = device_number(rest),
                "POOL" => seen.pool = true,
                "ADDRESS" => seen.addresses.push(rest.to_owned()),
                "ALL" => seen.facts.all = Some(split(rest)),
                "MEMORY" => seen.facts.memory = rest.parse().ok(),
                "ACCOUNT" => {
                    seen.facts.accounts.extend(rest.split_once(' ').map(|(id, of)| (of.into(), id.into())));
                }
                "TOP" => {
                    complete = true;
                    rest.split(' ').nth(1).unwrap_or_default().clone_into(&mut seen.around);
                }
                "DIR" => seen.directory = Some(rest.to_owned()),
                "HAS" => seen.content.push(rest.to_owned()),
                "ALIVE" => seen.alive = alive(rest),
                "USER" => {
                    let mut words = rest.splitn(3, ' ');
                    let (pid, id, name) = (words.next(), words.next(), words.next());
                    let name = name.unwrap_or("?");
                    seen.only_containers &= id != Some("-");
                    seen.users.push(match (pid, id) {
                        (Some(pid), Some("-")) => format!("{name} (pid {pid}, in its own mount namespace)"),
                        (Some(pid), Some(id)) => format!("container {id} ({name}, pid {pid})"),
                        _ => return Err(unreadable("expected a process")),
                    });
                }
                "BUSY" => {
                    let (pid, name) = rest.split_once(' ').ok_or_else(|| unreadable("expected a process"))?;
                    seen.only_containers = false;
                    seen.users.push(format!("{name} (pid {pid})"));
                }
                _ => return Err(unreadable("expected what is mounted")),
            }
        }
        if complete { Ok(seen) } else { Err(unreadable("expected what is mounted")) }
    }

    /// Why what is mounted on top is no use, in words, if its server is silent or in error.
    pub(super) fn silence(&self) -> Option<String> {
        match &self.alive {
            Alive::Yes | Alive::Stale => None,
            Alive::Hung => Some("does not answer within 5 s".to_owned()),
            Alive::Error(text) => Some(format!("answers with an error ({text})")),
        }
    }

    /// Device and directory within it that the source is, as mountinfo would call a bind mount of it.
    pub(super) fn bound_at(&self) -> Option<(String, String)> {
        let (on, path) = (self.bound_on.as_ref()?, self.bound.as_ref()?);
        let rest = path.strip_prefix(on.point.trim_end_matches('/'))?;
        let root = format!("{}{}", on.root.trim_end_matches('/'), rest);
        Some((on.device.clone(), if root.is_empty() { "/".to_owned() } else { root }))
    }
}

/// `MAJOR MINOR` in hexadecimal, as `stat` writes them; nothing for what is no device.
fn device_number(text: &str) -> Option<String> {
    let hex = |t: &str| u32::from_str_radix(t, 16).ok();
    let (major, minor) = text.split_once(' ')?;
    Some(format!("{}:{}", hex(major)?, hex(minor)?)).filter(|number| number != "0:0")
}

/// `CODE:TEXT` of `timeout -s KILL 5 stat -f`, or nothing.
fn alive(answer: &str) -> Alive {
    match answer.split_once(':') {
        Some(("0", _)) => Alive::Yes,
        Some((_, text)) if text.contains("Stale file handle") => Alive::Stale,
        // It answered: the user of the step may not look.
        Some((_, text)) if text.contains("ermission denied") => Alive::Yes,
        None | Some(("137" | "124", _)) => Alive::Hung,
        Some((_, text)) => Alive::Error(text.rsplit(": ").next().unwrap_or(text).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NFS: &str = r"218 29 0:52 / /mnt/a\040b rw,noatime shared:114 master:3 - nfs4 192.168.158.143:/mnt/nfs_file rw,vers=4.2,rsize=262144,wsize=262144,namlen=255,hard,proto=tcp,timeo=600,retrans=2,sec=sys,clientaddr=192.168.158.145,local_lock=none,addr=192.168.158.143";

    #[test]
    fn reads_mountinfo() {
        let mounted = parse_mountinfo(NFS).unwrap();
        assert_eq!((mounted.point.as_str(), mounted.fstype.as_str()), ("/mnt/a b", "nfs4"));
        assert_eq!(mounted.source, "192.168.158.143:/mnt/nfs_file");
        assert_eq!(mounted.device, "0:52");
        assert!(parse_mountinfo("218 29 0:52 / /mnt rw shared:1 nfs4 x rw").is_none());
    }

    /// What every shell there is says to the probe, which must be the same.
    fn ask(asked: &Asked<'_>) -> String {
        let mut said: Vec<String> = Vec::new();
        for shell in [&["dash"][..], &["bash"], &["busybox", "sh"]] {
            let script = probe(asked).script.render();
            let mut command = std::process::Command::new(shell[0]);
            match command.args(&shell[1..]).arg("-c").arg(script).output() {
                Ok(out) => {
                    assert!(out.status.success() && out.stderr.is_empty(), "{shell:?}: {out:?}");
                    let text = String::from_utf8(out.stdout).unwrap();
                    // Processes come and go.
                    let lines = text.split_inclusive('\n');
                    said.push(lines.filter(|l| !l.starts_with("USER ") && !l.starts_with("BUSY ")).collect());
                }
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
            }
        }
        said.dedup();
        assert_eq!(said.len(), 1, "the shells differ: {said:#?}");
        said.remove(0)
    }

    #[test]
    fn asks_a_real_kernel() {
        let asked = |path, holders| Asked {
            path,
            bound: None,
            helper: Some("sh"),
            device: None,
            server: None,
            options: &[],
            holders,
        };
        let proc = ask(&asked("/proc", true));
        assert!(proc.contains("HELPER yes\n"), "{proc}");
        assert!(proc.lines().any(|l| l.starts_with("MOUNT ")
            && parse_mountinfo(&l["MOUNT ".len()..]).is_some_and(|m| m.fstype == "proc")));
        assert!(proc.lines().any(|l| l.starts_with("TOP proc ")), "{proc}");

        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a b")).unwrap();
        std::os::unix::fs::symlink("a b", dir.path().join("li\\n k")).unwrap();
        let at = dir.path().to_str().unwrap();
        let [none, behind, bound] = ["none", "li\\n k/x", "li\\n k"].map(|name| format!("{at}/{name}"));
        let answer = ask(&asked(at, false));
        assert!(answer.contains("\nDIR 7") && answer.contains("HAS a b\n"), "{answer}");
        assert!(ask(&asked(&none, false)).ends_with("DIR absent\n"));
        let link = ask(&asked(&behind, false));
        assert_eq!(link, format!("LINK {at}/li\\n k\nTO a b\nREAL {at}/a b/x\n"));
        let bind = ask(&Asked { bound: Some(&bound), ..asked(at, false) });
        assert!(bind.contains(&format!("BOUND {at}/a\\040b\n")) && bind.contains("\nSOURCE "), "{bind}");
    }

    /// The mounts that the path is on, as every awk there is sees them in this mountinfo.
    fn over(mountinfo: &str, path: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mountinfo");
        std::fs::write(&file, mountinfo).unwrap();
        let mut said: Vec<String> = Vec::new();
        for awk in ["mawk", "gawk", "original-awk", "busybox awk"] {
            let script = format!(
                "{}command -v {awk} >/dev/null || exit 9\n\
                 {awk} \"$hw_over\"'END {{ t = over(ENVIRON[\"hw_e\"], \"\"); print src[t] chain }}' \"$0\"",
                MOUNTINFO.text.lean()
            );
            let mut command = std::process::Command::new("sh");
            let out = command.arg("-c").arg(script).arg(&file).env("hw_e", path).output().unwrap();
            if out.status.code() != Some(9) {
                assert!(out.status.success(), "{awk:?}: {out:?}");
                said.push(String::from_utf8(out.stdout).unwrap());
            }
        }
        said.dedup();
        assert_eq!(said.len(), 1, "the awks differ: {said:?}");
        said.remove(0).trim().to_owned()
    }

    #[test]
    fn a_path_leads_to_what_is_not_hidden() {
        // Not in the order in which they lie above each other.
        let mounts = "30 20 0:5 / /srv/a rw - tmpfs top rw
20 1 0:4 / /srv/a rw - tmpfs under rw
1 0 8:1 / / rw - ext4 root rw
40 1 0:6 / /mnt/in rw - tmpfs hidden rw
41 1 0:7 / /mnt rw - tmpfs cover rw
50 41 0:8 / /mnt/b\\040c rw - nfs4 srv:/x rw
";
        for (path, leads) in [
            ("/srv/a", "top 2 1"),
            ("/srv/a/x", "top"),
            ("/srv/ab", "root"),
            ("/mnt/in", "cover"),
            ("/mnt", "cover 5"),
            ("/mnt/b\\040c", "srv:/x 6"),
            ("/mnt/b\\040cd", "cover"),
        ] {
            assert_eq!(over(mounts, path), leads, "{path}");
        }
        // In a chroot that is no mount point the root is not in the list.
        assert_eq!(
            over("30 20 0:5 / /srv rw - tmpfs t rw\n31 30 0:5 / /srv/x rw - tmpfs u rw\n", "/srv/x"),
            "u 2"
        );
        assert_eq!(over("30 20 0:5 / /srv rw - tmpfs t rw\n", "/opt"), "");
    }

    #[test]
    fn tags_name_files_of_devices() {
        for (source, file) in [
            ("/dev/sda1", "/dev/sda1"),
            (
                "UUID=46FA9D2E-52CD-4D4E-A5C4-2F8F6A8E3A11",
                "/dev/disk/by-uuid/46fa9d2e-52cd-4d4e-a5c4-2f8f6a8e3a11",
            ),
            ("UUID=1A2B-3C4D", "/dev/disk/by-uuid/1A2B-3C4D"),
            ("LABEL=\"my disk/1\"", "/dev/disk/by-label/my\\x20disk\\x2f1"),
            ("PARTLABEL=EFI", "/dev/disk/by-partlabel/EFI"),
        ] {
            assert_eq!(device_path(source), file);
        }
    }
}
