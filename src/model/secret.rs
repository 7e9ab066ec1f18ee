//! Values that must not be seen, and the redaction of text that may hold one.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use zeroize::Zeroizing;

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

/// Replaces every known secret, and its base64, URL-quoted and JSON-escaped forms, by [`MASK`].
///
/// Clones share what they know: a secret that is read late is masked by all of them.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first, so that a secret inside a longer one does not leave half of that one.
    needles: Arc<RwLock<Vec<Secret>>>,
}

/// A shorter secret would turn ordinary text into masks, and hides nothing that is worth hiding.
const SHORTEST: usize = 4;

impl Redactor {
    /// Learns a secret. Values of fewer than 4 bytes are not redacted.
    pub fn add(&self, secret: &Secret) {
        let value = secret.expose().trim();
        if value.len() < SHORTEST {
            return;
        }
        let mut forms = vec![value.to_owned(), url_quoted(value), json_escaped(value)];
        forms.extend(base64_forms(value));
        let mut needles = self.needles.write().unwrap_or_else(PoisonError::into_inner);
        for form in forms {
            if !needles.iter().any(|n| n.expose() == form) {
                needles.push(Secret::new(form));
            }
        }
        needles.sort_by_key(|n| std::cmp::Reverse(n.expose().len()));
    }

    /// Whether no secret is known, so that nothing has to be looked through.
    pub fn is_empty(&self) -> bool {
        self.needles.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Returns `text` with all secrets masked.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for needle in self.needles.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if text.contains(needle.expose()) {
                text = text.replace(needle.expose(), MASK);
            }
        }
        text
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
        write!(f, "Redactor({} forms)", self.needles.read().unwrap_or_else(PoisonError::into_inner).len())
    }
}

fn url_quoted(value: &str) -> String {
    use fmt::Write as _;
    let mut out = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
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
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    (0..3usize)
        .filter_map(|shift| {
            let padded = [vec![0u8; shift], value.as_bytes().to_vec()].concat();
            let whole = engine.encode(&padded);
            let start = (shift * 8).div_ceil(6);
            let end = padded.len() * 8 / 6;
            whole.get(start..end).filter(|s| s.len() >= 2 * SHORTEST).map(str::to_owned)
        })
        .collect()
}

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
    fn leaves_short_values_alone_and_never_shows_itself() {
        assert_eq!(redactor("on").redact("on and on"), "on and on");
        let secret = Secret::new("very secret".into());
        assert_eq!(
            format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap()),
            "******** ******** \"********\""
        );
    }
}
