//! The language of exports(5): what a line says, which clients a spec admits, and which options are live.
//!
//! Entries are compared as a set of (path, client, options), never as text: a comment or the order of
//! options is no difference.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::probe::{Answer, CheckError, Probe};

/// One directory exported to one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The directory, without a slash at its end.
    pub path: String,
    /// The client as [`canonical_client`] writes it; as it stands where it is not valid.
    pub client: String,
    /// Its options in the order in which they stand.
    pub options: Vec<String>,
}

/// Each option with its opposite, the default first; an empty name where a side has no word.
/// Source: exports(5) of nfs-utils 2.6 and `putexportent` of the same.
const PAIRS: [(&str, &str); 15] = [
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
    ("", "mountpoint"),
];

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
    let flag = PAIRS.iter().any(|(a, b)| !name.is_empty() && (name == *a || name == *b));
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
        Some("") => Err((format!("{name:?} needs a value"), None)),
        None if !flag => Err((format!("{name:?} needs a value"), Some(format!("write `{name}=...`")))),
        _ => Ok(()),
    }
}

/// Whether the options of a live entry include `wanted`.
///
/// The live table lists all flags with their defaults spelled out; what a release does not know it leaves
/// out, so a default counts as live unless its opposite is listed.
pub fn is_live(live: &[String], wanted: &str) -> bool {
    let wanted = canonical_option(wanted);
    let has = |option: &str| live.iter().any(|l| canonical_option(l) == option);
    if let Some(flavours) = wanted.strip_prefix("sec=") {
        let mut wanted: Vec<&str> = flavours.split(':').collect();
        let mut there: Vec<&str> =
            live.iter().filter_map(|l| l.strip_prefix("sec=")).flat_map(|f| f.split(':')).collect();
        wanted.sort_unstable();
        there.sort_unstable();
        there.dedup();
        return wanted == there;
    }
    has(&wanted) || PAIRS.iter().any(|(default, other)| *default == wanted && !has(other))
}

/// What a live entry says in the place of `wanted`, for a message.
pub fn instead_of(live: &[String], wanted: &str) -> Option<String> {
    let wanted = canonical_option(wanted);
    let opposite = opposite(&wanted);
    let key = wanted.split_once('=').map(|(k, _)| k);
    live.iter()
        .find(|l| Some(l.as_str()) == opposite || key.is_some() && l.split_once('=').map(|(k, _)| k) == key)
        .cloned()
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

/// A network of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Net {
    first: IpAddr,
    prefix: u8,
}

impl Net {
    fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let first = match address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix).min(32)).unwrap_or(0);
                (prefix <= 32).then(|| IpAddr::V4(Ipv4Addr::from(u32::from(a) & mask)))?
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix).min(128)).unwrap_or(0);
                (prefix <= 128).then(|| IpAddr::V6(Ipv6Addr::from(u128::from(a) & mask)))?
            }
        };
        Some(Self { first, prefix })
    }

    fn parse(text: &str) -> Option<Self> {
        let Some((address, mask)) = text.split_once('/') else {
            let address: IpAddr = text.parse().ok()?;
            return Self::new(address, if address.is_ipv4() { 32 } else { 128 });
        };
        let address: IpAddr = address.parse().ok()?;
        let prefix = match mask.parse::<Ipv4Addr>() {
            Ok(mask) if address.is_ipv4() => {
                let bits = u32::from(mask);
                (bits.leading_ones() == bits.count_ones()).then(|| bits.leading_ones().to_le_bytes()[0])?
            }
            _ => mask.parse().ok()?,
        };
        Self::new(address, prefix)
    }

    fn contains(self, other: Self) -> bool {
        self.prefix <= other.prefix && Self::new(other.first, self.prefix).is_some_and(|n| n == self)
    }
}

