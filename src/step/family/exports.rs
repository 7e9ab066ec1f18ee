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

    fn is_host(self) -> bool {
        self.prefix == if self.first.is_ipv4() { 32 } else { 128 }
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

/// Whether a client spec is one host, by name or address.
pub fn is_host(spec: &str) -> bool {
    Net::parse(spec).is_some_and(Net::is_host) || is_host_name(spec)
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
/// What exportfs would read is what counts, byte for byte: `host (rw)` is `host` with defaults, and everyone with `rw`; a
/// backslash continues a line, but no comment; `#` begins a comment where a word would begin, and is a part of it
/// elsewhere; options behind `-` add up along the line. Where exportfs gives up on a file, this goes on: what stands
/// there counts once the line is mended.
pub fn parse(text: &[u8]) -> Vec<(usize, Entry)> {
    let mut reader = Reader { text, at: 0, line: 1 };
    let mut entries = Vec::new();
    loop {
        reader.skip(b" \t\n\r\x0b\x0c");
        let number = reader.line;
        if reader.at >= text.len() {
            return entries;
        }
        let path = reader.word();
        let mut defaults: Vec<String> = Vec::new();
        let mut first = true;
        loop {
            reader.skip(b" \t");
            let mut word = reader.word();
            if let Some(options) = word.strip_prefix('-') {
                defaults.extend(split_options(options));
                reader.skip(b" \t");
                word = reader.word();
                first = true;
            }
            // No word at all is the end of the line, or everyone where none stands before it.
            if word.is_empty() && !first {
                break;
            }
            let (client, options) = word.split_once('(').unwrap_or((&word, ""));
            let client = if client.is_empty() { "*" } else { client };
            let own = split_options(options.trim_end_matches(')'));
            entries.push((
                number,
                Entry {
                    path: trim_path(&path),
                    client: canonical_client(client).unwrap_or_else(|_| client.to_owned()),
                    options: defaults.iter().cloned().chain(own).collect(),
                },
            ));
            first = false;
        }
    }
}

/// Reads text as exportfs does.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Reader<'_> {
    /// The next byte and where what follows it begins; a backslash at the end of a line, and the blanks behind it, are
    /// one blank.
    fn peek(&self) -> Option<(u8, usize)> {
        let rest = self.text.get(self.at..)?;
        if rest.starts_with(b"\\\n") {
            let blanks = rest[2..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            return Some((b' ', self.at + 2 + blanks));
        }
        Some((*rest.first()?, self.at + 1))
    }

    fn go(&mut self, to: usize) {
        self.line += self.text[self.at..to].split(|b| *b == b'\n').count() - 1;
        self.at = to;
    }

    /// Skips what is in `blanks`, and comments, up to the end of their line.
    fn skip(&mut self, blanks: &[u8]) {
        while let Some((byte, next)) = self.peek() {
            if byte == b'#' {
                let rest = &self.text[self.at..];
                self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            } else if blanks.contains(&byte) {
                self.go(next);
            } else {
                return;
            }
        }
    }

    /// The next word, and the blank behind it: quotes keep blanks, `\040` is an octal escape, also where another one has
    /// made its backslash.
    fn word(&mut self) -> String {
        let mut word: Vec<u8> = Vec::new();
        let mut quoted = false;
        while let Some((byte, next)) = self.peek() {
            let blank = byte.is_ascii_whitespace() || byte == 0x0b;
            if blank && !quoted {
                if byte != b'\n' {
                    self.go(next);
                }
                break;
            }
            self.go(next);
            if byte == b'"' {
                quoted = !quoted;
                continue;
            }
            word.push(byte);
            if let Some((start, code)) = escape_at_end(&word) {
                word.truncate(start);
                word.push(code);
            }
        }
        String::from_utf8_lossy(&word).into_owned()
    }
}

/// Where an octal escape at the end of a word begins, and what it stands for.
fn escape_at_end(word: &[u8]) -> Option<(usize, u8)> {
    let start = word.len().checked_sub(4)?;
    let digits = word[start..].strip_prefix(b"\\")?;
    if !digits.iter().all(|b| (b'0'..=b'7').contains(b)) {
        return None;
    }
    Some((start, u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?))
}

/// Whether exports(5) has a way to write this path: a backslash in front of three octal digits always stands for
/// something else.
pub fn can_be_written(path: &str) -> bool {
    let entry = Entry { path: path.to_owned(), client: "*".into(), options: Vec::new() };
    parse(line(&entry).as_bytes()).first().is_some_and(|(_, read)| read.path == trim_path(path))
}

/// Reads the live table, `/var/lib/nfs/etab`: `PATH<TAB>CLIENT(OPTIONS)` a line. `None` if a line is not so.
pub fn parse_live(text: &str) -> Option<Vec<Entry>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let (path, rest) = line.split_once('\t')?;
            let (client, options) = rest.split_once('(')?;
            Some(Entry {
                path: trim_path(&unescape(path)),
                // Without a client it is for everyone.
                client: match client {
                    "" => "*".to_owned(),
                    client => canonical_client(client).unwrap_or_else(|_| client.to_owned()),
                },
                options: split_options(options.strip_suffix(')')?),
            })
        })
        .collect()
}

