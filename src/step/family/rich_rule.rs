//! Rules of firewalld's rich language (firewalld.richlanguage(5)) in the form in which firewalld keeps them.
//!
//! firewalld takes a rule apart and puts it together again: its own order, its own quotes, `NOT`, `5/m` for `5/minute`.
//! What is not understood here is left to firewalld, which is asked about every rule that is not found word by word.

use std::fmt::Write as _;

/// Returns `rule` as firewalld lists it; `None` where that is not sure.
pub fn canonical(rule: &str) -> Option<String> {
    let words = split(rule)?;
    let mut words = words.iter().map(String::as_str).peekable();
    if words.next() != Some("rule") {
        return None;
    }
    let mut rule = Rule::default();
    while let Some(pair) = words.next_if(|w| w.contains('=')) {
        match attribute(pair)? {
            ("priority", value) => rule.priority = Some(value.parse().ok()?),
            ("family", value) => rule.family = Some(value.to_owned()),
            _ => return None,
        }
    }
    // A limit belongs to what stands before it, or else to the next that can have one.
    let mut limit = None;
    while let Some(name) = words.next() {
        let mut element = Element { name, ..Element::default() };
        loop {
            match words.peek() {
                Some(&("not" | "NOT")) if matches!(name, "source" | "destination") => element.not = true,
                Some(&"limit") if LIMITED.contains(&name) => {
                    words.next();
                    limit = Some(read_limit(words.peek()?)?);
                }
                Some(pair) if pair.contains('=') => element.attributes.push(attribute(pair)?),
                _ => break,
            }
            words.next();
        }
        if name == "limit" {
            let [("value", _)] = element.attributes[..] else { return None };
            if !words.peek().is_some_and(|next| LIMITED.contains(next)) {
                return None;
            }
            limit = Some(limit_of(element.attributes[0].1));
            continue;
        }
        let limit = if LIMITED.contains(&name) { limit.take() } else { None };
        let (place, text) = element.write(limit)?;
        if !rule.parts[place].is_empty() {
            return None;
        }
        rule.parts[place] = text;
    }
    Some(rule.write())
}

const LIMITED: [&str; 7] = ["log", "nflog", "audit", "accept", "drop", "reject", "mark"];

#[derive(Default)]
struct Rule {
    priority: Option<i32>,
    family: Option<String>,
    /// Source, destination, what it is about, log, audit, action.
    parts: [String; 6],
}

#[derive(Default)]
struct Element<'a> {
    name: &'a str,
    not: bool,
    attributes: Vec<(&'a str, &'a str)>,
}

impl Rule {
    fn write(&self) -> String {
        let mut text = "rule".to_owned();
        if let Some(priority) = self.priority.filter(|p| *p != 0) {
            let _ = write!(text, " priority=\"{priority}\"");
        }
        if let Some(family) = &self.family {
            let _ = write!(text, " family=\"{family}\"");
        }
        for part in self.parts.iter().filter(|p| !p.is_empty()) {
            text += " ";
            text += part;
        }
        text
    }
}

impl Element<'_> {
    /// Its place in the rule, and its text.
    fn write(&self, limit: Option<String>) -> Option<(usize, String)> {
        let (place, known): (usize, &[&str]) = match self.name {
            "source" => (0, &["address", "mac", "ipset"]),
            "destination" => (1, &["address", "ipset"]),
            "service" | "icmp-block" | "icmp-type" => (2, &["name"]),
            "port" | "source-port" => (2, &["port", "protocol"]),
            "protocol" | "tcp-mss-clamp" => (2, &["value"]),
            "forward-port" => (2, &["port", "protocol", "to-port", "to-addr"]),
            "masquerade" => (2, &[]),
            "log" => (3, &["prefix", "level"]),
            "nflog" => (3, &["group", "prefix", "queue-size"]),
            "audit" => (4, &[]),
            "accept" | "drop" => (5, &[]),
            "reject" => (5, &["type"]),
            "mark" => (5, &["set"]),
            _ => return None,
        };
        let mut text = self.name.to_owned();
        let mut not = self.not;
        let mut attributes = self.attributes.clone();
        if place < 2 {
            attributes.retain(|(name, _)| *name != "invert" || !std::mem::replace(&mut not, true));
            attributes.retain(|(name, _)| *name != "invert");
        }
        if not {
            text += " NOT";
        }
        let twice = |n: &str| attributes.iter().filter(|(name, _)| *name == n).count() > 1;
        if attributes.iter().any(|(name, _)| !known.contains(name) || twice(name)) {
            return None;
        }
        for name in known {
            let Some((_, value)) = attributes.iter().find(|(n, _)| n == name) else { continue };
            let _ = match *name {
                "set" => write!(text, " set={value}"),
                "mac" => write!(text, " mac=\"{}\"", value.to_uppercase()),
                name => write!(text, " {name}=\"{value}\""),
            };
        }
        if let Some(limit) = limit {
            text += &limit;
        }
        Some((place, text))
    }
}

