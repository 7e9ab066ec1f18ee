//! `mount`: a file system that is mounted now, and at boot.

use std::net::Ipv4Addr;

use serde::Deserialize;

use super::family::path::{self, CONTENT_LIMIT, Depth};
use super::family::put;
use super::family::sources::{TAGS, address, normal_source, same_server, split_remote};
use super::family::systemd;
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::value::one_or_many;
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program::Programs;

mod fstab;
mod mounting;
mod mounts;
mod option_rules;
mod options;

use fstab::{FSTAB, Fstab, FstabLine, Point};
use mounting::What;
use mounts::{Alive, Asked, Mounted, Seen};
use options::{Cure, Facts, Judged};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[mounting::PROGRAMS, path::PROGRAMS, put::CONTENT, systemd::PROGRAMS];

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
    /// Ways in which the server of `source` may be called: its address in the inventory too.
    #[serde(skip)]
    server_names: Vec<String>,
    /// The options are the user's own, not the default.
    #[serde(skip)]
    own_options: bool,
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
        // As the kernel would write it, or it would be compared in vain.
        let absolute = self.path.starts_with('/');
        let parts: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        self.path = if absolute { format!("/{}", parts.join("/")) } else { parts.join("/") };
        if !absolute || self.path.contains(['\n', '\0']) || self.path == "/" || parts_up(&self.path) {
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
                    Invalid::missing("fstype")
                        .help("only a source of the form HOST:/PATH is known to be `nfs`"),
                );
            }
        } else if self.state == Wanted::Mounted {
            invalid.push(Invalid::missing("source"));
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
        let six = server.contains(':');
        if (numeric && server.parse::<Ipv4Addr>().is_err()) || (six && address(server).is_none()) {
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
        self.own_options = true;
        let mut read: Vec<String> = Vec::new();
        for (n, text) in options.iter().enumerate() {
            for option in options::split(text).iter().map(|o| o.trim()) {
                let at = format!("options[{n}]");
                let key = option.split_once('=').map_or(option, |(k, _)| k);
                let other = |pair: &[&str]| {
                    pair.contains(&option)
                        .then(|| read.iter().find(|r| *r != option && pair.contains(&r.as_str())))?
                };
                if option.is_empty()
                    || option.contains(|c: char| c.is_whitespace() || c == '#')
                    || option.matches('"').count() % 2 != 0
                {
                    invalid.push(Invalid::new(at, format!("{option:?} is not a mount option")));
                } else if self.is_nfs()
                    && options::nfs_version(option)
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
                } else if let Some(other) = opposites(&other).or_else(|| {
                    read.iter()
                        .find(|r| option.contains('=') && r.split('=').next() == Some(key) && *r != option)
                }) {
                    invalid.push(Invalid::new(at, format!("{option:?} contradicts {other:?}")));
                } else if !read.iter().any(|r| r == option) {
                    read.push(option.to_owned());
                }
            }
        }
        self.options = Some(read);
    }
}

/// Words of mount(8) and nfs(5) of which only one can be meant.
fn opposites<'a>(other: &impl Fn(&[&str]) -> Option<&'a String>) -> Option<&'a String> {
    other(&["ro", "rw"])
        .or_else(|| other(&["hard", "soft", "softerr"]))
        .or_else(|| other(&["noatime", "relatime", "strictatime", "atime"]))
        .or_else(|| other(&["sync", "async"]))
        .or_else(|| other(&["tcp", "udp", "rdma"]))
        .or_else(|| other(&["discard", "nodiscard"]))
}

