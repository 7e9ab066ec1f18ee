//! `mount`: a file system that is mounted now, and at boot.

use std::time::Duration;

use serde::Deserialize;

use super::family::fstab::{self, FSTAB, Fstab, FstabLine};
use super::family::mounts::{self, Alive, Asked, Mounted, Seen};
use super::family::path::{self, CONTENT_LIMIT, Depth};
use super::{Action, Change, Context, Invalid, Step, Validate, Value, Verdict};
use crate::model::value::one_or_many;
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;
use crate::shell::Script;

/// A mounted file system.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    path: String,
    source: Option<String>,
    #[serde(default)]
    fstype: String,
    #[serde(default, deserialize_with = "some_or_many")]
    options: Option<Vec<String>>,
    #[serde(default = "yes")]
    boot: bool,
    guard: Option<bool>,
    #[serde(default)]
    state: Wanted,
    /// Other ways in which the server of `source` may be called: its address in the inventory.
    #[serde(skip)]
    server_names: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    #[default]
    Mounted,
    Unmounted,
    Absent,
}

fn yes() -> bool {
    true
}

fn some_or_many<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Vec<String>>, D::Error> {
    one_or_many(d).map(Some)
}

/// Safe for data, and for the boot of a client whose server is down: `hard` never gives an error to a
/// program in the middle of a write, `nofail` and the bound keep the boot from waiting. `vers=4` takes the
/// highest 4.x that both know.
const NFS_OPTIONS: [&str; 6] =
    ["vers=4", "hard", "proto=tcp", "_netdev", "nofail", "x-systemd.mount-timeout=30s"];

const AUTOMOUNT: &str = "x-systemd.automount";

impl Validate for Mount {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let trimmed = self.path.trim_end_matches('/').len();
        self.path.truncate(trimmed);
        if !self.path.starts_with('/') || self.path.split('/').any(|part| part == "..") {
            invalid.push(
                Invalid::new("path", "the mount point is not an absolute path below /")
                    .help("write it without `..`, as in \"/mnt/nfs_file\""),
            );
        }
        if let Some(source) = self.source.take() {
            if self.fstype.is_empty() && split_remote(&source).is_some() {
                "nfs".clone_into(&mut self.fstype);
            }
            self.source = Some(normal_source(&source));
            if self.is_nfs() {
                self.validate_server(&source, context, &mut invalid);
            } else if source.trim().is_empty() || source.contains('\n') {
                invalid.push(Invalid::new("source", "the source is empty or more than one line"));
            }
            if self.fstype.is_empty() {
                invalid.push(
                    Invalid::new("", "the key `fstype` is missing")
                        .help("only a source of the form HOST:/PATH is known to be `nfs`"),
                );
            }
        } else if self.state == Wanted::Mounted {
            invalid.push(Invalid::new("", "the key `source` is missing"));
        }
        if self.fstype.contains(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))) {
            invalid.push(Invalid::new("fstype", format!("{:?} is not a file system type", self.fstype)));
        }
        self.validate_options(&mut invalid);
        invalid
    }
}

impl Mount {
    fn validate_server(&mut self, source: &str, context: &Context<'_>, invalid: &mut Vec<Invalid>) {
        let Some((server, _)) = split_remote(source) else {
            invalid.push(
                Invalid::new("source", format!("{source:?} is not HOST:/PATH"))
                    .help("as in \"192.168.158.143:/mnt/nfs_file\""),
            );
            return;
        };
        let numeric = server.chars().all(|c| c.is_ascii_digit() || c == '.');
        if numeric && server.parse::<std::net::Ipv4Addr>().is_err() {
            invalid.push(Invalid::new("source", format!("{server:?} is not an IP address")));
        }
        self.server_names = vec![server.to_owned()];
        if let Some(host) = context.find_host(server) {
            for name in [host.name.as_str(), host.login.address.as_str()] {
                if name != server {
                    self.server_names.push(name.to_owned());
                }
            }
        }
    }