fn attribute(pair: &str) -> Option<(&str, &str)> {
    pair.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty() && !value.contains('='))
}

fn read_limit(pair: &str) -> Option<String> {
    attribute(pair).filter(|(name, _)| *name == "value").map(|(_, value)| limit_of(value))
}

fn limit_of(value: &str) -> String {
    let short = value.split_once('/').and_then(|(rate, unit)| {
        ["second", "minute", "hour", "day"].contains(&unit).then(|| format!("{rate}/{}", &unit[..1]))
    });
    format!(" limit value=\"{}\"", short.as_deref().unwrap_or(value))
}

/// Words as a POSIX shell splits them; `None` if a quote is left open.
fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == c => quote = None,
            (None, '\\') => word.get_or_insert_default().push(chars.next()?),
            (Some('"'), '\\') => match chars.next()? {
                escaped @ ('"' | '\\') => word.get_or_insert_default().push(escaped),
                other => word.get_or_insert_default().extend(['\\', other]),
            },
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_firewalld_does() {
        for (rule, wanted) in [
            (
                r#"rule family="ipv4" source not address="192.0.2.0/24" port port="9999" protocol="tcp" drop"#,
                r#"rule family="ipv4" source NOT address="192.0.2.0/24" port port="9999" protocol="tcp" drop"#,
            ),
            (
                "rule family=ipv4 source address=192.0.2.9 port port=22 protocol=tcp limit value=2/m accept",
                r#"rule family="ipv4" source address="192.0.2.9" port port="22" protocol="tcp" accept limit value="2/m""#,
            ),
            (
                r#"rule family=ipv4 source address=192.0.2.16 service name=http accept limit value="5/minute""#,
                r#"rule family="ipv4" source address="192.0.2.16" service name="http" accept limit value="5/m""#,
            ),
            (
                "rule priority=-5 accept  log prefix='a b' level=info limit value=1/hour service name=ssh \
                 source invert=True mac=aa:bb:cc:dd:ee:ff",
                r#"rule priority="-5" source NOT mac="AA:BB:CC:DD:EE:FF" service name="ssh" log prefix="a b" level="info" limit value="1/h" accept"#,
            ),
            ("rule priority=0 protocol value=esp accept", r#"rule protocol value="esp" accept"#),
            (
                "rule family=ipv6 forward-port to-addr=2001:db8::1 to-port=80 protocol=tcp port=8080",
                r#"rule family="ipv6" forward-port port="8080" protocol="tcp" to-port="80" to-addr="2001:db8::1""#,
            ),
            (
                "rule service name=http audit limit value=1/m mark set=0x10/0xff",
                r#"rule service name="http" audit limit value="1/m" mark set=0x10/0xff"#,
            ),
        ] {
            assert_eq!(canonical(rule).as_deref(), Some(wanted), "{rule}");
            assert_eq!(canonical(wanted).as_deref(), Some(wanted), "{rule}");
        }
    }

    #[test]
    fn what_is_not_understood_is_left_to_firewalld() {
        for rule in [
            "",
            "rule 'family=ipv4",
            "rule source address=1.2.3.4 family=ipv4 accept",
            "rule frobnicate accept",
            "rule accept drop",
            "rule limit value=1/m source address=1.2.3.4 accept",
            "rule log prefix=a=b accept",
            "rule port port=1 port=2 protocol=tcp accept",
        ] {
            assert_eq!(canonical(rule), None, "{rule}");
        }
    }
}
