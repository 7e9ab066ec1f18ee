//! The options of exports(5): what each says, what they come to together, and in what two lists differ.
//!
//! Lists are compared by what exportfs makes of them, never as text: later options undo earlier ones, `sec=` opens a part
//! of its own, numbers have 32 bits, and the live table spells out every default. Source: exports(5) of nfs-utils 2.6, and
//! what that writes into its table.

use std::collections::{BTreeMap, BTreeSet};

/// Each option with its opposite, the default first; an empty name where a side has no word.
const PAIRS: [(&str, &str); 14] = [
    ("ro", "rw"),
    ("sync", "async"),
    ("wdelay", "no_wdelay"),
    ("hide", "nohide"),
    ("nocrossmnt", "crossmnt"),
    ("secure", "insecure"),
    ("root_squash", "no_root_squash"),
    ("no_all_squash", "all_squash"),
    ("no_subtree_check", "subtree_check"),
    ("secure_locks", "insecure_locks"),
    ("acl", "no_acl"),
    ("no_pnfs", "pnfs"),
    ("rdirplus", "nordirplus"),
    ("", "security_label"),
];

/// Those of [`PAIRS`] that each security flavour has by itself, by their defaults.
const OF_FLAVOUR: [&str; 4] = ["ro", "secure", "root_squash", "no_all_squash"];

/// Options with a value.
const VALUED: [&str; 9] =
    ["mountpoint", "fsid", "refer", "replicas", "anonuid", "anongid", "sec", "xprtsec", "reexport"];

/// Other words for the same option.
const ALIASES: [(&str, &str); 5] = [
    ("auth_nlm", "secure_locks"),
    ("no_auth_nlm", "insecure_locks"),
    ("mp", "mountpoint"),
    ("no_hide", "nohide"),
    ("fsid=root", "fsid=0"),
];

/// The security flavours that exportfs knows, under the name of the first of each number.
const FLAVOURS: [(&str, &str); 7] = [
    ("sys", "sys"),
    ("unix", "sys"),
    ("none", "none"),
    ("null", "none"),
    ("krb5", "krb5"),
    ("krb5i", "krb5i"),
    ("krb5p", "krb5p"),
];

/// The option in the word that the live table uses.
fn canonical_option(option: &str) -> String {
    if let Some((_, name)) = ALIASES.iter().find(|(alias, _)| *alias == option) {
        return (*name).to_owned();
    }
    option.strip_prefix("mp=").map_or_else(|| option.to_owned(), |path| format!("mountpoint={path}"))
}

/// The option that says the contrary, if it has a word.
pub fn opposite(option: &str) -> Option<&'static str> {
    let option = canonical_option(option);
    PAIRS
        .iter()
        .find_map(|(a, b)| match option.as_str() {
            o if o == *a => Some(*b),
            o if o == *b => Some(*a),
            _ => None,
        })
        .filter(|o| !o.is_empty())
}

/// Says what is wrong with an option, and the name that may have been meant.
pub fn check_option(option: &str) -> Result<(), (String, Option<String>)> {
    let canonical = canonical_option(option);
    let (name, value) = canonical.split_once('=').map_or((canonical.as_str(), None), |(n, v)| (n, Some(v)));
    let flag =
        name == "mountpoint" || PAIRS.iter().any(|(a, b)| !name.is_empty() && (name == *a || name == *b));
    let valued = VALUED.contains(&name);
    if option.contains(|c: char| c.is_whitespace() || "(),\"#".contains(c)) {
        return Err((format!("{option:?} is not one option"), Some("write one option an item".into())));
    }
    match value {
        _ if !flag && !valued => {
            let known: Vec<&str> = PAIRS
                .iter()
                .flat_map(|(a, b)| [*a, *b])
                .chain(VALUED)
                .chain(ALIASES.iter().map(|(a, _)| *a))
                .filter(|n| !n.is_empty())
                .collect();
            let near = crate::diagnostic::nearest(name, known);
            Err((
                format!("{name:?} is not an export option"),
                near.map(|n| format!("did you mean `{n}`?")).or_else(|| Some("see exports(5)".into())),
            ))
        }
        Some(_) if !valued => Err((format!("{name:?} takes no value"), None)),
        Some(value) if !value.is_empty() && !good_value(name, value) => Err((
            format!("{value:?} is not a value of {name:?}"),
            Some(match name {
                "sec" => format!("flavours are {}, with `:` between", FLAVOURS.map(|(f, _)| f).join(", ")),
                "fsid" => "expected a number, `root`, or a UUID".into(),
                _ => "expected a number".into(),
            }),
        )),
        Some("") => Err((format!("{name:?} needs a value"), None)),
        None if !flag => Err((format!("{name:?} needs a value"), Some(format!("write `{name}=...`")))),
        _ => Ok(()),
    }
}

