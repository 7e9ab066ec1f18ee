//! Mount options: what of them the kernel shows on a mounted file system, and whether that is what is wanted.
//!
//! The rules of each type are in `option_rules.rs`. What the kernel never shows is never compared, and never
//! said to hold: such an option would differ, or be believed, for ever.

use super::mounts::Mounted;
use super::option_rules::{Form, Row, Shows, Unset, rows};
use crate::step::family::path::is_remote;

/// Takes a list of options apart; a comma between double quotes is part of a value (`context="u:r:t:s0:c1,c2"`).
pub(super) fn split(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '"';
        match all.last_mut() {
            Some(last) if c != ',' || quoted => last.push(c),
            _ => all.push(String::new()),
        }
    }
    all
}

/// Whether an option is for fstab's readers alone: mount(8) and systemd take it, the kernel never sees it.
pub(super) fn is_fstab_only(option: &str) -> bool {
    option.starts_with("x-")
        || option.starts_with("X-")
        || option.starts_with("comment=")
        || ["defaults", "_netdev", "nofail", "auto", "noauto", "nouser", "noowner", "nogroup", "nousers"]
            .contains(&option)
}

/// What `user` and its like make mount(8) add, "unless overridden by subsequent options" (mount(8)).
fn implied(option: &str) -> Option<&'static [&'static str]> {
    match option {
        "user" | "users" => Some(&["noexec", "nosuid", "nodev"]),
        "owner" | "group" => Some(&["nosuid", "nodev"]),
        _ => None,
    }
}

/// The options as mount(8) is to get them: without those for fstab alone, and with what `user` stands for.
pub(super) fn for_mount(options: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for option in options.iter().filter(|o| !is_fstab_only(o)) {
        match implied(option) {
            Some(flags) => all.extend(flags.iter().map(|f| (*f).to_owned())),
            None => all.push(option.clone()),
        }
    }
    all
}

/// The options that a mount of this type will not show.
pub(super) fn never_shown(fstype: &str, bind: bool, wanted: &[String]) -> Vec<String> {
    let version_3 = wanted.iter().any(|o| nfs_version(o) == Some("3"));
    let fstype = if fstype == "nfs" && !version_3 { "nfs4" } else { fstype };
    let top = Mounted { fstype: fstype.to_owned(), ..Mounted::default() };
    let table = Table { top: &top, facts: &Facts::default(), bind };
    wanted.iter().filter(|option| table.claims(option, wanted).is_empty()).cloned().collect()
}

/// Takes from the options those that a mount itself has as flags.
pub(super) fn take_flags(options: &mut Vec<String>) -> Vec<String> {
    let is_flag = |option: &String| {
        vfs(option).is_some_and(|claims| {
            claims.iter().any(|c| matches!(c.expects, Expects::Flag(..) | Expects::Readonly(_)))
        })
    };
    let (flags, others) = std::mem::take(options).into_iter().partition(is_flag);
    *options = others;
    flags
}

/// The flags of a mount that has those of `now` once `wanted` is added: all of them, for a remount takes away what it is
/// not given.
pub(super) fn new_flags(now: &[String], wanted: &[String]) -> Vec<String> {
    let claims: Vec<(String, String)> = wanted
        .iter()
        .filter_map(|o| Some((o, vfs(o)?)))
        .flat_map(|(o, claims)| claims.into_iter().map(move |c| (c, o.clone())))
        .filter(|(c, _)| matches!(c.expects, Expects::Flag(..) | Expects::Readonly(_)))
        .map(|(c, o)| (c.about, o))
        .collect();
    let stays = |flag: &&String| {
        vfs(flag).is_some_and(|about| about.iter().all(|c| claims.iter().all(|(other, _)| *other != c.about)))
    };
    now.iter().filter(stays).chain(claims.iter().map(|(_, option)| option)).cloned().collect()
}

