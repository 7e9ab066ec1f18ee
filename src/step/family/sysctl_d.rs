//! Kernel parameters at boot: which line of which file wins, and when two values are the same to the kernel.
//!
//! The rule is that of sysctl.d(5), tried against systemd-sysctl 252: the names of all folders are sorted together, a name
//! in a higher folder masks the same name below (whatever is there: an empty file, a link to /dev/null, a dangling one),
//! and the last line for a key counts. A key that is named beats every pattern, before or behind it; a line `-KEY` without
//! a value takes an earlier assignment back. A backslash continues nothing, and `#` behind a value is part of it.
//!
//! `/etc/sysctl.conf` is not in that list: systemd reads it only where a link in a folder leads to it
//! (`/etc/sysctl.d/99-sysctl.conf`), by the name of the link. Where a host does not boot by systemd, `sysctl --system`
//! of procps reads it behind all others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use crate::model::{FileContent, FileKind, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Handle;

program! {
    /// Asks for all files that are read at boot.
    AskSysctlFiles in "sysctl_d/ask_sysctl_files.sh" { folders: List, main: Word }
}

/// What asks about parameters at boot.
pub const PROGRAMS: &[Handle] = &[AskSysctlFiles::program];

/// The folders, the one that wins first.
pub const FOLDERS: [&str; 5] =
    ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];

/// The file that is in no folder.
pub const MAIN: &str = "/etc/sysctl.conf";

/// A line that sets a parameter at boot, or keeps it from being set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What is written to the parameter; `None` where the line keeps it from being written.
    pub value: Option<String>,
    /// The file, by the name under which it is read.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
}

/// The files that are read at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Whether systemd reads them.
    systemd: bool,
    files: Vec<File>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: String,
    /// Where it leads, if it is a symbolic link.
    target: Option<String>,
    /// It is there, and nobody knows what is in it.
    closed: bool,
    /// What is neither blank nor a comment, with the numbers of the lines.
    lines: Vec<(usize, String)>,
}

