//! Values that must not be seen, and the redaction of text that may hold one.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::AhoCorasick;
use zeroize::Zeroizing;

use super::digest::hex;
use crate::harmless;

/// What is shown in place of a secret.
pub const MASK: &str = "********";

/// A value that never shows itself: debug, display and serialised forms are [`MASK`].
///
/// Only [`crate::shell::Script::render`] and a payload put it on its way to a host, on standard input.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes `value` into custody.
    pub fn new(value: String) -> Self {
        Self(Arc::new(Zeroizing::new(value)))
    }

    /// The value itself. Never give it to anything that prints, logs or becomes an argument.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}
impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Replaces every known secret by [`MASK`], line by line and in the forms in which programs print it: quoted for a
/// shell, escaped for JSON, HTML and URLs, in base64 and hexadecimal.
///
/// Clones share what they know: a secret that is read late is masked by all of them.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Arc<RwLock<Known>>,
}

#[derive(Default)]
struct Known {
    /// Every form of every secret.
    needles: BTreeSet<String>,
    /// Finds them all in one pass. Made when it is needed: secrets come in
    /// one after the other.
    finder: Option<AhoCorasick>,
    /// How often it was wanted since the last secret came in.
    asked: AtomicUsize,
}

/// Making a finder pays off when so many texts are looked through.
const WORTHWHILE: usize = 256;

impl Known {
    /// Where secrets stand in `text`.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        match &self.finder {
            Some(finder) => finder.find_overlapping_iter(text).map(|found| found.range()).collect(),
            None => (self.needles.iter())
                .flat_map(|needle| text.match_indices(&**needle))
                .map(|(at, needle)| at..at + needle.len())
                .collect(),
        }
    }
}

/// A shorter secret, in bytes, would turn ordinary text into masks, and hides nothing that is worth hiding.
const SHORTEST: usize = 3;

/// The same for a line of a secret of several, which may be as common as `end`, and for its forms.
const SHORTEST_PART: usize = 4;

impl Redactor {
    /// Learns a secret. Values of fewer than 3 bytes, and lines of it of fewer than 4, are not redacted.
    pub fn add(&self, secret: &Secret) {
        self.learn(secret, forms);
    }

    /// Learns what a filter made of a secret: only as it is, and quoted.
    pub fn add_derived(&self, value: &Secret) {
        self.learn(value, |value| vec![value.to_owned(), value.replace('\'', r"'\''"), json_escaped(value)]);
    }

    fn learn(&self, secret: &Secret, forms: fn(&str) -> Vec<String>) {
        let whole = secret.expose().trim();
        let echoed = echoed(whole);
        let lines = [whole, &echoed].into_iter().flat_map(|text| text.split(['\n', '\r'])).map(str::trim);
        let lines = lines.filter(|line| line.len() >= SHORTEST_PART);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for value in std::iter::once(whole).chain(lines).filter(|v| v.len() >= SHORTEST) {
            if !known.needles.contains(value) {
                known.needles.extend(forms(value));
                known.finder = None;
                known.asked = AtomicUsize::new(0);
            }
        }
    }

    /// Whether no secret is known, so that nothing has to be looked through.
    pub fn is_empty(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).needles.is_empty()
    }

    /// Returns `text` with all secrets masked.
    pub fn redact(&self, text: &str) -> String {
        let mut known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.needles.is_empty() {
            return text.to_owned();
        }
        if known.finder.is_none() && known.asked.fetch_add(1, Ordering::Relaxed) >= WORTHWHILE {
            drop(known);
            let mut writable = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let Known { needles, finder, .. } = &mut *writable;
            // Without one, they are looked for one by one as before.
            *finder = AhoCorasick::new(&*needles).ok();
            drop(writable);
            known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        }
        let places = known.places(text);
        // A secret with an escape sequence in the middle is one again on the screen.
        if let Cow::Owned(shown) = harmless::text(text) {
            let hidden = known.places(&shown);
            if hidden.len() > places.len() {
                return masked(&shown, hidden);
            }
        }
        masked(text, places)
    }

    /// Whether a secret stands in `text`.
    pub fn finds_one_in(&self, text: &str) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.needles.iter().any(|needle| text.contains(&**needle))
    }

    /// Masks all secrets in every string of `value`, keys included.
    pub fn redact_json(&self, value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => *text = self.redact(text),
            serde_json::Value::Array(items) => items.iter_mut().for_each(|v| self.redact_json(v)),
            serde_json::Value::Object(map) => {
                *map = std::mem::take(map)
                    .into_iter()
                    .map(|(key, mut v)| {
                        self.redact_json(&mut v);
                        (self.redact(&key), v)
                    })
                    .collect();
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "Redactor({} forms)", known.needles.len())
    }
}