/// Writes a client spec in the one way that is compared: networks without host bits and with a prefix
/// length, names in lower case.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn canonical_client(spec: &str) -> Result<String, (String, Option<&'static str>)> {
    let bad = |why: &str, help| Err((format!("{spec:?} {why}"), help));
    if let Some(net) = Net::parse(spec) {
        let whole = if net.first.is_ipv4() { 32 } else { 128 };
        return Ok(if net.prefix == whole {
            net.first.to_string()
        } else {
            format!("{}/{}", net.first, net.prefix)
        });
    }
    if spec.is_empty() {
        return bad("is empty: it would export to everyone", Some("write `*` if that is meant"));
    }
    if spec.contains(['(', ')']) {
        return bad(
            "has brackets",
            Some("options stand apart: `clients = [{ spec = \"10.0.0.0/24\", options = [\"ro\"] }]`"),
        );
    }
    if spec.contains('/') {
        return bad("is not a network", Some("write ADDRESS/PREFIX, as in `192.168.158.0/24`"));
    }
    if spec.starts_with('[') && spec.contains(':') {
        return bad("has brackets", Some("exports(5) takes IPv6 addresses without them"));
    }
    if spec.contains(':') || spec.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return bad("is not an IP address", None);
    }
    let name = spec.strip_prefix('@').unwrap_or(spec);
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.*?[]".contains(c)) {
        return bad(
            "is not a client",
            Some("expected an address, a network, a host name, `*.example.com`, `@netgroup` or `*`"),
        );
    }
    Ok(if spec.starts_with('@') { spec.to_owned() } else { spec.to_ascii_lowercase() })
}

/// Whether a client spec is a plain host name, which the server has to resolve.
pub fn is_host_name(spec: &str) -> bool {
    Net::parse(spec).is_none() && !spec.starts_with('@') && !spec.contains(['*', '?', '[', '/'])
}

/// Whether a client spec admits everything that `other` admits, as far as arithmetic can tell.
pub fn covers(spec: &str, other: &str) -> bool {
    let nets = || Some(Net::parse(spec)?.contains(Net::parse(other)?));
    spec == "*" || spec == other || nets().unwrap_or(false)
}

/// Whether a client spec admits `address`; `None` where only the server's resolver could tell.
pub fn admits(spec: &str, address: IpAddr) -> Option<bool> {
    if spec == "*" {
        return Some(true);
    }
    Some(Net::parse(spec)?.contains(Net::new(address, if address.is_ipv4() { 32 } else { 128 })?))
}

/// Reads exports(5) text: each entry with the number of its line, from 1.
///
/// What exportfs would read is what counts: `host (rw)` is `host` with defaults, and everyone with `rw`.
pub fn parse(text: &str) -> Vec<(usize, Entry)> {
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut line = line.to_owned();
        while line.ends_with('\\') {
            line.pop();
            line.push(' ');
            line.push_str(lines.next().map_or("", |(_, next)| next));
        }
        let mut words = words(&line).into_iter();
        let Some(path) = words.next() else { continue };
        let mut defaults: Vec<String> = Vec::new();
        let mut clients = 0;
        let mut push = |client: &str, options: &[String]| {
            let client = canonical_client(client).unwrap_or_else(|_| client.to_owned());
            entries.push((
                number + 1,
                Entry { path: trim_path(&path).to_owned(), client, options: options.to_vec() },
            ));
        };
        for word in words {
            if let Some(options) = word.strip_prefix('-') {
                defaults = split_options(options);
                continue;
            }
            clients += 1;
            let (client, options) = word.split_once('(').unwrap_or((&word, ""));
            let own = split_options(options.trim_end_matches(')'));
            let options: Vec<String> = defaults.iter().cloned().chain(own).collect();
            push(if client.is_empty() { "*" } else { client }, &options);
        }
        if clients == 0 {
            push("*", &defaults);
        }
    }
    entries
}

/// Reads the live table, `/var/lib/nfs/etab`: `PATH<TAB>CLIENT(OPTIONS)` a line. `None` if a line is not so.
pub fn parse_live(text: &str) -> Option<Vec<Entry>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let (path, rest) = line.split_once('\t')?;
            let (client, options) = rest.split_once('(')?;
            Some(Entry {
                path: trim_path(&unescape(path)).to_owned(),
                client: canonical_client(client).unwrap_or_else(|_| client.to_owned()),
                options: split_options(options.strip_suffix(')')?),
            })
        })
        .collect()
}