/// Returns `name` as the path below /proc/sys. The first separator tells which one separates: in
/// `net/ipv4/conf/eth0.100/forwarding` dots are part of a name, in `net.ipv4.conf.eth0/100.forwarding` slashes stand for
/// such dots.
pub fn path_of(name: &str) -> String {
    let slashes = name.find(['.', '/']).is_none_or(|at| name.as_bytes()[at] == b'/');
    let swap = |c| match c {
        '.' if !slashes => '/',
        '/' if !slashes => '.',
        other => other,
    };
    let path: String = name.chars().map(swap).collect();
    path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// Returns the path below /proc/sys in the form with dots.
pub fn dotted(path: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    path.chars().map(swap).collect()
}

/// Asks for all files that are read at boot; the same question for every parameter.
pub fn probe() -> Probe {
    Probe::new(AskSysctlFiles { folders: &FOLDERS.map(str::to_owned), main: MAIN }.script())
}

/// What a step that rests on the answer to [`probe`] needs.
pub fn needs() -> impl Iterator<Item = Resource> {
    FOLDERS.into_iter().chain([MAIN]).map(|path| Resource::here(Kind::Path, path))
}

impl Boot {
    /// Reads the answer to [`probe`].
    pub fn read(readings: &Readings) -> Result<Self, CheckError> {
        let probe = probe();
        let answer = readings.of(&probe)?;
        let unreadable =
            || CheckError::unreadable(&probe, answer, "expected the files that set parameters at boot");
        let text = String::from_utf8_lossy(&answer.stdout);
        let mut lines = text.split_terminator('\n');
        let systemd = match lines.next() {
            Some("boot systemd") => true,
            Some("boot procps") => false,
            _ => return Err(unreadable()),
        };
        if !answer.ok() {
            return Err(unreadable());
        }
        let mut files: Vec<File> = Vec::new();
        let mut at = None;
        for line in lines {
            let mut words = line.split('\t');
            match (words.next(), words.next()) {
                (Some("file" | "link"), Some(path)) => files.push(File {
                    path: path.to_owned(),
                    target: words.next().map(|target| beside(path, target)),
                    closed: false,
                    lines: Vec::new(),
                }),
                (Some("closed"), Some(path)) => {
                    files.iter_mut().filter(|f| f.path == path).for_each(|f| f.closed = true);
                }
                (Some("in"), Some(path)) => at = files.iter().position(|f| f.path == path),
                _ => {
                    let number = line.split_once('|').and_then(|(n, text)| Some((n.parse().ok()?, text)));
                    let (Some((number, text)), Some(at)) = (number, at) else { return Err(unreadable()) };
                    files[at].lines.push((number, text.to_owned()));
                }
            }
        }
        Ok(Self { systemd, files })
    }

    /// The same files as earlier steps of the plan will leave them, as far as that makes a difference to `key`.
    #[must_use]
    pub fn expected(self, readings: &Readings, key: &str) -> Self {
        let mut planned = self.clone();
        let mut used = Vec::new();
        for path in readings.expected_paths() {
            let read = path == MAIN
                || path.rsplit_once('/').is_some_and(|(folder, name)| {
                    FOLDERS.contains(&folder)
                        && name.strip_suffix(".conf").is_some()
                        && !name.starts_with('.')
                });
            let led_to = self.files.iter().any(|f| f.target.as_deref() == Some(path));
            if (read || led_to) && planned.expect(readings, path, read) {
                used.push(path.to_owned());
            }
        }
        if used.is_empty() || planned.setting(key) == self.setting(key) {
            return self;
        }
        for path in used {
            readings.expected(&Resource::here(Kind::Path, &path));
        }
        planned
    }

    /// Puts what is planned for `path` in place of what is there; tells whether that is known.
    fn expect(&mut self, readings: &Readings, path: &str, read: bool) -> bool {
        let planned = match readings.peek_expected(&Resource::here(Kind::Path, path)) {
            Some(State::Absent) => None,
            Some(State::File(file)) => match (&file.kind, &file.content) {
                (FileKind::Absent, _) => None,
                (FileKind::File, FileContent::Bytes(bytes)) => {
                    Some((None, lines_of(&String::from_utf8_lossy(bytes))))
                }
                (FileKind::Link(target), _) => {
                    let target = beside(path, target);
                    let led_to = self.files.iter().find(|f| f.path == target);
                    let lines = led_to.map(|f| f.lines.clone()).unwrap_or_default();
                    Some((Some(target), lines))
                }
                _ => return false,
            },
            _ => return false,
        };
        let lines = planned.as_ref().map(|(_, lines)| lines.clone()).unwrap_or_default();
        for file in self.files.iter_mut().filter(|f| f.target.as_deref() == Some(path)) {
            file.lines.clone_from(&lines);
        }
        if read {
            self.files.retain(|f| f.path != path);
            if let Some((target, lines)) = planned {
                self.files.push(File { path: path.to_owned(), target, closed: false, lines });
            }
        }
        true
    }

    /// The same files with `text` in the one at `path`.
    #[must_use]
    pub fn with(&self, path: &str, text: &str) -> Self {
        let mut files: Vec<File> = self.files.iter().filter(|f| f.path != path).cloned().collect();
        files.push(File { path: path.to_owned(), target: None, closed: false, lines: lines_of(text) });
        Self { files, ..*self }
    }

    /// Where the link at `path` leads, if it is one.
    pub fn link(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|f| f.path == path)?.target.as_deref()
    }

    /// What the file at `path` alone says of `key`, a path below /proc/sys.
    pub fn setting_in(&self, path: &str, key: &str) -> Option<Setting> {
        setting(self.files.iter().filter(|f| f.path == path), key)
    }

    /// What is set of `key`, a path below /proc/sys, in the end.
    pub fn setting(&self, key: &str) -> Option<Setting> {
        setting(self.in_order(), key)
    }

    /// A file that is read at boot, and that cannot be read now.
    pub fn closed(&self) -> Option<&str> {
        self.in_order().find(|f| f.closed).map(|f| f.path.as_str())
    }

    /// The value that [`MAIN`] gives to `key` when somebody calls `sysctl --system`, and that is not read at boot.
    pub fn only_by_hand(&self, key: &str) -> Option<String> {
        let read = !self.systemd || self.files.iter().any(|f| f.target.as_deref() == Some(MAIN));
        if read { None } else { self.setting_in(MAIN, key)?.value }
    }

    fn in_order(&self) -> impl Iterator<Item = &File> {
        let mut named: BTreeMap<&str, (usize, &File)> = BTreeMap::new();
        for file in &self.files {
            let Some((folder, name)) = file.path.rsplit_once('/') else { continue };
            let Some(rank) = FOLDERS.iter().position(|f| *f == folder) else { continue };
            let best = named.entry(name).or_insert((rank, file));
            if rank < best.0 {
                *best = (rank, file);
            }
        }
        let main = self.files.iter().filter(|f| !self.systemd && f.path == MAIN);
        named.into_values().map(|(_, file)| file).chain(main)
    }
}