/// The version of NFS that an option asks for, in any of the ways in which nfs(5) lets one write it.
pub(super) fn nfs_version(option: &str) -> Option<&str> {
    let short = || option.strip_prefix('v').filter(|v| v.starts_with(|c: char| c.is_ascii_digit()));
    option.strip_prefix("vers=").or_else(|| option.strip_prefix("nfsvers=")).or_else(short)
}

/// What is known of a mounted file system beside its line of mountinfo.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// All options in force, those of the superblock's own defaults too (`/proc/fs/ext4/DEVICE/options`).
    pub(super) all: Option<Vec<String>>,
    /// Memory of the host in KiB, of which tmpfs takes shares.
    pub(super) memory: Option<u64>,
    /// Users and groups that options name, and their numbers: `uid=NAME`, `gid=NAME`.
    pub(super) accounts: Vec<(String, String)>,
}

/// What can be done about an option that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cure {
    /// A flag of this one mount: it is set without a word to the file system or its server.
    Flag,
    /// The file system takes it while it is mounted.
    Remount,
    /// It is only read when the file system is mounted.
    Anew,
    /// As `Anew`, but other mounts of the same file system or server have it in common.
    Shared,
}

/// How one wanted option compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judged {
    /// It shows.
    Held,
    /// Something else shows.
    Differs {
        /// What there is in its place.
        found: String,
        /// What it takes to change it.
        cure: Cure,
    },
    /// The kernel does not show it, be it in force or not.
    Unseen,
}

/// One thing that an option claims about the mounted file system.
struct Claim {
    /// A later claim about the same overrides it.
    about: String,
    expects: Expects,
    cure: Cure,
}

enum Expects {
    Readonly(bool),
    /// A flag of the mount that shows, or does not.
    Flag(String, bool),
    /// A word among the options of the file system that shows, or does not.
    Word(String, bool),
    /// As `Word`, on some kernels or hosts only.
    Perhaps(String),
    One(String, &'static [&'static str]),
    Value {
        key: String,
        wanted: String,
        form: Form,
        unset: Unset,
    },
}

/// Compares `wanted` with what is mounted, option by option.
pub(super) fn compare(top: &Mounted, facts: &Facts, bind: bool, wanted: &[String]) -> Vec<(String, Judged)> {
    let table = Table { top, facts, bind };
    let claims: Vec<Vec<Claim>> = wanted.iter().map(|option| table.claims(option, wanted)).collect();
    let overridden = |n: usize, about: &str| claims[n + 1..].iter().flatten().any(|c| c.about == about);
    let mut judged = Vec::new();
    for (n, option) in wanted.iter().enumerate() {
        let mut verdict = if claims[n].is_empty() { Judged::Unseen } else { Judged::Held };
        for claim in claims[n].iter().filter(|c| !overridden(n, &c.about)) {
            match (table.judge(claim), &mut verdict) {
                (Judged::Differs { found, cure }, Judged::Differs { found: all, cure: worst }) => {
                    all.push(',');
                    all.push_str(&found);
                    *worst = cure.max(*worst);
                }
                (differs @ Judged::Differs { .. }, verdict) => *verdict = differs,
                (Judged::Unseen, verdict @ Judged::Held) => *verdict = Judged::Unseen,
                _ => {}
            }
        }
        judged.push((option.clone(), verdict));
    }
    judged
}

struct Table<'a> {
    top: &'a Mounted,
    facts: &'a Facts,
    bind: bool,
}