    fn validate_options(&mut self, invalid: &mut Vec<Invalid>) {
        let Some(options) = self.options.take() else {
            let defaults: &[&str] = if self.is_nfs() { &NFS_OPTIONS } else { &[] };
            self.options = Some(defaults.iter().map(|o| (*o).to_owned()).collect());
            return;
        };
        let mut read: Vec<String> = Vec::new();
        for (n, text) in options.iter().enumerate() {
            for option in text.split(',').map(str::trim) {
                let at = format!("options[{n}]");
                let key = option.split_once('=').map_or(option, |(k, _)| k);
                let other = |pair: &[&str]| {
                    pair.contains(&option)
                        .then(|| read.iter().find(|r| *r != option && pair.contains(&r.as_str())))?
                };
                if option.is_empty() || option.contains(|c: char| c.is_whitespace() || c == '#') {
                    invalid.push(Invalid::new(at, format!("{option:?} is not a mount option")));
                } else if mounts::nfs_version(option)
                    .is_some_and(|v| !["3", "4", "4.0", "4.1", "4.2"].contains(&v))
                {
                    invalid.push(
                        Invalid::new(at, format!("{option:?} names no version of NFS"))
                            .help("versions are 3, 4 (the highest 4.x that both know), 4.0, 4.1 and 4.2"),
                    );
                } else if key == "password" || key == "pass" {
                    invalid.push(
                        Invalid::new(
                            at,
                            "a password among the options shows in the process list and in fstab",
                        )
                        .help("use `credentials=FILE`"),
                    );
                } else if let Some(other) =
                    other(&["ro", "rw"]).or_else(|| other(&["hard", "soft", "softerr"])).or_else(|| {
                        read.iter().find(|r| {
                            option.contains('=') && r.split('=').next() == Some(key) && *r != option
                        })
                    })
                {
                    invalid.push(Invalid::new(at, format!("{option:?} contradicts {other:?}")));
                } else if !read.iter().any(|r| r == option) {
                    read.push(option.to_owned());
                }
            }
        }
        self.options = Some(read);
    }
}

/// Takes `HOST:/PATH` apart; an IPv6 address stands in brackets.
fn split_remote(source: &str) -> Option<(&str, &str)> {
    let (host, path) = match source.strip_prefix('[').and_then(|s| s.split_once("]:")) {
        Some((host, path)) => (host, path),
        None => source.split_once(':').filter(|(host, _)| !host.contains('/'))?,
    };
    (!host.is_empty() && path.starts_with('/') && !source.contains(char::is_whitespace))
        .then_some((host, path))
}

/// The source without slashes at its end.
fn normal_source(source: &str) -> String {
    let trimmed = source.trim_end_matches('/');
    if trimmed.is_empty() || trimmed.ends_with(':') { format!("{trimmed}/") } else { trimmed.to_owned() }
}