/// The target of a link at `path`, from the root.
fn beside(path: &str, target: &str) -> String {
    let from = if target.starts_with('/') { "" } else { path.rsplit_once('/').map_or("", |(up, _)| up) };
    let mut parts: Vec<&str> = Vec::new();
    for part in from.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn lines_of(text: &str) -> Vec<(usize, String)> {
    text.split('\n').enumerate().map(|(n, line)| (n + 1, line.to_owned())).collect()
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

fn setting<'a>(files: impl Iterator<Item = &'a File>, key: &str) -> Option<Setting> {
    let mut named: Option<Setting> = None;
    // Pattern and what it sets, in the order in which they are applied.
    let mut patterns: Vec<(String, Setting)> = Vec::new();
    for file in files {
        for (number, line) in &file.lines {
            let line = line.trim_matches(BLANKS);
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => {
                    (name.strip_prefix('-').unwrap_or(name), Some(value.trim_matches(BLANKS).to_owned()))
                }
                None => match line.strip_prefix('-') {
                    Some(name) => (name, None),
                    None => continue,
                },
            };
            let name = path_of(name.trim_matches(BLANKS));
            let set = Setting { value, file: file.path.clone(), line: *number };
            if name == key {
                named = Some(set);
            } else if name.contains(['*', '?', '[']) && matches(&name, key) {
                // An equal value leaves the pattern at its place, another one moves it to the end.
                match patterns.iter().position(|(pattern, _)| *pattern == name) {
                    Some(at) if patterns[at].1.value == set.value => continue,
                    Some(at) => drop(patterns.remove(at)),
                    None => {}
                }
                patterns.push((name, set));
            }
        }
    }
    // Patterns without a value exclude nothing: only names do.
    named.or_else(|| patterns.into_iter().map(|(_, set)| set).rfind(|set| set.value.is_some()))
}

/// Whether a pattern of glob(7) matches a path.
fn matches(pattern: &str, path: &str) -> bool {
    let (patterns, names) = (pattern.split('/'), path.split('/'));
    patterns.clone().count() == names.clone().count()
        && patterns.zip(names).all(|(pattern, name)| {
            let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
            matches_name(&pattern, &name)
        })
}

/// One step at a time through the pattern, with all places of the name that it may have come to: many stars cost nothing.
fn matches_name(mut pattern: &[char], name: &[char]) -> bool {
    let mut at: BTreeSet<usize> = BTreeSet::from([0]);
    while let [first, rest @ ..] = pattern {
        pattern = rest;
        let take = |is: &dyn Fn(char) -> bool| {
            at.iter().filter(|n| name.get(**n).is_some_and(|c| is(*c))).map(|n| n + 1).collect()
        };
        at = match first {
            '*' => at.first().map_or_else(BTreeSet::new, |first| (*first..=name.len()).collect()),
            '?' => take(&|_| true),
            '[' => match class(rest) {
                Some((is, behind)) => {
                    pattern = behind;
                    take(&is)
                }
                None => take(&|c| c == '['),
            },
            '\\' if !rest.is_empty() => {
                pattern = &rest[1..];
                take(&|c| c == rest[0])
            }
            one => take(&|c| c == *one),
        };
    }
    at.contains(&name.len())
}