/// The line that exports(5) wants for an entry.
pub fn line(entry: &Entry) -> String {
    let path: String = entry
        .path
        .chars()
        .map(|c| match c {
            ' ' | '\t' | '\n' | '"' | '\\' | '#' => format!("\\{:03o}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("{path} {}({})\n", entry.client, entry.options.join(","))
}

/// A path without slashes at its end, as exportfs keeps it.
pub fn trim_path(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/" } else { trimmed }
}

fn split_options(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|o| !o.is_empty()).map(str::to_owned).collect()
}

/// The words of a line up to a comment: `"..."` keeps blanks, `\040` is an octal escape.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '#' if !quoted => break,
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words.iter().map(|w| unescape(w)).collect()
}

/// Resolves the octal escapes (`\040`) that the kernel, fstab(5) and exports(5) share.
pub fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|d| d.iter().all(|b| (b'0'..=b'7').contains(b)));
        let code = digits
            .filter(|_| first == b'\\')
            .and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        if let Some(code) = code {
            out.push(code);
            rest = &tail[3..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What the host answered about its exports.
#[derive(Debug)]
pub struct Tables {
    /// Whether exportfs is there.
    pub tool: bool,
    /// Host names of the step and what the resolver calls them.
    pub names: Vec<(String, String)>,
    /// The files that exportfs reads, with their text.
    pub files: Vec<(String, String)>,
    /// The live table.
    pub live: Vec<Entry>,
}

impl Tables {
    /// The names under which a client may be listed: exportfs replaces a host name by its canonical one.
    pub fn names_of<'a>(&'a self, client: &'a str) -> Vec<&'a str> {
        let canonical = self.names.iter().filter(|(n, _)| n == client).map(|(_, c)| c.as_str());
        std::iter::once(client).chain(canonical).collect()
    }
}

/// Reads the answer to the probe of a step.
pub fn parse_tables(probe: &Probe, answer: &Answer) -> Result<Tables, CheckError> {
    let unreadable = || CheckError::unreadable(probe, answer, "expected the files and the table of exports");
    if answer.error_text().contains("ermission denied") {
        return Err(CheckError::refused(
            format!("cannot read the exports: {}", answer.error_text()),
            "give the step the rights to read them, with `become = true`".to_owned(),
        ));
    }
    let text = answer.text();
    let mut lines = text.lines();
    let tool = match lines.next() {
        Some("TOOL yes") => true,
        Some("TOOL no") => false,
        _ => return Err(unreadable()),
    };
    if !answer.ok() {
        return Err(unreadable());
    }
    let mut tables = Tables { tool, names: Vec::new(), files: Vec::new(), live: Vec::new() };
    for line in lines {
        if let Some(name) = line.strip_prefix("FILE ") {
            tables.files.push((name.to_owned(), String::new()));
        } else if let (Some(line), Some((_, text))) = (line.strip_prefix('|'), tables.files.last_mut()) {
            text.push_str(line);
            text.push('\n');
        } else if let Some((name, canonical)) = line.strip_prefix("NAME ").and_then(|l| l.split_once(' ')) {
            if !canonical.is_empty() {
                tables.names.push((name.to_owned(), canonical.to_ascii_lowercase()));
            }
        } else if !line.starts_with("NAME ") {
            return Err(unreadable());
        }
    }
    if let Some(at) = tables.files.iter().position(|(name, _)| name == "/var/lib/nfs/etab") {
        let (_, text) = tables.files.remove(at);
        tables.live = parse_live(&text).ok_or_else(unreadable)?;
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        parse(text).iter().map(|(n, e)| format!("{n} {}", line(e).trim_end())).collect()
    }

    #[test]
    fn reads_what_exportfs_would() {
        let text = "# nothing\n\n/a/ 10.0.0.7/24(rw,sync) -ro,sync Web.Example.com x(rw) # tail\n\
                    \"/b c\" *(ro)\n/d\\040e host (rw)\n/f \\\n  @trusted(rw)\n/g\n";
        assert_eq!(
            shown(text),
            [
                "3 /a 10.0.0.0/24(rw,sync)",
                "3 /a web.example.com(ro,sync)",
                "3 /a x(ro,sync,rw)",
                r"4 /b\040c *(ro)",
                r"5 /d\040e host()",
                r"5 /d\040e *(rw)",
                "6 /f @trusted(rw)",
                "8 /g *()",
            ]
        );
        // The line of the recipe with a remark as in C: `//` starts no comment, it is a path.
        assert_eq!(shown("//ro read only"), ["1 //ro read()", "1 //ro only()"]);
    }

    #[test]
    fn clients_have_one_form() {
        for (spec, wanted) in [
            ("192.168.158.143/24", "192.168.158.0/24"),
            ("192.168.158.0/255.255.255.0", "192.168.158.0/24"),
            ("192.168.158.7/32", "192.168.158.7"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::1/64", "2001:db8::/64"),
            ("*", "*"),
            ("*.Example.com", "*.example.com"),
            ("@Trusted", "@Trusted"),
        ] {
            assert_eq!(canonical_client(spec).as_deref(), Ok(wanted), "{spec}");
        }
        for spec in [
            "",
            "192.168.158.1434",
            "10.0.0.0/33",
            "10.0.0.0/255.0.255.0",
            "host (rw)",
            "host(rw)",
            "a b",
            "[2001:db8::1]",
            "//ro",
        ] {
            assert!(canonical_client(spec).is_err(), "{spec}");
        }
    }

    #[test]
    fn arithmetic_tells_who_is_admitted() {
        let manager = "192.168.158.144".parse().unwrap();
        assert_eq!(admits("192.168.158.0/24", manager), Some(true));
        assert_eq!(admits("192.168.57.0/24", manager), Some(false));
        assert_eq!(admits("*", manager), Some(true));
        assert_eq!(admits("web.example.com", manager), None);
        assert!(covers("192.168.158.0/24", "192.168.158.128/25"));
        assert!(!covers("192.168.158.128/25", "192.168.158.0/24"));
        assert!(!covers("10.0.0.0/8", "2001:db8::1"));
    }

    #[test]
    fn live_options_are_a_superset() {
        let live = split_options(
            "rw,sync,wdelay,hide,nocrossmnt,secure,root_squash,no_all_squash,no_subtree_check,secure_locks,acl,\
             anonuid=65534,anongid=65534,sec=sys,rw,secure,root_squash,no_all_squash",
        );
        for there in ["rw", "sync", "root_squash", "no_pnfs", "auth_nlm", "sec=sys", "anonuid=65534"] {
            assert!(is_live(&live, there), "{there}");
        }
        for (not_there, instead) in [
            ("ro", Some("rw")),
            ("no_root_squash", Some("root_squash")),
            ("crossmnt", Some("nocrossmnt")),
            ("anonuid=999", Some("anonuid=65534")),
            ("sec=krb5:sys", Some("sec=sys")),
            ("fsid=0", None),
            ("pnfs", None),
        ] {
            assert!(!is_live(&live, not_there), "{not_there}");
            assert_eq!(instead_of(&live, not_there).as_deref(), instead, "{not_there}");
        }
    }

    #[test]
    fn options_have_known_names() {
        for good in ["rw", "fsid=0", "fsid=root", "mp", "mountpoint=/a", "sec=sys:krb5", "no_auth_nlm"] {
            assert_eq!(check_option(good), Ok(()), "{good}");
        }
        let (message, help) = check_option("no_root_sqash").unwrap_err();
        assert_eq!(message, "\"no_root_sqash\" is not an export option");
        assert_eq!(help.as_deref(), Some("did you mean `no_root_squash`?"));
        for bad in ["rw=1", "fsid", "anonuid=", "rw sync", ""] {
            assert!(check_option(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_written_line_is_read_back(path in "/[a-z \"#\\\\\t]{0,12}[a-z]") {
            let entry = Entry {
                path, client: "10.0.0.0/8".into(), options: vec!["rw".into(), "sync".into()],
            };
            let read = parse(&line(&entry));
            proptest::prop_assert_eq!(read, vec![(1, entry)]);
        }
    }
}