impl Table<'_> {
    /// Options of the file system, the best list that there is of them.
    fn shown(&self) -> &[String] {
        self.facts.all.as_deref().unwrap_or(&self.top.options)
    }

    fn has(&self, word: &str) -> bool {
        self.shown().iter().chain(&self.top.options).any(|o| o == word)
    }

    fn flag(&self, word: &str) -> bool {
        self.top.flags.iter().any(|o| o == word)
    }

    fn value(&self, key: &str) -> Option<&str> {
        let last = |options: &'_ [String]| {
            options.iter().rposition(|o| o.strip_prefix(key).is_some_and(|rest| rest.starts_with('=')))
        };
        let shown = self.shown();
        let options = if last(shown).is_some() { shown } else { &self.top.options };
        options.get(last(options)?).map(|o| &o[key.len() + 1..])
    }

    fn is_nfs4(&self) -> bool {
        self.top.fstype == "nfs4" || self.value("vers").is_some_and(|v| v.starts_with('4'))
    }

    /// Whether the file system is known to keep the flags of its superblock: NFS drops `lazytime`, others any.
    fn is_plain(&self) -> bool {
        matches!(
            self.top.fstype.as_str(),
            "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "f2fs" | "tmpfs" | "vfat"
        )
    }

    /// What an option claims; nothing if the kernel never shows it.
    fn claims(&self, option: &str, all: &[String]) -> Vec<Claim> {
        let claim = |about: &str, expects: Expects, cure: Cure| Claim { about: about.into(), expects, cure };
        if let Some(flags) = implied(option) {
            return flags.iter().flat_map(|flag| self.claims(flag, all)).collect();
        }
        if is_fstab_only(option) {
            return Vec::new();
        }
        let noac = self.top.fstype.starts_with("nfs") && all.iter().any(|o| o == "noac");
        if let Some(mut claims) = vfs(option) {
            claims.retain(|c| !self.bind || matches!(c.expects, Expects::Flag(..) | Expects::Readonly(_)));
            for claim in &mut claims {
                let Expects::Word(word, on) = &claim.expects else { continue };
                let kept = match word.as_str() {
                    "sync" => self.is_plain() || (self.top.fstype.starts_with("nfs") && (*on || !noac)),
                    _ => self.is_plain(),
                };
                if !kept {
                    claim.expects = Expects::Perhaps(option.to_owned());
                }
            }
            return claims;
        }
        if self.bind {
            // A bind mount has flags of its own, and all else in common with what it shows.
            return Vec::new();
        }
        let (key, value) = option.split_once('=').map_or((option, None), |(k, v)| (k, Some(v)));
        // `noac` makes zeros of these (nfs(5)).
        if key.starts_with("ac") && noac {
            return Vec::new();
        }
        let rows: Vec<&Row> = rows(&self.top.fstype, self.is_nfs4())
            .filter(|row| row.names.contains(&option) || (value.is_some() && row.names.contains(&key)))
            .collect();
        let Some(row) = rows.iter().find(|r| r.names.contains(&option)).or(rows.first()) else {
            return vec![self.unknown(option, key, value)];
        };
        let cure = row.cure;
        match &row.shows {
            Shows::Never => Vec::new(),
            Shows::On(word) => vec![claim(base(word), Expects::Word((*word).into(), true), cure)],
            Shows::Off(word) => vec![claim(base(word), Expects::Word((*word).into(), false), cure)],
            Shows::Perhaps => vec![claim(base(option), Expects::Perhaps(option.into()), cure)],
            Shows::One(word, of) => vec![claim(of[0], Expects::One((*word).into(), of), cure)],
            Shows::Same(others) => others
                .iter()
                .flat_map(|other| {
                    let other = value
                        .filter(|_| other.ends_with('='))
                        .map_or_else(|| (*other).to_owned(), |value| format!("{other}{value}"));
                    self.claims(&other, all)
                })
                .collect(),
            Shows::Value(form, unset) => {
                let fold = self.folded(key, value.unwrap_or_default(), all);
                vec![claim(
                    key,
                    Expects::Value {
                        key: if *form == Form::Minor { "vers" } else { key }.to_owned(),
                        wanted: fold,
                        form: *form,
                        unset: *unset,
                    },
                    cure,
                )]
            }
        }
    }

    /// The value as the kernel folds it with other options: `vers=4,minorversion=1` is 4.1.
    fn folded(&self, key: &str, value: &str, all: &[String]) -> String {
        let minor = all.iter().find_map(|o| o.strip_prefix("minorversion="));
        match (key, minor) {
            ("vers" | "nfsvers", Some(minor)) if self.is_nfs4() && !value.contains('.') => {
                format!("{value}.{minor}")
            }
            _ => value.to_owned(),
        }
    }

    /// An option that no table knows: it counts where it shows.
    fn unknown(&self, option: &str, key: &str, value: Option<&str>) -> Claim {
        let expects = match value {
            Some(value) => Expects::Value {
                key: key.to_owned(),
                wanted: value.to_owned(),
                form: Form::Any,
                unset: Unset::Unseen,
            },
            None => Expects::Perhaps(option.to_owned()),
        };
        let fstype = self.top.fstype.as_str();
        let anew = is_remote(fstype) || ["xfs", "vfat", "msdos", "exfat"].contains(&fstype);
        let cure = if anew { Cure::Anew } else { Cure::Remount };
        Claim { about: base(key).to_owned(), expects, cure }
    }

    fn judge(&self, claim: &Claim) -> Judged {
        let differs = |found: String| Judged::Differs { found, cure: claim.cure };
        let is = |right: bool, found: &str| if right { Judged::Held } else { differs(found.to_owned()) };
        match &claim.expects {
            Expects::Readonly(wanted) => {
                let whole = self.top.options.iter().any(|o| o == "ro");
                let now = whole || self.flag("ro");
                // Only the file system itself can end that it is read-only as a whole.
                let cure = if whole { Cure::Remount } else { Cure::Flag };
                if now == *wanted {
                    Judged::Held
                } else {
                    Judged::Differs { found: if now { "ro" } else { "rw" }.to_owned(), cure }
                }
            }
            Expects::Flag(word, wanted) if claim.about == "atime" => {
                let now = ["noatime", "relatime"].into_iter().find(|w| self.flag(w)).unwrap_or("strictatime");
                is((now == word) == *wanted, now)
            }
            Expects::Flag(word, wanted) => {
                let now = self.flag(word);
                is(now == *wanted, &if now { word.clone() } else { opposite(word) })
            }
            Expects::Word(word, true) => {
                let other = || self.value(word).map_or_else(|| opposite(word), |v| format!("{word}={v}"));
                if self.has(word) { Judged::Held } else { differs(other()) }
            }
            Expects::Word(word, false) => match self.value(word) {
                Some(value) => differs(format!("{word}={value}")),
                None => is(!self.has(word), word),
            },
            Expects::Perhaps(word) => {
                if self.has(word) || self.flag(word) {
                    Judged::Held
                } else if self.has(&opposite(word)) {
                    differs(opposite(word))
                } else {
                    Judged::Unseen
                }
            }
            Expects::One(word, of) => match of.iter().find(|w| self.has(w)) {
                Some(now) => is(now == word, now),
                None => Judged::Unseen,
            },
            Expects::Value { key, wanted, form, unset } => match self.value(key) {
                Some(now) => match self.same(*form, key, wanted, now) {
                    Some(true) => Judged::Held,
                    Some(false) => differs(format!("{key}={now}")),
                    None => Judged::Unseen,
                },
                None => match unset {
                    Unset::Is(default) => match self.same(*form, key, wanted, default) {
                        Some(false) => differs(format!("{key}={default}")),
                        Some(true) => Judged::Held,
                        None => Judged::Unseen,
                    },
                    Unset::Off => differs(format!("no {key}")),
                    Unset::Unseen => Judged::Unseen,
                },
            },
        }
    }

    /// Whether two values are the same; `None` if that cannot be told.
    fn same(&self, form: Form, key: &str, wanted: &str, now: &str) -> Option<bool> {
        let unquoted = |text: &str| text.trim_matches('"').to_owned();
        let decimal = |text: &str| text.parse::<u64>().ok();
        match form {
            Form::Text => Some(unquoted(wanted) == unquoted(now)),
            Form::NoCase => Some(unquoted(wanted).eq_ignore_ascii_case(&unquoted(now))),
            Form::Number => Some(number(wanted)? == number(now)?),
            // Zero asks for the default, and shows as either.
            Form::NumberOr(default) => {
                let (wanted, now) = (number(wanted)?, number(now)?);
                Some(wanted == now || (wanted == 0 && now == default))
            }
            Form::Octal => Some(octal(wanted)? == octal(now)?),
            // What is negotiated with the server is at most what was asked for; below its least, the kernel
            // takes its default (`NFS_MIN_FILE_IO_SIZE`).
            Form::AtMost => match (number(wanted)?, number(now)?) {
                (wanted, _) if wanted < 1024 => None,
                (wanted, now) => (now >= wanted).then_some(now == wanted),
            },
            Form::Limit(most) => Some(number(wanted)?.min(most) == number(now)?),
            Form::Bytes => {
                let wanted = if let Some(share) = wanted.strip_suffix('%') {
                    u64::try_from(u128::from(self.facts.memory? * 1024) * u128::from(decimal(share)?) / 100)
                        .ok()?
                } else {
                    number(wanted)?
                };
                let now = if let Some(share) = now.strip_suffix('%') {
                    self.facts.memory? * 1024 * decimal(share)? / 100
                } else {
                    number(now)?
                };
                // It has become whole pages.
                Some([1 << 12, 1 << 14, 1 << 16].iter().any(|page| wanted.next_multiple_of(*page) == now))
            }
            Form::HalfMemory => {
                let pages = self.facts.memory.map(|kib| kib / 8);
                let value = |text: &str| if text == "half" { pages } else { number(text) };
                let (wanted, now) = (value(wanted)?, value(now)?);
                Some(wanted == now)
            }
            Form::Account => {
                let id = |text: &str| {
                    decimal(text).or_else(|| {
                        let named = format!("{key}={text}");
                        self.facts
                            .accounts
                            .iter()
                            .find(|(name, _)| *name == named)
                            .and_then(|(_, id)| decimal(id))
                    })
                };
                Some(id(wanted)? == id(now)?)
            }
            Form::NfsVersion => {
                let major = wanted.len() == 1 && now.strip_prefix(wanted).is_some_and(|n| n.starts_with('.'));
                let minor = self.value("minorversion").map(|minor| format!("{now}.{minor}"));
                Some(
                    now == wanted
                        || major
                        || wanted.strip_suffix(".0") == Some(now)
                        || minor.as_deref() == Some(wanted),
                )
            }
            Form::Minor => {
                let minor = now.split_once('.').map_or("0", |(_, minor)| minor);
                Some(number(wanted)? == number(minor)?)
            }
            // `tcp` may have become `tcp6`; who asked for the latter wants it.
            Form::Transport => Some(wanted == now || now.strip_suffix('6') == Some(wanted)),
            Form::Port => match number(now)? {
                0 => (number(wanted)? == 2049).then_some(true),
                now => Some(number(wanted)? == now),
            },
            Form::Flavours => {
                let name = |text: &str| if text == "none" { "null".to_owned() } else { text.to_owned() };
                Some(wanted.split(':').any(|w| name(w) == name(now)))
            }
            Form::Lookups => {
                let name = |text: &str| if text == "positive" { "pos".to_owned() } else { text.to_owned() };
                Some(name(wanted) == name(now))
            }
            Form::Hidepid => {
                let name = |text: &str| match text {
                    "0" => "off".to_owned(),
                    "1" => "noaccess".to_owned(),
                    "2" => "invisible".to_owned(),
                    "4" => "ptraceable".to_owned(),
                    other => other.to_owned(),
                };
                Some(name(wanted) == name(now))
            }
            Form::Compression => {
                let wanted = match wanted {
                    "" | "zlib" => "zlib",
                    "no" => "none",
                    other => other,
                };
                Some(wanted == now || (!wanted.contains(':') && now.split(':').next() == Some(wanted)))
            }
            Form::Subvolume => Some(wanted.trim_matches('/') == now.trim_matches('/')),
            Form::SmbVersion => match wanted {
                // The highest that both know.
                "default" | "3" => Some(now.starts_with('3') || wanted == "default"),
                "3.11" | "3.1.1" => Some(now == "3.1.1" || now == "3.11"),
                "3.02" | "3.0.2" => Some(now == "3.02" || now == "3.0.2"),
                other => Some(other == now),
            },
            Form::Any => Some(
                unquoted(wanted) == unquoted(now)
                    || (number(wanted).is_some() && number(wanted) == number(now))
                    || (octal(wanted).is_some() && octal(wanted) == octal(now)),
            ),
        }
    }
}