/// What a class admits, and what stands behind its bracket; `None` if there is no bracket.
fn class(pattern: &[char]) -> Option<(impl Fn(char) -> bool, &[char])> {
    let not = matches!(pattern.first(), Some('!' | '^'));
    let mut rest = if not { &pattern[1..] } else { pattern };
    let mut admitted = Vec::new();
    loop {
        match *rest {
            [']', ref behind @ ..] if !admitted.is_empty() => {
                let is = move |c| admitted.iter().any(|range: &(char, char)| range.0 <= c && c <= range.1);
                return Some((move |c| is(c) != not, behind));
            }
            [from, '-', to, ref behind @ ..] if to != ']' => {
                admitted.push((from, to));
                rest = behind;
            }
            [one, ref behind @ ..] => {
                admitted.push((one, one));
                rest = behind;
            }
            [] => return None,
        }
    }
}

/// The kernel puts tabs between the numbers of a value.
pub fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether writing `wanted` to the parameter `key`, a path below /proc/sys, leaves it as it is when it shows `found`.
///
/// The kernel reads numbers as C does (`0x10`, `010`), older ones keep 4294967295 as -1, and fewer numbers than a
/// parameter has change its first ones. It sorts and merges lists of ports and processors, and shows masks with zeros in
/// front. What it rounds is not known here.
pub fn same(key: &str, wanted: &str, found: &str) -> bool {
    let (wanted, found) = (words(wanted), words(found));
    if wanted == found {
        return true;
    }
    let last = key.rsplit('/').next().unwrap_or(key);
    match (key, last) {
        (
            "kernel/core_pattern"
            | "kernel/hostname"
            | "kernel/domainname"
            | "kernel/modprobe"
            | "kernel/hotplug"
            | "kernel/poweroff_cmd",
            _,
        ) => false,
        (_, "ip_local_reserved_ports" | "watchdog_cpumask") => {
            ranges(&wanted).is_some_and(|w| ranges(&found) == Some(w))
        }
        (_, "flow_limit_cpu_bitmap" | "rps_default_mask") => {
            mask(&wanted).is_some_and(|w| mask(&found) == Some(w))
        }
        (_, "tcp_allowed_congestion_control" | "actions_logged") => {
            let set = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
            set(&wanted) == set(&found)
        }
        (_, "tcp_fastopen_key") => wanted.eq_ignore_ascii_case(&found),
        (_, "stable_secret") => wanted.parse::<Ipv6Addr>().is_ok_and(|w| found.parse() == Ok(w)),
        _ => {
            let numbers = |text: &str| text.split(' ').map(number).collect::<Option<Vec<i128>>>();
            let (Some(wanted), Some(found)) = (numbers(&wanted), numbers(&found)) else { return false };
            wanted.len() <= found.len() && wanted.iter().zip(&found).all(|(w, f)| equal(*w, *f))
        }
    }
}

/// A number as C reads it with base 0.
fn number(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let value = match (hexadecimal, digits.strip_prefix('0')) {
        (Some(digits), _) if !digits.starts_with(['+', '-']) => i128::from_str_radix(digits, 16),
        (None, Some(digits)) if !digits.is_empty() => i128::from_str_radix(digits, 8),
        _ => digits.parse(),
    };
    value.ok().map(|value| sign * value)
}

/// Whether two numbers are the same in 32 bits, if they fit in there, with a sign or without.
fn equal(a: i128, b: i128) -> bool {
    let word = i128::from(i32::MIN)..=i128::from(u32::MAX);
    a == b || word.contains(&a) && word.contains(&b) && (a - b) % (1 << 32) == 0
}

/// A list such as `1-5,8080`, merged and sorted.
fn ranges(text: &str) -> Option<Vec<(u32, u32)>> {
    let mut read = Vec::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        if first > last {
            return None;
        }
        read.push((first, last));
    }
    read.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (first, last) in read {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    Some(merged)
}