/// The text with a mask over these places; where they overlap, one over all.
fn masked(text: &str, mut places: Vec<Range<usize>>) -> String {
    places.sort_by_key(|place| (place.start, std::cmp::Reverse(place.end)));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for place in places {
        if place.start >= done {
            out.push_str(&text[done..place.start]);
            out.push_str(MASK);
        }
        done = done.max(place.end);
    }
    out.push_str(&text[done..]);
    out
}

/// What `echo` of dash, or `printf %b`, prints of it.
fn echoed(value: &str) -> String {
    let escapes = [("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t"), ("\\\\", "\\")];
    escapes.iter().fold(value.to_owned(), |text, (escape, meaning)| text.replace(escape, meaning))
}

/// The forms in which a value may stand in what programs print.
fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![
        value.to_owned(),
        // In single quotes, in double quotes, and bare, as a shell is given it.
        value.replace('\'', r"'\''"),
        value.replace('\'', "'\"'\"'"),
        escaped(value, |c| matches!(c, '"' | '$' | '`' | '\\')),
        escaped(value, |c| c.is_ascii_punctuation() && !"_-./:=@%+,".contains(c) || c == ' ' || c == '\t'),
        json_escaped(value),
        json_escaped(value).replace('/', r"\/"),
        url_quoted(value, false),
        url_quoted(value, true),
        url_quoted(value, false).replace("%20", "+"),
        html_escaped(value),
        hex(value.as_bytes()),
        hex(value.as_bytes()).to_uppercase(),
    ];
    forms.extend(base64_forms(value));
    forms
}