/// Whether exportfs takes `value`, as far as this is known.
fn good_value(name: &str, value: &str) -> bool {
    match name {
        "anonuid" | "anongid" => {
            value.parse::<i64>().is_ok_and(|n| (-0x8000_0000..0x1_0000_0000).contains(&n))
        }
        "fsid" => number(value).is_some() || uuid(value).is_some(),
        "sec" => value.split(':').all(|flavour| FLAVOURS.iter().any(|(name, _)| *name == flavour)),
        _ => true,
    }
}

/// A number without sign as C reads it with base 0, in 32 bits.
fn number(text: &str) -> Option<u32> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return text.parse::<i32>().ok().map(i32::cast_unsigned);
    }
    let read = match (text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")), text.strip_prefix('0')) {
        (Some(digits), _) => u32::from_str_radix(digits, 16),
        (None, Some(digits)) if !digits.is_empty() => u32::from_str_radix(digits, 8),
        _ => text.parse(),
    };
    read.ok()
}

/// The digits of a UUID.
fn uuid(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    (digits.len() == 32).then(|| digits.to_ascii_lowercase())
}

/// What a list of options comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The words of [`PAIRS`] that are not the default.
    other: BTreeSet<&'static str>,
    /// Options with a value, in a form that can be compared.
    values: BTreeMap<String, String>,
    /// The flavours in their order, each with its words of [`OF_FLAVOUR`] that are not the default.
    flavours: Vec<(String, BTreeSet<&'static str>)>,
}

fn pair(option: &str) -> Option<(&'static str, &'static str)> {
    PAIRS.into_iter().find(|(default, other)| !option.is_empty() && (*default == option || *other == option))
}

fn of_flavour(other: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
    let pairs = PAIRS.iter().filter(|(default, _)| OF_FLAVOUR.contains(default));
    // `ro` is the default of exports(5), not of those who read `other`.
    pairs.map(|(_, word)| *word).filter(|word| other.contains(word)).collect()
}

impl Options {
    /// Reads a list in its order.
    pub fn read(options: &[String]) -> Self {
        let mut other: BTreeSet<&'static str> = BTreeSet::new();
        let mut values = BTreeMap::new();
        let mut flavours: Vec<(String, BTreeSet<&'static str>)> = Vec::new();
        let mut active: Vec<usize> = Vec::new();
        for option in options {
            let option = canonical_option(option);
            if let Some((default, word)) = pair(&option) {
                let is = option == word;
                let set = |words: &mut BTreeSet<&'static str>| {
                    if is { words.insert(word) } else { words.remove(word) }
                };
                set(&mut other);
                if OF_FLAVOUR.contains(&default) {
                    for n in &active {
                        set(&mut flavours[*n].1);
                    }
                }
                continue;
            }
            let (name, value) = option.split_once('=').unwrap_or((&option, ""));
            if name == "sec" {
                active.clear();
                for flavour in value.split(':') {
                    let known = FLAVOURS.iter().find(|(alias, _)| *alias == flavour);
                    let flavour = known.map_or(flavour, |(_, name)| name);
                    active.push(flavours.iter().position(|(f, _)| f == flavour).unwrap_or_else(|| {
                        flavours.push((flavour.to_owned(), of_flavour(&other)));
                        flavours.len() - 1
                    }));
                }
                continue;
            }
            let value = match name {
                "anonuid" | "anongid" => value.parse::<i64>().ok().map(|n| (n & 0xffff_ffff).to_string()),
                "fsid" => number(value).map(|n| n.to_string()).or_else(|| uuid(value)),
                _ => None,
            }
            .unwrap_or_else(|| value.to_owned());
            values.insert(name.to_owned(), value);
        }
        if flavours.is_empty() {
            flavours.push(("sys".to_owned(), of_flavour(&other)));
        }
        for id in ["anonuid", "anongid"] {
            values.entry(id.to_owned()).or_insert_with(|| "65534".to_owned());
        }
        Self { other, values, flavours }
    }