impl Step for Mount {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe(), path::probe(FSTAB, Depth::Content(CONTENT_LIMIT))]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.probe();
        let mut seen = Seen::parse(&probe, readings.of(&probe)?)?;
        if readings.expected(&self.here()) == Some(&State::Absent) {
            seen.mounts.clear();
            seen.below.clear();
        }
        let fstab = Fstab::of(path::read(readings, FSTAB, Depth::Content(CONTENT_LIMIT))?)?;
        if seen.directory.as_deref() == Some("link") {
            return Err(CheckError::refused(
                format!("{} is a symbolic link", self.path),
                "use the path that it points to: the kernel knows the mount under that".to_owned(),
            ));
        }
        let verdict = match self.state {
            Wanted::Mounted => self.check_mounted(&seen, &fstab),
            Wanted::Unmounted | Wanted::Absent => self.check_gone(&seen, &fstab),
        };
        match seen.mounts.last().zip(seen.silence()) {
            Some((top, why)) => self.not_answering(top, &why, verdict),
            None => verdict,
        }
    }

    fn provides(&self) -> Vec<Resource> {
        let all = [(Kind::Mount, self.path.as_str()), (Kind::Path, &self.path), (Kind::Path, FSTAB)];
        all.map(|(kind, name)| Resource::here(kind, name)).to_vec()
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = vec![Resource::here(Kind::Path, FSTAB), Resource::here(Kind::Path, &self.path)];
        needs.extend(self.helper().map(|helper| Resource::here(Kind::Command, &helper)));
        let Some((server, path)) = self.server_and_path() else {
            needs.extend(self.source.iter().map(|s| Resource::here(Kind::Path, s)));
            return needs;
        };
        needs.push(Resource::on(server, Kind::Unit, "nfs-server.service"));
        // A step that waits for it comes after all that lets a client in, a firewall too.
        needs.push(Resource::on(server, Kind::Port, "2049"));
        if self.options().iter().any(|o| mounts::nfs_version(o) == Some("3")) {
            needs.push(Resource::on(server, Kind::Unit, "rpcbind.service"));
        }
        // What is mounted may lie below what is exported.
        let ancestors = path.match_indices('/').map(|(at, _)| &path[..at.max(1)]);
        let mut exports: Vec<&str> = ancestors.chain([path]).collect();
        exports.dedup();
        needs.extend(exports.into_iter().map(|path| Resource::on(server, Kind::Export, path)));
        needs
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// For lints that look across steps and hosts.
impl Mount {
    /// The mount point.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The NFS server and the path on it, as the playbook calls them.
    pub fn server_and_path(&self) -> Option<(&str, &str)> {
        self.source.as_deref().filter(|_| self.is_nfs()).and_then(split_remote)
    }

    /// Whether the step wants it mounted.
    pub fn is_mounted(&self) -> bool {
        self.state == Wanted::Mounted
    }

    /// Its options, the defaults filled in.
    pub fn options(&self) -> &[String] {
        self.options.as_deref().unwrap_or_default()
    }
}

impl Mount {
    fn here(&self) -> Resource {
        Resource::here(Kind::Mount, &self.path)
    }

    fn is_nfs(&self) -> bool {
        matches!(self.fstype.as_str(), "nfs" | "nfs4")
    }

    fn is_bind(&self) -> bool {
        self.fstype == "bind" || self.options().iter().any(|o| o == "bind" || o == "rbind")
    }

    fn guarded(&self) -> bool {
        self.guard.unwrap_or_else(|| mounts::is_remote(&self.fstype))
    }

    fn has(&self, option: &str) -> bool {
        self.options().iter().any(|o| o == option)
    }

    /// The program that mount(8) runs for the type.
    fn helper(&self) -> Option<String> {
        let wanted = self.state == Wanted::Mounted;
        (wanted && matches!(self.fstype.as_str(), "nfs" | "nfs4" | "cifs" | "smb3" | "glusterfs"))
            .then(|| format!("mount.{}", self.fstype))
    }

    fn probe(&self) -> Probe {
        let source = self.source.as_deref();
        let device = source.filter(|s| {
            s.starts_with("/dev/")
                || ["UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="].iter().any(|tag| s.starts_with(tag))
        });
        mounts::probe(&Asked {
            path: &self.path,
            bound: source.filter(|_| self.is_bind()),
            helper: self.helper().as_deref(),
            device: device.filter(|_| !self.is_bind()),
            holders: self.state != Wanted::Mounted,
        })
    }

    /// The line that fstab is to have.
    fn fstab_line(&self, old: Option<&FstabLine>) -> FstabLine {
        let mut options = self.options().to_vec();
        if self.fstype == "bind" && !options.iter().any(|o| o == "bind" || o == "rbind") {
            options.insert(0, "bind".to_owned());
        }
        FstabLine {
            source: self.source.clone().unwrap_or_default(),
            point: self.path.clone(),
            fstype: if self.fstype == "bind" { "none".to_owned() } else { self.fstype.clone() },
            options: options.into_iter().filter(|o| o != "defaults").collect(),
            rest: old.map_or_else(|| ("0".into(), "0".into()), |old| old.rest.clone()),
        }
    }

    /// What is mounted does not answer: nothing can be done about it from here. Perhaps an earlier step of
    /// the plan brings the server back, and then `verdict` is what is left to do.
    fn not_answering(
        &self,
        top: &Mounted,
        why: &str,
        verdict: Result<Verdict, CheckError>,
    ) -> Result<Verdict, CheckError> {
        let message = format!("{} is mounted on {}, but its server {why}", top.source, self.path);
        match split_remote(&top.source) {
            Some((server, _)) if top.fstype.starts_with("nfs") => Ok(Verdict::Unknown {
                until: Resource::on(server, Kind::Unit, "nfs-server.service"),
                then: match verdict {
                    Ok(Verdict::Drift(change)) => Some(change),
                    Ok(Verdict::Unknown { then, .. }) => then,
                    _ => None,
                },
                otherwise: format!(
                    "{message}: bring the server or the network back; a hard mount then goes on by itself"
                ),
            }),
            _ => Err(CheckError::refused(message, "bring its server back".to_owned())),
        }
    }

    fn check_mounted(&self, seen: &Seen, fstab: &Fstab) -> Result<Verdict, CheckError> {
        let now = self.compare(seen);
        let described = format!("{} ({})", self.source.as_deref().unwrap_or_default(), self.describe());
        let mut change = Change::new(format!("mount {} on {}", described, self.path));
        let mut actions = Vec::new();
        let mut fresh = false;
        match &now {
            Now::Right => {}
            Now::Not => {
                fresh = true;
                change = self.guard_mount_point(change.field("mounted", Value::Absent, described), seen)?;
            }
            Now::Other(what) => {
                fresh = true;
                change = change.field("mounted", what.clone(), described);
            }
            Now::Stale => {
                fresh = true;
                change = change
                    .field("mounted", "stale file handle", described)
                    .note("the exported directory was made anew on the server");
            }
            Now::Options(differing) => {
                change.summary = format!("mount {} with other options", self.path);
                let join = |pick: fn(&(String, String)) -> &String| {
                    differing.iter().map(pick).cloned().collect::<Vec<_>>().join(",")
                };
                change = change.field("options", join(|d| &d.1), join(|d| &d.0));
                if mounts::is_remote(&self.fstype) || self.is_bind() {
                    fresh = true;
                } else {
                    actions.push(self.remount());
                    if differing.iter().any(|(wanted, _)| wanted == "ro") {
                        change.disrupts = Some(format!("{} can no longer be written", self.path));
                    }
                }
            }
        }
        if fresh && !seen.mounts.is_empty() {
            self.refuse_if_used(seen)?;
            change.summary = format!("unmount {} and mount it anew", self.path);
            change.disrupts = Some(format!("unmounts {}: what uses it loses it", self.path));
            actions.push(mounts::unmount(&self.path));
        }
        let (after, unchanged) = self.wanted_fstab(fstab);
        if !unchanged {
            if change.fields.is_empty() {
                let verb = if self.boot { "mount" } else { "no longer mount" };
                change.summary = format!("{verb} {} at boot", self.path);
            }
            change = fstab.replaced(change, after);
            actions.push(fstab::write(&change));
        }
        if fresh {
            actions.push(self.make_mount_point());
            actions.push(if self.has(AUTOMOUNT) { self.start_automount() } else { self.mount() });
        }
        change.actions = actions;
        if change.fields.is_empty() {
            let boot = if self.boot { " and at boot" } else { ", not at boot" };
            let how = seen.mounts.last().map_or("", |m| m.fstype.as_str());
            let how = if how == "autofs" { "on first access".to_owned() } else { format!("now ({how})") };
            return Ok(Verdict::satisfied(format!("mounted {how}{boot}")));
        }
        if fresh {
            change = self.notes(change).expect(self.here(), State::Present);
        }
        if let Some(helper) = self.helper()
            && !seen.helper
            && fresh
        {
            return Ok(Verdict::Unknown {
                otherwise: format!("{helper} not found: install {}", package_of(&helper)),
                until: Resource::here(Kind::Command, &helper),
                then: Some(change),
            });
        }
        Ok(Verdict::Drift(change))
    }

    fn check_gone(&self, seen: &Seen, fstab: &Fstab) -> Result<Verdict, CheckError> {
        let mut change = Change::new(format!("unmount {}", self.path));
        let mut actions = Vec::new();
        // An earlier step may end the containers that use it.
        let used = !seen.users.is_empty() && seen.only_containers && seen.below.is_empty();
        if let Some(top) = seen.mounts.last() {
            if !used {
                self.refuse_if_used(seen)?;
            }
            change = change.field("mounted", top.describe(), Value::Absent);
            actions.push(mounts::unmount(&self.path));
        }
        if self.state == Wanted::Absent && !fstab.lines(&self.path).is_empty() {
            if change.fields.is_empty() {
                change.summary = format!("no longer mount {} at boot", self.path);
            }
            change = fstab.replaced(change, fstab::edit(&fstab.text, &self.path, None));
            actions.push(fstab::write(&change));
        }
        if change.fields.is_empty() {
            let boot = if self.state == Wanted::Absent { ", nor at boot" } else { "" };
            return Ok(Verdict::satisfied(format!("not mounted{boot}")));
        }
        change.actions = actions;
        let change = change.expect(self.here(), State::Absent);
        if used {
            return Ok(Verdict::Unknown {
                until: Resource::here(Kind::End, "containers"),
                then: Some(change),
                otherwise: format!("{} is in use by {}", self.path, seen.users.join(", ")),
            });
        }
        Ok(Verdict::Drift(change))
    }

    /// Compares what is on top at the path with what is wanted.
    fn compare(&self, seen: &Seen) -> Now {
        let Some(top) = seen.mounts.last() else { return Now::Not };
        if top.fstype == "autofs" {
            return if self.has(AUTOMOUNT) { Now::Right } else { Now::Other("an automount".into()) };
        }
        let wanted = self.source.as_deref().unwrap_or_default();
        let same = if self.is_bind() {
            seen.bound_at(wanted).is_some_and(|(device, root)| top.device == device && top.root == root)
        } else {
            let family = |fstype: &str| if fstype == "nfs4" { "nfs".to_owned() } else { fstype.to_owned() };
            let type_fits = match self.fstype.as_str() {
                "auto" => true,
                "nfs4" => top.fstype == "nfs4",
                fstype => family(&top.fstype) == fstype,
            };
            type_fits && (self.is_source(top, wanted) || seen.device.as_ref() == Some(&top.device))
        };
        if !same {
            return Now::Other(top.describe());
        }
        if seen.alive == Alive::Stale {
            return Now::Stale;
        }
        let differing: Vec<(String, String)> = self
            .options()
            .iter()
            .filter_map(|wanted| Some((wanted.clone(), mounts::instead_of(top, wanted)?)))
            .collect();
        if differing.is_empty() { Now::Right } else { Now::Options(differing) }
    }

    /// Whether `wanted` is what is mounted. Of an NFS source the path must be the same and the server one of
    /// its names or addresses; `addr=` is the one that the kernel talks to.
    fn is_source(&self, top: &Mounted, wanted: &str) -> bool {
        let live = normal_source(&top.source);
        if live == wanted {
            return true;
        }
        let (Some((_, path)), Some((live_server, live_path))) = (split_remote(wanted), split_remote(&live))
        else {
            return false;
        };
        let address = top.options.iter().find_map(|o| o.strip_prefix("addr="));
        path == live_path
            && self.server_names.iter().any(|name| name == live_server || Some(name.as_str()) == address)
    }

    fn describe(&self) -> String {
        let options: Vec<&str> =
            self.options().iter().map(String::as_str).filter(|o| !mounts::is_fstab_only(o)).collect();
        if options.is_empty() {
            self.fstype.clone()
        } else {
            format!("{}, {}", self.fstype, options.join(","))
        }
    }

    /// What fstab is to be, and whether it is so.
    fn wanted_fstab(&self, fstab: &Fstab) -> (String, bool) {
        let lines = fstab.lines(&self.path);
        if !self.boot {
            return (fstab::edit(&fstab.text, &self.path, None), lines.is_empty());
        }
        let wanted = self.fstab_line(lines.first());
        let right = match lines.as_slice() {
            [line] => {
                let set = |options: &[String]| {
                    let mut options = options.to_vec();
                    options.sort();
                    options
                };
                normal_source(&line.source) == wanted.source
                    && line.fstype == wanted.fstype
                    && set(&line.options) == set(&wanted.options)
            }
            _ => false,
        };
        (fstab::edit(&fstab.text, &self.path, Some(&wanted)), right)
    }

    /// An empty directory that nobody may enter: while nothing is mounted there, what was to write to the
    /// mounted file system fails instead of starting anew in the directory below it.
    fn guard_mount_point(&self, change: Change, seen: &Seen) -> Result<Change, CheckError> {
        let Some(directory) = seen.directory.as_deref() else {
            if mounts::is_remote(&seen.around) {
                return Err(CheckError::refused(
                    format!("{} lies on a network file system ({})", self.path, seen.around),
                    "mount it on a local directory".to_owned(),
                ));
            }
            return Ok(change);
        };
        if directory == "other" {
            return Err(CheckError::refused(format!("{} is not a directory", self.path), None));
        }
        let content = seen.content.join(", ");
        if !self.guarded() {
            return Ok(if content.is_empty() {
                change
            } else {
                change.note(format!("{} has content that will be hidden: {content}", self.path))
            });
        }
        if !content.is_empty() {
            return Err(CheckError::refused(
                format!("nothing is mounted on {}, yet there is something in it: {content}", self.path),
                "it was perhaps written while the file system was not mounted, and would be hidden: move it \
                 away, or set `guard = false`"
                    .to_owned(),
            ));
        }
        Ok(match directory.split_once(' ') {
            Some(("0", "root")) => change,
            Some((mode, owner)) => {
                change.field("mount point while unmounted", format!("{mode:0>4} {owner}"), "0000 root")
            }
            None => change.field("mount point while unmounted", Value::Absent, "0000 root"),
        })
    }

    fn refuse_if_used(&self, seen: &Seen) -> Result<(), CheckError> {
        if !seen.below.is_empty() {
            return Err(CheckError::refused(
                format!("{} is mounted below {}", seen.below.join(", "), self.path),
                "unmount that first".to_owned(),
            ));
        }
        if !seen.users.is_empty() {
            return Err(CheckError::refused(
                format!("{} is in use by {}", self.path, seen.users.join(", ")),
                "stop them first: a container keeps the mount that it saw at its start".to_owned(),
            ));
        }
        Ok(())
    }

    fn notes(&self, mut change: Change) -> Change {
        if self.is_nfs() {
            if self.has("soft") || self.has("softerr") {
                change = change.note("soft: a write may fail when the server is slow, and data may be lost");
            }
            if self.boot && !self.has("nofail") && !self.has(AUTOMOUNT) {
                change = change.note("without nofail a boot stops in emergency mode when the server is down");
            }
        }
        change
    }

    fn make_mount_point(&self) -> Action {
        let guard = if self.guarded() {
            sh!("chown root:root -- \"$p\"\nchmod 0000 -- \"$p\"")
        } else {
            Script::new()
        };
        let script = sh!(
            "p={}\n{}\nset -e\nmkdir -p -- \"$p\"\n{}",
            self.path,
            mounts::done_if_mounted(&self.path),
            guard
        );
        Action::new(format!("make the mount point {}", self.path), script)
    }

    fn mount(&self) -> Action {
        let line = self.fstab_line(None);
        let mut options: Vec<String> =
            line.options.into_iter().filter(|o| !mounts::is_fstab_only(o)).collect();
        if self.is_nfs() && !options.iter().any(|o| o.starts_with("retry=")) {
            // mount.nfs tries again for two minutes without a word; one clear answer is better.
            options.push("retry=0".to_owned());
        }
        let options = if options.is_empty() { Script::new() } else { sh!("-o {}", options.join(",")) };
        let server = self.server_and_path().map_or("", |(server, _)| server);
        let script = sh!(
            r#"p={}
server={}
{}
said=$(timeout -k 5 60 mount -t {} {} -- {} "$p" 2>&1)
code=$?
[ -z "$said" ] || printf '%s\n' "$said" >&2
[ "$code" != 0 ] || exit 0
case $code:$said in
*'access denied by server'*) echo "hint: $server does not export this path to this host: compare its /var/lib/nfs/etab with the addresses of this host" ;;
*'No route to host'*) echo "hint: a firewall on the way rejects it, or $server is down: open the service nfs (2049/tcp) there" ;;
*'Connection refused'*) echo "hint: nothing listens on port 2049 of $server: is nfs-server running?" ;;
*'imed out'*|124:*|137:*) echo "hint: $server does not answer: is it up, and does a firewall drop port 2049?" ;;
*'No such file or directory'*) echo "hint: $server has no such directory, or does not export it to this host" ;;
*'version or transport protocol is not supported'*|*'Protocol not supported'*) echo "hint: $server does not serve this NFS version: change vers=" ;;
*'Stale file handle'*) echo "hint: the exported directory was made anew on $server: run exportfs -r there" ;;
*'busy or already mounted'*) echo "hint: something is mounted there already, or a process stands in $p" ;;
*'helper program'*) echo "hint: install the tools of this file system (nfs-utils, nfs-common on Debian)" ;;
*'unknown filesystem type'*) echo "hint: the kernel of this host does not have this file system" ;;
*'bad option'*|*'ncorrect mount option'*|*'nvalid argument'*) echo "hint: one of the options is not known to this host" ;;
*'rpc.statd is not running'*) echo "hint: NFSv3 needs rpcbind and rpc.statd on this host: start them, or use vers=4" ;;
*'ailed to resolve server'*|*'Resource temporarily unavailable'*|*'ame or service not known'*) echo "hint: this host cannot resolve $server: use its address" ;;
*'ermission denied'*|*'Operation not permitted'*) echo "hint: give the step the rights of root, with become = true" ;;
esac >&2
exit "$code""#,
            self.path,
            server,
            mounts::done_if_mounted(&self.path),
            line.fstype,
            options,
            line.source
        );
        Action::new(format!("mount {}", self.path), script).timeout(Duration::from_secs(90))
    }

    fn start_automount(&self) -> Action {
        let script = sh!(
            "p={}\n{}\nsystemctl start \"$(systemd-escape -p --suffix=automount -- \"$p\")\"",
            self.path,
            mounts::done_if_mounted(&self.path)
        );
        Action::new(format!("start the automount of {}", self.path), script)
    }

    /// Changes options of a local file system in place.
    fn remount(&self) -> Action {
        let line = self.fstab_line(None);
        let options: Vec<String> = line.options.into_iter().filter(|o| !mounts::is_fstab_only(o)).collect();
        let script = sh!("mount -o {} -- {}", format!("remount,{}", options.join(",")), self.path);
        Action::new(format!("remount {}", self.path), script)
    }
}