/// A backslash before each character that `which` names.
fn escaped(value: &str, which: impl Fn(char) -> bool) -> String {
    value.chars().fold(String::new(), |mut out, c| {
        if which(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

fn html_escaped(value: &str) -> String {
    let plain = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    plain.replace('"', "&quot;").replace('\'', "&#39;")
}

fn url_quoted(value: &str, lower: bool) -> String {
    use fmt::Write as _;
    let mut out = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else if lower {
            write!(out, "%{byte:02x}").expect("writing to a string cannot fail");
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    out
}

fn json_escaped(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The value within a longer base64 text starts at one of three positions, and its first and last
/// characters then depend on its neighbours: what is certain is the middle.
fn base64_forms(value: &str) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let mut forms = Vec::new();
    for shift in 0..3usize {
        let padded = [vec![0u8; shift], value.as_bytes().to_vec()].concat();
        let start = (shift * 8).div_ceil(6);
        let end = padded.len() * 8 / 6;
        for whole in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            forms.extend(whole.get(start..end).map(str::to_owned));
            if value.len() > WRAPPED {
                let starts = (start.next_multiple_of(4)..=end.saturating_sub(PIECE)).step_by(4);
                forms.extend(starts.map(|at| whole[at..at + PIECE].to_owned()));
            }
        }
    }
    forms.retain(|form| form.len() > SHORTEST_PART);
    forms
}

/// The base64 of a longer value is broken into lines by most programs, at 64 or 76 columns.
const WRAPPED: usize = 44;

/// So it is masked piece by piece, in columns.
const PIECE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(secret: &str) -> Redactor {
        let r = Redactor::default();
        r.add(&Secret::new(secret.into()));
        r
    }

    #[test]
    fn masks_the_value_and_its_encoded_forms() {
        let r = redactor("p@ss\"word 1");
        for text in ["p@ss\"word 1", "p%40ss%22word%201", r#"p@ss\"word 1"#, "cEBzcyJ3b3JkID"] {
            let redacted = r.redact(&format!("before {text} after"));
            assert_eq!(redacted, format!("before {MASK} after"), "{text}");
        }
    }

    #[test]
    fn masks_what_a_shell_a_page_and_a_dump_make_of_it() {
        let secret = "it's $5 \"<a&b>\" \\ é";
        let r = redactor(secret);
        for (form, text) in [
            ("single quotes", r#"'it'\''s $5 "<a&b>" \ é'"#),
            ("mixed quotes", r#"'it'"'"'s $5 "<a&b>" \ é'"#),
            ("double quotes", r#""it's \$5 \"<a&b>\" \\ é""#),
            ("bare", r#"it\'s\ \$5\ \"\<a\&b\>\"\ \\\ é"#),
            ("lower URL", "it%27s%20%245%20%22%3ca%26b%3e%22%20%5c%20%c3%a9"),
            ("form", "it%27s+%245+%22%3Ca%26b%3E%22+%5C+%C3%A9"),
            ("page", "it&#39;s $5 &quot;&lt;a&amp;b&gt;&quot; \\ é"),
            ("dump", "6974277320243520223c6126623e22205c20c3a9"),
        ] {
            let redacted = r.redact(text);
            assert!(
                !redacted.contains("a&") && !redacted.contains("24352") && redacted.contains(MASK),
                "{form}: {redacted}"
            );
            assert!(redacted.len() <= MASK.len() + 2, "{form}: {redacted}");
        }
    }

    #[test]
    fn masks_a_long_text_line_by_line_and_the_longer_of_two() {
        let r = redactor("first line\nsecond\tline\r\nabc\n");
        assert_eq!(r.redact("a second\tline z\nfirst line\nabc"), format!("a {MASK} z\n{MASK}\nabc"));
        r.add(&Secret::new("first".into()));
        assert_eq!(r.redact("first line, first"), format!("{MASK}, {MASK}"));
    }

    #[test]
    fn masks_base64_at_every_alignment() {
        use base64::Engine as _;
        let r = redactor("hunter2hunter2");
        for prefix in ["", "x", "xy"] {
            let text =
                base64::engine::general_purpose::STANDARD.encode(format!("{prefix}hunter2hunter2 tail"));
            assert!(r.redact(&text).contains(MASK), "{text}");
        }
    }

    #[test]
    fn masks_base64_that_is_broken_into_lines() {
        use base64::Engine as _;
        let secret: String =
            (0..200u16).map(|n| char::from(b'!' + u8::try_from(n * 7 % 90).unwrap())).collect();
        let r = redactor(&secret);
        for prefix in ["", "x", "xy"] {
            let text = base64::engine::general_purpose::STANDARD.encode(format!("{prefix}{secret}"));
            let lines: Vec<&str> =
                (0..text.len()).step_by(76).map(|at| &text[at..text.len().min(at + 76)]).collect();
            for line in r.redact(&lines.join("\n")).lines() {
                let left = line.replace('*', "");
                assert!(left.len() <= PIECE, "{prefix}: {line}");
            }
        }
    }

    #[test]
    fn masks_what_an_escape_sequence_splits() {
        let r = redactor("hunter2");
        assert_eq!(r.redact("x hun\u{1b}[31mter2 y"), format!("x {MASK} y"));
        assert_eq!(r.redact("x \u{1b}[31mred\u{1b}[0m y"), "x \u{1b}[31mred\u{1b}[0m y");
    }

    #[test]
    fn leaves_short_values_alone_and_never_shows_itself() {
        assert_eq!(redactor("on").redact("on and on"), "on and on");
        let secret = Secret::new("very secret".into());
        assert_eq!(
            format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap()),
            "******** ******** \"********\""
        );
    }
}