/// Options of mount(8) for all types: flags of the mount, and of the superblock (`fs/proc_namespace.c`:
/// `show_mnt_opts`, `show_sb_opts`). `None` for others.
fn vfs(option: &str) -> Option<Vec<Claim>> {
    let one = |about: &str, expects: Expects, cure: Cure| {
        Some(vec![Claim { about: about.to_owned(), expects, cure }])
    };
    let flag = |about: &str, word: &str, on: bool| one(about, Expects::Flag(word.to_owned(), on), Cure::Flag);
    let word = |word: &str, on: bool| one(word, Expects::Word(word.to_owned(), on), Cure::Remount);
    match option {
        "ro" => one("ro", Expects::Readonly(true), Cure::Flag),
        "rw" => one("ro", Expects::Readonly(false), Cure::Flag),
        "nosuid" | "nodev" | "noexec" | "nosymfollow" | "nodiratime" => flag(&option[2..], option, true),
        "suid" | "dev" | "exec" | "symfollow" | "diratime" => flag(option, &format!("no{option}"), false),
        "noatime" | "relatime" | "strictatime" => flag("atime", option, true),
        "atime" => flag("atime", "noatime", false),
        "sync" | "dirsync" | "lazytime" => word(option, true),
        "async" => word("sync", false),
        "nolazytime" => word("lazytime", false),
        // Mandatory locks are gone since Linux 5.15; the others are read and not kept.
        "mand" | "nomand" => one("mand", Expects::Perhaps(option.to_owned()), Cure::Remount),
        "norelatime" | "nostrictatime" | "silent" | "loud" | "iversion" | "noiversion" | "bind" | "rbind"
        | "loop" | "shared" | "rshared" | "private" | "rprivate" | "slave" | "rslave" | "unbindable"
        | "runbindable" => Some(Vec::new()),
        _ => {
            let key = option.split_once('=')?.0;
            ["loop", "offset", "sizelimit", "helper", "uhelper"].contains(&key).then(Vec::new)
        }
    }
}

/// What an option is about: `nodiscard` and `discard` contradict each other.
fn base(word: &str) -> &str {
    word.strip_prefix("no").filter(|rest| rest.len() > 1).unwrap_or(word)
}

/// The word for "not so".
fn opposite(word: &str) -> String {
    match word {
        "sync" => "async".to_owned(),
        "nodioread_nolock" => "dioread_nolock".to_owned(),
        "norecovery" => "recovery".to_owned(),
        _ if base(word) != word => base(word).to_owned(),
        _ if word.contains('=') => format!("no {word}"),
        _ => format!("no{word}"),
    }
}

/// A number as the kernel's `memparse` reads it: decimal, `0x` or octal, with a unit after it.
fn number(text: &str) -> Option<u64> {
    let unit = |shift: u32| (&text[..text.len() - 1], shift);
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => unit(10),
        b'm' | b'M' => unit(20),
        b'g' | b'G' => unit(30),
        b't' | b'T' => unit(40),
        _ => (text, 0),
    };
    let number = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()?
    } else {
        digits.parse::<u64>().ok()?
    };
    number.checked_mul(1 << shift)
}

fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8).ok()
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