fn package_of(helper: &str) -> &'static str {
    match helper {
        "mount.nfs" | "mount.nfs4" => "nfs-utils (nfs-common on Debian)",
        "mount.glusterfs" => "glusterfs-fuse",
        _ => "cifs-utils",
    }
}

/// How what is mounted compares with what is wanted.
enum Now {
    Not,
    Right,
    Stale,
    /// Wanted and actual, option by option.
    Options(Vec<(String, String)>),
    /// Something else is mounted there.
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the action with a `mount` that says `said` and ends with `code`; returns its last line.
    fn mount(said: &str, code: i32) -> (i32, String) {
        let step = Mount {
            path: "/mnt/not mounted".into(),
            source: Some("srv:/data".into()),
            fstype: "nfs".into(),
            options: Some(vec!["hard".into(), "nofail".into()]),
            boot: true,
            guard: None,
            state: Wanted::Mounted,
            server_names: Vec::new(),
        };
        let dir = tempfile::tempdir().unwrap();
        let fake = dir.path().join("mount");
        let script = format!(
            "#!/bin/sh\necho \"$*\" >{}/args\necho '{said}' >&2\nexit {code}\n",
            dir.path().display()
        );
        std::fs::write(&fake, script).unwrap();
        std::fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let out = std::process::Command::new("sh")
            .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
            .arg("-c")
            .arg(step.mount().script.render())
            .output()
            .unwrap();
        let args = std::fs::read_to_string(dir.path().join("args")).unwrap();
        assert_eq!(args, "-t nfs -o hard,retry=0 -- srv:/data /mnt/not mounted\n");
        let said = String::from_utf8(out.stderr).unwrap();
        (out.status.code().unwrap(), said.lines().last().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_failed_mount_ends_with_a_hint() {
        for (said, hint) in [
            ("mount.nfs: access denied by server while mounting srv:/data", "does not export this path"),
            ("mount.nfs: No route to host", "a firewall on the way rejects it"),
            ("mount.nfs: Connection refused", "is nfs-server running?"),
            ("mount.nfs: Connection timed out", "srv does not answer"),
            (
                "mount.nfs: mounting srv:/data failed, reason given by server: No such file or directory",
                "srv has no such",
            ),
            ("mount.nfs: requested NFS version or transport protocol is not supported", "change vers="),
            ("mount.nfs: Stale file handle", "exportfs -r there"),
            ("mount.nfs: /mnt/x is busy or already mounted", "is mounted there already"),
            ("mount: bad option; you might need a /sbin/mount.<type> helper program", "install the tools"),
            ("mount.nfs: an incorrect mount option was specified", "not known to this host"),
            ("mount.nfs: rpc.statd is not running but is required", "NFSv3 needs"),
            ("mount.nfs: Failed to resolve server srv: Name or service not known", "use its address"),
            ("mount: only root can do that, Operation not permitted", "become = true"),
        ] {
            let (code, last) = mount(said, 32);
            assert_eq!(code, 32);
            assert!(last.starts_with("hint: ") && last.contains(hint), "{said}: {last}");
        }
        // Killed by the bound, without a word.
        assert!(mount("", 124).1.contains("does not answer"));
        assert_eq!(mount("mount.nfs: something new", 32), (32, "mount.nfs: something new".into()));
        assert_eq!(mount("", 0).0, 0);
    }
}