    /// Whether no flavour may write.
    fn read_only(&self) -> bool {
        self.flavours.iter().all(|(_, words)| !words.contains("rw"))
    }

    fn sec(&self) -> String {
        let names: Vec<&str> = self.flavours.iter().map(|(name, _)| name.as_str()).collect();
        format!("sec={}", names.join(":"))
    }
}

/// What a live entry has that `wanted` wants otherwise: found and wanted, each in words.
///
/// What a release does not know its table leaves out: it is as by default. What nobody asked for counts where it says who
/// may do what.
pub fn differences(live: &[String], wanted: &[String]) -> Vec<(String, String)> {
    let (now, then) = (Options::read(live), Options::read(wanted));
    let named: BTreeSet<&str> =
        wanted.iter().filter_map(|o| pair(&canonical_option(o))).map(|(_, word)| word).collect();
    let mut differ = Vec::new();
    for (default, other) in PAIRS.into_iter().filter(|(default, _)| !OF_FLAVOUR.contains(default)) {
        if now.other.contains(other) != then.other.contains(other)
            && (default == "sync" || named.contains(other))
        {
            let word = |options: &Options| match (options.other.contains(other), default) {
                (true, _) => other.to_owned(),
                (false, "") => format!("no {other}"),
                (false, default) => default.to_owned(),
            };
            differ.push((word(&now), word(&then)));
        }
    }
    if now.sec() != then.sec() {
        differ.push((now.sec(), then.sec()));
    }
    for (flavour, words) in &then.flavours {
        let Some((_, found)) = now.flavours.iter().find(|(name, _)| name == flavour) else { continue };
        let of = if then.flavours.len() > 1 { format!("{flavour}:") } else { String::new() };
        for (default, other) in PAIRS.into_iter().filter(|(default, _)| OF_FLAVOUR.contains(default)) {
            if found.contains(other) != words.contains(other) {
                let word = |set: &BTreeSet<&str>| {
                    format!("{of}{}", if set.contains(other) { other } else { default })
                };
                differ.push((word(found), word(words)));
            }
        }
    }
    for (name, value) in &then.values {
        if now.values.get(name) != Some(value) {
            let list = |options: &[String]| {
                let is = |o: &&String| canonical_option(o).split('=').next() == Some(name);
                options.iter().rfind(is).cloned()
            };
            let found = list(live).unwrap_or_else(|| format!("no {name}"));
            let value = list(wanted).unwrap_or_else(|| format!("{name}={value}"));
            differ.push((found, value));
        }
    }
    differ
}

/// Whether clients that could write no longer can.
pub fn takes_write(live: &[String], wanted: &[String]) -> bool {
    !Options::read(live).read_only() && Options::read(wanted).read_only()
}