/// A mask such as `00000000,000000ff`: words of 32 bits in hexadecimal, without the zeros in front.
fn mask(text: &str) -> Option<String> {
    let mut digits = String::new();
    for word in text.split(',') {
        let word = word.strip_prefix("0x").unwrap_or(word);
        if word.is_empty() || word.len() > 8 || !word.chars().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        digits.push_str(&format!("{word:0>8}").to_ascii_lowercase());
    }
    Some(digits.trim_start_matches('0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Privilege;
    use crate::probe::Answers;

    fn boot(systemd: bool, files: &[(&str, &str)]) -> Boot {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).into(),
            target: text.strip_prefix("-> ").map(|t| beside(path, t)),
            closed: false,
            lines: if text.starts_with("-> ") { Vec::new() } else { lines_of(text) },
        };
        Boot { systemd, files: files.iter().map(file).collect() }
    }

    fn wins(files: &[(&str, &str)], name: &str) -> String {
        let shown = |set: Setting| format!("{}:{} {:?}", set.file, set.line, set.value);
        boot(true, files).setting(&path_of(name)).map_or("nothing".into(), shown)
    }

    /// Runs the question in a root of its own, with each shell that is there, and reads the answer.
    fn ask(root: &std::path::Path) -> Vec<Boot> {
        let at = root.to_str().unwrap();
        let mut script = probe().script.render();
        for place in FOLDERS.iter().chain(&[MAIN, "/usr/lib/systemd/", "/lib/systemd/"]) {
            for before in [" ", "'", "="] {
                script = script.replace(&format!("{before}{place}"), &format!("{before}{at}{place}"));
            }
        }
        let mut boots = Vec::new();
        for shell in ["dash", "bash", "busybox"] {
            let mut command = std::process::Command::new(shell);
            if shell == "busybox" {
                command.arg("sh");
            }
            let Ok(out) = command.arg("-c").arg(&script).env("LC_ALL", "C").output() else { continue };
            let text = String::from_utf8_lossy(&out.stdout).replace(at, "");
            assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{shell}");
            let answer = crate::probe::Answer::new(out.status.code().unwrap(), &text);
            let mut readings = Answers::default();
            readings.insert(&probe(), &Privilege::Login, answer);
            boots.push(Boot::read(&readings.seen_with(&Privilege::Login)).unwrap());
        }
        assert!(!boots.is_empty());
        boots
    }

    #[test]
    fn the_host_tells_its_files() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(&path[1..]);
        for boot in ask(root.path()) {
            assert_eq!(boot, Boot { systemd: false, files: Vec::new() });
        }
        for folder in FOLDERS.iter().chain(&["/usr/lib/systemd"]) {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        let write = |path: &str, text: &[u8]| std::fs::write(at(path), text).unwrap();
        write("/usr/lib/systemd/systemd-sysctl", b"");
        std::fs::set_permissions(
            at("/usr/lib/systemd/systemd-sysctl"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        write("/etc/sysctl.conf", b"# c\n\n vm.swappiness = 1\n");
        write("/etc/sysctl.d/.hidden.conf", b"a.b = 1");
        write("/etc/sysctl.d/empty file.conf", b"");
        write("/etc/sysctl.d/50-a.conf", b"k\xffy = 1\n;c\n-a.b\n\r\nlast.one=2");
        write("/etc/sysctl.d/note.txt", b"a.b = 1");
        write("/usr/lib/sysctl.d/empty file.conf", b"a.b = 1");
        std::fs::create_dir(at("/run/sysctl.d/folder.conf")).unwrap();
        for (link, target) in [
            ("99-sysctl.conf", "../sysctl.conf"),
            ("null.conf", "/dev/null"),
            ("none.conf", "none"),
            ("zero.conf", "/dev/zero"),
        ] {
            std::os::unix::fs::symlink(target, at("/etc/sysctl.d/").join(link)).unwrap();
        }
        for boot in ask(root.path()) {
            assert!(boot.systemd);
            let shown = boot.files.iter().map(|f| {
                let lines: Vec<String> = f.lines.iter().map(|(n, line)| format!(" {n}:{line}")).collect();
                let link = f.target.as_ref().map(|t| format!(" -> {t}")).unwrap_or_default();
                format!("{}{link}{}{}", f.path, if f.closed { " closed" } else { "" }, lines.concat())
            });
            let shown: Vec<String> = shown.collect();
            assert_eq!(
                shown,
                [
                    "/etc/sysctl.d/50-a.conf 1:k\u{fffd}y = 1 3:-a.b 5:last.one=2",
                    "/etc/sysctl.d/99-sysctl.conf -> /etc/sysctl.conf 3: vm.swappiness = 1",
                    "/etc/sysctl.d/empty file.conf",
                    "/etc/sysctl.d/none.conf -> /etc/sysctl.d/none",
                    "/etc/sysctl.d/null.conf -> /dev/null",
                    "/etc/sysctl.d/zero.conf -> /dev/zero",
                    "/run/sysctl.d/folder.conf",
                    "/usr/lib/sysctl.d/empty file.conf 1:a.b = 1",
                    "/etc/sysctl.conf 3: vm.swappiness = 1",
                ]
            );
        }
    }

    #[test]
    fn names_have_one_path() {
        for (name, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("/net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net..ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
            ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ] {
            assert_eq!(path_of(name), path, "{name}");
            assert_eq!(path_of(&dotted(path)), path, "{name}");
        }
    }

    #[test]
    fn the_last_name_of_all_folders_wins_and_a_higher_folder_masks() {
        let key = "net.ipv4.ip_forward";
        let (one, zero) = ("net.ipv4.ip_forward = 1\n", "net/ipv4/ip_forward=0");
        assert_eq!(
            wins(&[("/etc/sysctl.d/95-a.conf", one), ("/usr/lib/sysctl.d/99-z.conf", zero)], key),
            "/usr/lib/sysctl.d/99-z.conf:1 Some(\"0\")"
        );
        for mask in ["", "-> /dev/null", "-> gone", "# nothing\n"] {
            let files = [
                ("/usr/lib/sysctl.d/99-z.conf", zero),
                ("/run/sysctl.d/99-z.conf", mask),
                ("/etc/sysctl.d/95-a.conf", one),
            ];
            assert_eq!(wins(&files, key), "/etc/sysctl.d/95-a.conf:1 Some(\"1\")", "{mask:?}");
        }
        // /etc/sysctl.conf counts where a link leads to it, and where systemd is not.
        let files = [("/etc/sysctl.d/95-a.conf", one), (MAIN, zero)];
        assert_eq!(wins(&files, key), "/etc/sysctl.d/95-a.conf:1 Some(\"1\")");
        assert_eq!(boot(true, &files).only_by_hand(&path_of(key)).as_deref(), Some("0"));
        assert_eq!(boot(false, &files).setting(&path_of(key)).unwrap().file, MAIN);
        assert_eq!(boot(false, &files).only_by_hand(&path_of(key)), None);
    }

    #[test]
    fn lines_are_read_as_systemd_reads_them() {
        let rp = "net.ipv4.conf.lo.rp_filter";
        let file =
            |text: &str| wins(&[("/etc/sysctl.d/a.conf", text)], rp).replace("/etc/sysctl.d/a.conf", "");
        for (text, what) in [
            ("net.ipv4.conf.lo.rp_filter=1\r\n\tnet.ipv4.conf.lo.rp_filter =\t2 \r\n", ":2 Some(\"2\")"),
            ("# net.ipv4.conf.lo.rp_filter=1 \\\nnet.ipv4.conf.lo.rp_filter=2", ":2 Some(\"2\")"),
            ("  ; net.ipv4.conf.lo.rp_filter=1", "nothing"),
            ("net.ipv4.conf.lo.rp_filter=1 # one", ":1 Some(\"1 # one\")"),
            ("net.ipv4.conf.lo.rp_filter=\\\n1", ":1 Some(\"\\\\\")"),
            ("- net.ipv4.conf.lo.rp_filter = 1", ":1 Some(\"1\")"),
            ("net.ipv4.conf.lo.rp_filter=1\n-net.ipv4.conf.lo.rp_filter", ":2 None"),
            ("-net.ipv4.conf.lo.rp_filter\nnet.ipv4.conf.lo.rp_filter=1", ":2 Some(\"1\")"),
            ("net.ipv4 .conf.lo.rp_filter=1\nrp_filter=1\nnet.ipv4.conf.lo.rp_filter", "nothing"),
            // A name beats a pattern, wherever it stands; of patterns the last one that was changed.
            ("net/ipv4/conf/lo/rp_filter=2\nnet.ipv4.conf.*.rp_filter=1", ":1 Some(\"2\")"),
            ("net.ipv4.conf.*.rp_filter=1\n-net.ipv4.conf.lo.rp_filter", ":2 None"),
            ("net.ipv4.conf.*.rp_filter=1\n-net.ipv4.conf.l*.rp_filter", ":1 Some(\"1\")"),
            ("net.ipv4.conf.*.rp_filter=1\nnet.ipv4.conf.l?.rp_filter=2", ":2 Some(\"2\")"),
            (
                "net.ipv4.conf.*.rp_filter=1\nnet.ipv4.conf.l?.rp_filter=2\nnet.ipv4.conf.*.rp_filter=1",
                ":2 Some(\"2\")",
            ),
            (
                "net.ipv4.conf.*.rp_filter=0\nnet.ipv4.conf.l?.rp_filter=2\nnet.ipv4.conf.*.rp_filter=1",
                ":3 Some(\"1\")",
            ),
            ("net.ipv4.conf.[!a-k]o.rp_filter=1", ":1 Some(\"1\")"),
            (
                "net.ipv4.conf.[^l]o.rp_filter=1\nnet.ipv4.*.rp_filter=1\nnet.ipv4.conf.[l.rp_filter=1",
                "nothing",
            ),
        ] {
            assert_eq!(file(text), what, "{text:?}");
        }
    }

    #[test]
    fn values_are_compared_as_the_kernel_keeps_them() {
        for (key, wanted, found, same_to_it) in [
            ("net/ipv4/ip_local_port_range", "1024 65000", "1024\t65000", true),
            ("net/ipv4/ip_forward", "0x1", "1", true),
            ("net/ipv4/ip_forward", "010", "8", true),
            ("net/ipv4/ip_forward", "010", "10", false),
            ("kernel/panic", "4294967295", "-1", true),
            ("kernel/panic", "-1", "4294967295", true),
            ("kernel/shmmax", "18446744073709551615", "-1", false),
            ("vm/swappiness", "10", "60", false),
            ("kernel/printk", "3", "3\t4\t1\t7", true),
            ("kernel/printk", "4", "3\t4\t1\t7", false),
            ("kernel/printk", "3 4 1 7", "3", false),
            ("net/ipv4/ip_local_reserved_ports", "5,3,4,1-2,8080", "1-5,8080", true),
            ("net/ipv4/ip_local_reserved_ports", "1-5", "1-6", false),
            ("net/core/flow_limit_cpu_bitmap", "FF", "00000000,000000ff", true),
            ("net/ipv4/tcp_allowed_congestion_control", "cubic reno", "reno cubic", true),
            ("net/ipv4/tcp_congestion_control", "bbr", "cubic", false),
            (
                "net/ipv6/conf/lo/stable_secret",
                "2001:DB8::1",
                "2001:0db8:0000:0000:0000:0000:0000:0001",
                true,
            ),
            ("kernel/hostname", "010", "8", false),
            ("kernel/core_pattern", "1", "1 2", false),
            ("kernel/core_pattern", "core", "core.%p", false),
        ] {
            assert_eq!(same(key, wanted, found), same_to_it, "{key}: {wanted:?}, {found:?}");
        }
    }
}