fn parts_up(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
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
        if let Some((link, to, real)) = &seen.link {
            return Err(CheckError::refused(
                format!("{link} is a symbolic link to {to}: write {real}"),
                "the kernel knows a mount by where it really is, and so does fstab".to_owned(),
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

    fn inverse(&self, change: &Change) -> Inverse {
        if change.was_absent("mounted") {
            return Inverse::removal("mount", "path", &self.path);
        }
        let files = Inverse::files(change);
        if change.fields.iter().any(|f| f.name == "mounted" || f.name == "options") {
            return files
                .stays(format!("what was mounted on {} is mounted again by hand, or at boot", self.path));
        }
        files
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
        if self.options().iter().any(|o| options::nfs_version(o) == Some("3")) {
            needs.push(Resource::on(server, Kind::Unit, "rpcbind.service"));
        }
        // What is mounted may lie below what is exported.
        let ancestors = path.match_indices('/').map(|(at, _)| &path[..at.max(1)]);
        let mut exports: Vec<&str> = ancestors.chain([path]).collect();
        exports.dedup();
        needs.extend(exports.into_iter().map(|path| Resource::on(server, Kind::Export, path)));
        needs
    }
}

impl Mount {
    fn here(&self) -> Resource {
        Resource::here(Kind::Mount, &self.path)
    }

    /// The NFS server and the path on it, as the playbook calls them.
    fn server_and_path(&self) -> Option<(&str, &str)> {
        self.source.as_deref().filter(|_| self.is_nfs()).and_then(split_remote)
    }

    /// Its options, the defaults filled in.
    fn options(&self) -> &[String] {
        self.options.as_deref().unwrap_or_default()
    }

    fn is_nfs(&self) -> bool {
        matches!(self.fstype.as_str(), "nfs" | "nfs4")
    }

    fn is_bind(&self) -> bool {
        self.fstype == "bind" || self.options().iter().any(|o| o == "bind" || o == "rbind")
    }

    fn guarded(&self) -> bool {
        self.guard.unwrap_or_else(|| path::is_remote(&self.fstype))
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
            s.starts_with("/dev/") || s.split_once('=').is_some_and(|(tag, _)| TAGS.contains(&tag))
        });
        let own_path = |s: &&str| self.is_bind() || (s.starts_with('/') && !s.starts_with("//"));
        mounts::probe(&Asked {
            path: &self.path,
            bound: source.filter(own_path).filter(|_| self.is_bind() || device.is_none()),
            helper: self.helper().as_deref(),
            device: device.filter(|_| !self.is_bind()),
            server: self.server_and_path().map(|(server, _)| server),
            options: self.options(),
            holders: self.state != Wanted::Mounted,
        })
    }

    fn point<'a>(&'a self, seen: &'a Seen) -> Point<'a> {
        Point { path: &self.path, aliases: &seen.aliases }
    }

    /// The line that fstab is to have.
    fn fstab_line(&self) -> FstabLine {
        let mut options = self.options().to_vec();
        if self.fstype == "bind" && !options.iter().any(|o| o == "bind" || o == "rbind") {
            options.insert(0, "bind".to_owned());
        }
        FstabLine {
            source: self.source.clone().unwrap_or_default(),
            point: self.path.clone(),
            fstype: if self.fstype == "bind" { "none".to_owned() } else { self.fstype.clone() },
            options: options.into_iter().filter(|o| o != "defaults").collect(),
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
                let join =
                    |pick: fn(&Differing) -> &str| differing.iter().map(pick).collect::<Vec<_>>().join(",");
                change = change.field("options", join(|d| &d.found), join(|d| &d.wanted));
                let cure = differing.iter().map(|d| d.cure).max().unwrap_or(Cure::Remount);
                if let Some(action) = self.remount(seen, cure) {
                    actions.push(action);
                    if differing.iter().any(|d| d.wanted == "ro") {
                        change.disrupts = Some(format!("{} can no longer be written", self.path));
                    }
                } else {
                    self.refuse_if_shared(seen, differing)?;
                    fresh = true;
                }
            }
        }
        if fresh && !seen.mounts.is_empty() {
            self.refuse_if_used(seen)?;
            change.summary = format!("unmount {} and mount it anew", self.path);
            let lost = seen.mounts.last().is_some_and(|m| matches!(m.fstype.as_str(), "tmpfs" | "ramfs"));
            let lost = if lost { ", and what is in it is lost" } else { "" };
            change.disrupts = Some(format!("unmounts {}: what uses it loses it{lost}", self.path));
            actions.push(mounting::unmount(&self.path));
        }
        let (after, unchanged) = self.wanted_fstab(seen, fstab);
        if !unchanged {
            if change.fields.is_empty() {
                let verb = if self.boot { "mount" } else { "no longer mount" };
                change.summary = format!("{verb} {} at boot", self.path);
            }
            let (with, write) = fstab.replaced(change, &after);
            change = with;
            actions.extend(write);
            if !fresh {
                change.notes.extend(self.left_over(seen, fstab));
            }
        }
        if fresh {
            actions.push(mounting::make_point(&self.path, self.guarded()));
            actions.push(if self.has(AUTOMOUNT) {
                mounting::start_automount(&self.path)
            } else {
                self.mount()
            });
        }
        let unseen = self.unseen(seen);
        change.actions = actions;
        if change.fields.is_empty() {
            let boot = if self.boot { " and at boot" } else { ", not at boot" };
            let how = seen.mounts.last().map_or("", |m| m.fstype.as_str());
            let how = if how == "autofs" { "on first access".to_owned() } else { format!("now ({how})") };
            let unseen = unseen.map(|text| format!("; {text}")).unwrap_or_default();
            return Ok(Verdict::satisfied(format!("mounted {how}{boot}{unseen}")));
        }
        change.notes.extend(unseen);
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
            actions.push(mounting::unmount(&self.path));
        }
        if self.state == Wanted::Absent && !fstab.lines(&self.point(seen)).is_empty() {
            if change.fields.is_empty() {
                change.summary = format!("no longer mount {} at boot", self.path);
            }
            let (with, write) = fstab.replaced(change, &fstab::edit(&fstab.text, &self.point(seen), None));
            change = with;
            actions.extend(write);
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
            seen.bound_at().is_some_and(|(device, root)| top.device == device && top.root == root)
        } else {
            let family = |fstype: &str| if fstype == "nfs4" { "nfs".to_owned() } else { fstype.to_owned() };
            let type_fits = match self.fstype.as_str() {
                "auto" => true,
                "nfs4" => top.fstype == "nfs4",
                fstype => family(&top.fstype) == fstype,
            };
            type_fits && (self.is_source(seen, top, wanted) || is_device(seen, top))
        };
        if !same {
            let gone = if top.root.ends_with("//deleted") { ", a directory that was removed" } else { "" };
            return Now::Other(format!("{}{gone}", top.describe()));
        }
        if seen.alive == Alive::Stale {
            return Now::Stale;
        }
        let judged = options::compare(top, &seen.facts, self.is_bind(), self.options());
        let differing: Vec<Differing> = judged
            .into_iter()
            .filter_map(|(wanted, judged)| match judged {
                Judged::Differs { found, cure } => Some(Differing { wanted, found, cure }),
                _ => None,
            })
            .collect();
        if differing.is_empty() { Now::Right } else { Now::Options(differing) }
    }

    /// The user's own options of which mountinfo says nothing, whether they are in force or not, in words.
    fn unseen(&self, seen: &Seen) -> Option<String> {
        if !self.own_options {
            return None;
        }
        let comparable = matches!(self.compare(seen), Now::Right | Now::Options(_));
        let unseen: Vec<String> = match seen.mounts.last().filter(|top| comparable && top.fstype != "autofs")
        {
            Some(top) => options::compare(top, &seen.facts, self.is_bind(), self.options())
                .into_iter()
                .filter_map(|(option, judged)| (judged == Judged::Unseen).then_some(option))
                .collect(),
            None => options::never_shown(&self.fstype, self.is_bind(), self.options()),
        };
        // It shows as a mount of its own below what is mounted.
        let plain = seen.mounts.last().is_some_and(|top| top.fstype != "autofs") && seen.mounts.len() == 1;
        let unseen: Vec<String> = unseen.into_iter().filter(|o| plain || o != AUTOMOUNT).collect();
        (!unseen.is_empty())
            .then(|| format!("cannot be seen on a mounted file system: {}", unseen.join(", ")))
    }

    /// What the line of fstab loses and the mounted file system keeps until it is mounted anew, in words.
    fn left_over(&self, seen: &Seen, fstab: &Fstab) -> Option<String> {
        let lines = fstab.lines(&self.point(seen));
        let (top, [old]) = (seen.mounts.last()?, lines.as_slice()) else { return None };
        let gone: Vec<String> = old.options.iter().filter(|o| !self.options().contains(o)).cloned().collect();
        let bare = Mounted { fstype: top.fstype.clone(), ..Mounted::default() };
        let by_default = options::compare(&bare, &Facts::default(), self.is_bind(), &gone);
        // What holds without it as well, by default, makes no difference.
        let left: Vec<String> = options::compare(top, &seen.facts, self.is_bind(), &gone)
            .into_iter()
            .zip(by_default)
            .filter(|((_, now), (_, default))| *now == Judged::Held && *default != Judged::Held)
            .map(|((option, _), _)| option)
            .collect();
        (self.boot && !left.is_empty())
            .then(|| format!("stays in force until {} is mounted anew: {}", self.path, left.join(", ")))
    }

    /// Whether `wanted` is what is mounted. Of an NFS source the path must be the same and the server one of
    /// its names or addresses; `addr=` is the one that the kernel talks to.
    fn is_source(&self, seen: &Seen, top: &Mounted, wanted: &str) -> bool {
        let live = normal_source(&top.source);
        if live == wanted
            || mounts::is_virtual(&top.fstype)
            || seen.backing.as_ref().is_some_and(|file| Some(file) == seen.bound.as_ref())
        {
            return true;
        }
        let (Some((_, path)), Some((live_server, live_path))) = (split_remote(wanted), split_remote(&live))
        else {
            return false;
        };
        let address = top.options.iter().find_map(|o| o.strip_prefix("addr="));
        path == live_path
            && self.server_names.iter().chain(&seen.addresses).any(|name| {
                same_server(name, live_server) || address.is_some_and(|address| same_server(name, address))
            })
    }

    fn describe(&self) -> String {
        let options: Vec<&str> =
            self.options().iter().map(String::as_str).filter(|o| !options::is_fstab_only(o)).collect();
        if options.is_empty() {
            self.fstype.clone()
        } else {
            format!("{}, {}", self.fstype, options.join(","))
        }
    }

    /// What fstab is to be, and whether it is so.
    fn wanted_fstab(&self, seen: &Seen, fstab: &Fstab) -> (Vec<u8>, bool) {
        let point = self.point(seen);
        if !self.boot {
            return (fstab::edit(&fstab.text, &point, None), fstab.lines(&point).is_empty());
        }
        let wanted = self.fstab_line();
        let right =
            fstab.says(&point, &wanted, |source| normal_source(source) == normal_source(&wanted.source));
        (fstab::edit(&fstab.text, &point, Some(&wanted)), right)
    }

    /// An empty directory that nobody may enter: while nothing is mounted there, what was to write to the
    /// mounted file system fails instead of starting anew in the directory below it.
    fn guard_mount_point(&self, change: Change, seen: &Seen) -> Result<Change, CheckError> {
        let Some(directory) = seen.directory.as_deref() else {
            if path::is_remote(&seen.around) || seen.around == "autofs" {
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

    fn mount(&self) -> Action {
        let line = self.fstab_line();
        let mut options = options::for_mount(&line.options);
        if self.is_nfs() && !options.iter().any(|o| o.starts_with("retry=")) {
            // mount.nfs tries again for two minutes without a word; one clear answer is better.
            options.push("retry=0".to_owned());
        }
        // A bind mount gets its flags afterwards: mount(8) before 2.27 forgets them, and later ones cannot set them
        // in an opened folder.
        let flags = if self.is_bind() { options::take_flags(&mut options) } else { Vec::new() };
        mounting::mount(&What {
            path: &self.path,
            source: &line.source,
            fstype: &line.fstype,
            options,
            server: self.server_and_path().map_or("", |(server, _)| server),
            flags,
        })
    }

    /// Changes options in place, if that can be done.
    fn remount(&self, seen: &Seen, cure: Cure) -> Option<Action> {
        let top = seen.mounts.last()?;
        let line = self.fstab_line();
        let options = options::for_mount(&line.options);
        if self.is_bind() || (cure == Cure::Flag && path::is_remote(&self.fstype)) {
            let flags = options::new_flags(&top.flags, &options);
            return Some(mounting::remount(&self.path, &line.source, &line.fstype, &flags, true));
        }
        let in_place = cure <= Cure::Remount && !path::is_remote(&self.fstype);
        in_place.then(|| mounting::remount(&self.path, &top.source, &top.fstype, &options, false))
    }

    /// What mounts of one export, or of one server, have in common changes with the last of them alone: to mount one
    /// anew would be in vain, at every run.
    fn refuse_if_shared(&self, seen: &Seen, differing: &[Differing]) -> Result<(), CheckError> {
        let Some(top) = seen.mounts.last() else { return Ok(()) };
        let server = |m: &Mounted| m.options.iter().find(|o| o.starts_with("addr=")).cloned();
        let others: Vec<&str> = seen
            .peers
            .iter()
            .filter(|peer| peer.device == top.device || server(peer) == server(top))
            .map(|peer| peer.point.as_str())
            .collect();
        let shared = |d: &&Differing| {
            let client = ["nconnect", "max_connect", "xprtsec"].iter().any(|key| d.wanted.starts_with(key));
            d.cure == Cure::Shared && seen.peers.iter().any(|p| client || p.device == top.device)
        };
        let Some(option) = differing.iter().find(shared).filter(|_| !others.is_empty()) else {
            return Ok(());
        };
        Err(CheckError::refused(
            format!(
                "{} of {} cannot become {}: the kernel has it in common with {}",
                option.found,
                self.path,
                option.wanted,
                others.join(", ")
            ),
            "unmount all of them and mount this one first, or write the same for all".to_owned(),
        ))
    }
}

/// Whether the wanted device is the one that is mounted, whatever each is called.
fn is_device(seen: &Seen, top: &Mounted) -> bool {
    let Some(device) = &seen.device else { return false };
    seen.pool || *device == top.device || seen.live.as_ref() == Some(device)
}

/// An option that shows otherwise.
struct Differing {
    wanted: String,
    found: String,
    cure: Cure,
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
    /// These options differ.
    Options(Vec<Differing>),
    /// Something else is mounted there.
    Other(String),
}