/// A path as exports(5) and the live table write it.
pub fn escape(path: &str) -> String {
    let special = |c: char| c.is_ascii_control() || matches!(c, ' ' | '"' | '\\' | '#');
    path.chars().map(|c| if special(c) { format!("\\{:03o}", u32::from(c)) } else { c.to_string() }).collect()
}

/// The line that exports(5) wants for an entry.
pub fn line(entry: &Entry) -> String {
    format!("{} {}({})\n", escape(&entry.path), entry.client, entry.options.join(","))
}

/// A path as exportfs keeps it, without looking at the host: one slash between names, none at the end.
pub fn trim_path(path: &str) -> String {
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    format!("{}{}", if path.starts_with('/') { "/" } else { "" }, names.join("/"))
}

fn split_options(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|o| !o.is_empty()).map(str::to_owned).collect()
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
    /// Host names of the step and of the live table, and what the resolver says of them.
    pub names: Vec<Name>,
    /// Where the path of the step leads, if a part of it is a symbolic link.
    pub real: Option<String>,
    /// The files that exportfs reads, with their text.
    pub files: Vec<(String, String)>,
    /// The live table.
    pub live: Vec<Entry>,
}

/// What the resolver says of a host name.
#[derive(Debug)]
pub struct Name {
    spec: String,
    /// Its canonical name.
    canonical: Option<String>,
    addresses: Vec<IpAddr>,
}

impl Tables {
    /// Whether two client specs are the same to exportfs: it lists a host by its canonical name, and one whose address
    /// another entry has by the name (or address) of that one.
    pub fn is_same(&self, a: &str, b: &str) -> bool {
        if a == b {
            return true;
        }
        if !is_host(a) || !is_host(b) {
            return false;
        }
        let of = |spec: &str| -> (Option<&str>, Vec<IpAddr>) {
            let own = spec.parse().ok();
            let name = self.names.iter().find(|n| n.spec == spec);
            let addresses = name.map(|n| n.addresses.as_slice()).unwrap_or_default();
            (name.and_then(|n| n.canonical.as_deref()), addresses.iter().copied().chain(own).collect())
        };
        let ((name_a, all_a), (name_b, all_b)) = (of(a), of(b));
        name_a == Some(b)
            || name_b == Some(a)
            || name_a.is_some() && name_a == name_b
            || all_a.iter().any(|address| all_b.contains(address))
    }

    /// Whether the server's resolver knows a host name.
    pub fn resolves(&self, name: &str) -> bool {
        self.names.iter().any(|n| n.spec == name && (n.canonical.is_some() || !n.addresses.is_empty()))
    }