/// The options of a live entry without those that are so by default.
pub fn short(live: &[String]) -> String {
    let plain = |o: &str| {
        PAIRS[1..].iter().any(|(default, _)| *default == o)
            || ["anonuid=65534", "anongid=65534", "sec=sys"].contains(&o)
    };
    let mut kept: Vec<&str> = Vec::new();
    for option in live.iter().map(String::as_str).filter(|o| !plain(o)) {
        if !kept.contains(&option) {
            kept.push(option);
        }
    }
    kept.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    const LIVE: &str = "rw,sync,wdelay,hide,nocrossmnt,secure,root_squash,no_all_squash,no_subtree_check,secure_locks,acl,\
                        no_pnfs,anonuid=65534,anongid=65534,sec=sys,rw,secure,root_squash,no_all_squash";

    fn differ(live: &str, wanted: &str) -> String {
        let differ = differences(&list(live), &list(wanted));
        differ.iter().map(|(found, wanted)| format!("{found}->{wanted}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn lists_are_compared_by_what_they_come_to() {
        for (wanted, differs) in [
            ("rw", ""),
            ("rw,sync,root_squash,auth_nlm,no_pnfs,sec=sys,anonuid=65534", ""),
            ("rw,sec=unix", ""),
            ("ro,rw", ""),
            ("sync", "rw->ro"),
            ("ro", "rw->ro"),
            ("rw,async", "sync->async"),
            ("rw,no_root_squash,crossmnt", "nocrossmnt->crossmnt root_squash->no_root_squash"),
            ("rw,anonuid=999", "anonuid=65534->anonuid=999"),
            ("rw,sec=krb5:sys", "sec=sys->sec=krb5:sys"),
            ("rw,fsid=0", "no fsid->fsid=0"),
            ("rw,security_label", "no security_label->security_label"),
        ] {
            assert_eq!(differ(LIVE, wanted), differs, "{wanted}");
        }
        for (live, wanted, differs) in [
            ("rw,anonuid=-2,anongid=-1,fsid=16", "rw,anonuid=4294967294,anongid=4294967295,fsid=0x10", ""),
            ("rw,fsid=0", "rw,fsid=root", ""),
            ("rw,fsid=-1", "rw,fsid=4294967295", ""),
            ("rw,mountpoint=/a", "rw,mp=/a", ""),
            ("rw,fsid=6b29fc40-ca47-1067-b31d-00dd010662da", "rw,fsid=6B29FC40CA471067B31D00DD010662DA", ""),
            ("rw,anonuid=10", "rw,anonuid=010", ""),
            // By hand: the file does not say so.
            ("rw,no_root_squash,sec=sys,rw,no_root_squash", "rw", "no_root_squash->root_squash"),
            (
                "ro,sec=sys,rw,secure,root_squash,no_all_squash,sec=krb5,ro,secure,root_squash,no_all_squash",
                "sec=sys,rw,sec=krb5,ro",
                "",
            ),
            ("rw,sec=sys:krb5,rw,secure", "sec=sys,rw,sec=krb5,ro", "krb5:rw->krb5:ro"),
        ] {
            assert_eq!(differ(live, wanted), differs, "{live} {wanted}");
        }
        assert!(takes_write(&list(LIVE), &list("sync")) && !takes_write(&list(LIVE), &list("sec=sys,rw")));
        assert_eq!(short(&list(LIVE)), "rw");
    }

    #[test]
    fn options_have_known_names() {
        for good in [
            "rw",
            "fsid=0",
            "fsid=root",
            "fsid=0x1f",
            "mp",
            "mountpoint=/a",
            "sec=sys:krb5",
            "no_auth_nlm",
            "anonuid=-2",
        ] {
            assert_eq!(check_option(good), Ok(()), "{good}");
        }
        let (message, help) = check_option("no_root_sqash").unwrap_err();
        assert_eq!(message, "\"no_root_sqash\" is not an export option");
        assert_eq!(help.as_deref(), Some("did you mean `no_root_squash`?"));
        for bad in [
            "rw=1",
            "fsid",
            "anonuid=",
            "rw sync",
            "",
            "anonuid=joe",
            "fsid=x",
            "sec=kerberos",
            "anongid=99999999999",
        ] {
            assert!(check_option(bad).is_err(), "{bad}");
        }
    }
}