    /// Whether a live entry for `path` is one for the step's directory `own`.
    pub fn is_path(&self, own: &str, path: &str) -> bool {
        path == own || self.real.as_deref() == Some(path)
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
    let mut tables = Tables { tool, names: Vec::new(), real: None, files: Vec::new(), live: Vec::new() };
    for line in lines {
        if let Some(name) = line.strip_prefix("FILE ") {
            tables.files.push((name.to_owned(), String::new()));
        } else if let (Some(line), Some((_, text))) = (line.strip_prefix('|'), tables.files.last_mut()) {
            text.push_str(line);
            text.push('\n');
        } else if let Some(name) = line.strip_prefix("NAME ") {
            let name = name.trim().to_ascii_lowercase();
            tables.names.push(Name { spec: name, canonical: None, addresses: Vec::new() });
        } else if let (Some(said), Some(name)) = (line.strip_prefix("ADDR "), tables.names.last_mut()) {
            let (address, canonical) = said.split_once(' ').unwrap_or((said, ""));
            name.addresses.extend(address.parse::<IpAddr>());
            if let (None, false) = (&name.canonical, canonical.trim().is_empty()) {
                name.canonical = Some(canonical.trim().to_ascii_lowercase());
            }
        } else if let Some(path) = line.strip_prefix("REAL ") {
            tables.real = Some(path.to_owned());
        } else {
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
        parse(text.as_bytes()).iter().map(|(n, e)| format!("{n} {}", line(e).trim_end())).collect()
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
        assert_eq!(shown("//ro read only"), ["1 /ro read()", "1 /ro only()"]);
    }

    /// Each of these was given to exportfs 2.6.2, which listed the same.
    #[test]
    fn reads_odd_lines_as_exportfs_does() {
        for (text, entries) in [
            (
                "#/srv/old *(rw) \\\n/srv/a h(rw)\n/srv/plus#hash i(rw)\n",
                &["2 /srv/a h(rw)", r"3 /srv/plus\043hash i(rw)"][..],
            ),
            ("/srv/a h(rw) #x i(rw) \\\n/srv/d h(rw)\n", &["1 /srv/a h(rw)", "2 /srv/d h(rw)"]),
            ("\"/srv/b c\" h(rw)\n\"/srv/\"d h(rw)\n", &[r"1 /srv/b\040c h(rw)", "2 /srv/d h(rw)"]),
            ("\"#/srv/d\" h(rw)\n", &[r"1 \043/srv/d h(rw)"]),
            (r"/srv/b\040c h(rw)", &[r"1 /srv/b\040c h(rw)"]),
            (r"/srv/\141 h(rw)", &["1 /srv/a h(rw)"]),
            (r"/srv/\541 h(rw)", &[r"1 /srv/\134541 h(rw)"]),
            (r"/srv/\134141 h(rw)", &["1 /srv/a h(rw)"]),
            (
                "/srv/a \\\n  h(rw) \\\n i(ro)\n/srv/b j\n",
                &["1 /srv/a h(rw)", "1 /srv/a i(ro)", "4 /srv/b j()"],
            ),
            ("/srv/\\\na h(rw)\n", &["1 /srv a()", "1 /srv h(rw)"]),
            ("/srv/a -ro,sync h i(rw)\n", &["1 /srv/a h(ro,sync)", "1 /srv/a i(ro,sync,rw)"]),
            ("/srv/a -ro,sync h -rw,async i\n", &["1 /srv/a h(ro,sync)", "1 /srv/a i(ro,sync,rw,async)"]),
            ("/srv/a -ro -sync h\n", &["1 /srv/a -sync(ro)", "1 /srv/a h(ro)"]),
            ("/srv/a\n/srv/d -rw\n", &["1 /srv/a *()", "2 /srv/d *(rw)"]),
            ("/srv/a h (rw)\n", &["1 /srv/a h()", "1 /srv/a *(rw)"]),
            ("/srv/a \"h(rw, sync)\"\n", &["1 /srv/a h(rw,sync)"]),
            ("/srv/a h(rw)\r\n/srv/d i(rw)\r\n", &["1 /srv/a h(rw)", "2 /srv/d i(rw)"]),
            ("/srv/a\x0ch(rw) i(rw)\n", &["1 /srv/a h(rw)", "1 /srv/a i(rw)"]),
            ("//srv//d/ h(rw)\n/srv/./e h(rw)", &["1 /srv/d h(rw)", "2 /srv/e h(rw)"]),
            ("\"/srv/b\\\n  c\" h(rw)\n", &[r"1 /srv/b\040c h(rw)"]),
            ("/srv/b\" \"c h\"(rw)\"\n", &[r"1 /srv/b\040c h(rw)"]),
        ] {
            assert_eq!(shown(text), entries, "{text:?}");
        }
        assert_eq!(parse(b"# \xff\n/srv/k\xffy h(rw)\n")[0].1.path, "/srv/k\u{fffd}y");
        assert!(can_be_written("/srv/a#b \\x") && !can_be_written(r"/srv/a\141b"));
    }

    #[test]
    fn hosts_are_the_same_by_their_addresses() {
        let name = |name: &str, canonical: &str, addresses: &[&str]| Name {
            spec: name.into(),
            canonical: Some(canonical.into()),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        };
        let tables = Tables {
            tool: true,
            names: vec![
                name("two", "two", &["192.0.2.21", "192.0.2.22"]),
                name("alias", "web.example", &["192.0.2.23"]),
                name("other", "other", &["192.0.2.9"]),
            ],
            real: None,
            files: Vec::new(),
            live: Vec::new(),
        };
        for (a, b, same) in [
            ("two", "192.0.2.22", true),
            ("192.0.2.21", "two", true),
            ("alias", "web.example", true),
            ("two", "other", false),
            ("two", "192.0.2.0/24", false),
            ("unknown", "unknown", true),
            ("unknown", "two", false),
            ("*", "two", false),
        ] {
            assert_eq!(tables.is_same(a, b), same, "{a} {b}");
        }
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
    fn arithmetic_tells_what_covers_what() {
        assert!(covers("192.168.158.0/24", "192.168.158.128/25"));
        assert!(!covers("192.168.158.128/25", "192.168.158.0/24"));
        assert!(!covers("10.0.0.0/8", "2001:db8::1"));
    }

    proptest::proptest! {
        #[test]
        fn a_written_line_is_read_back(path in "/[a-z01 \"#\\\\\t\u{e4}]{0,12}[a-z]") {
            proptest::prop_assume!(can_be_written(&path));
            let entry = Entry {
                path, client: "10.0.0.0/8".into(), options: vec!["rw".into(), "sync".into()],
            };
            let read = parse(line(&entry).as_bytes());
            proptest::prop_assert_eq!(read, vec![(1, entry)]);
        }
    }
}
