//! Public keys of ssh as they stand in files: one line with a type, the key in base64, and a comment (sshd(8)).

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// The types of keys that OpenSSH has had; `ssh-dss` went with 10.0. Certificates stand in no list of keys.
const TYPES: [&str; 8] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-dss",
];

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::step) struct PublicKey {
    /// Its type, such as `ssh-ed25519`.
    pub algorithm: String,
    /// The key itself, in base64.
    pub blob: String,
    /// What stands behind it; may be empty.
    pub comment: String,
}

impl PublicKey {
    /// Reads a line with a type, a key and a comment.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that begins with "it". Nothing of the text is told: it may be a
    /// private key.
    pub(in crate::step) fn read(line: &str) -> Result<Self, &'static str> {
        let line = line.trim();
        if line.contains("PRIVATE KEY") {
            return Err("is a private key: give the public one, whose file ends in .pub");
        }
        if line.contains(['\n', '\r', '\0']) {
            return Err("has a line break in it: a key is one line");
        }
        let mut words = line.splitn(3, [' ', '\t']);
        let (algorithm, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let comment = words.next().unwrap_or_default().trim();
        if algorithm.contains("-cert-v01@") {
            return Err("is a certificate: give the key of who signed it, with the option `cert-authority`");
        }
        if !TYPES.contains(&algorithm) {
            return Err("does not begin with a type such as ssh-ed25519");
        }
        let Ok(bytes) = BASE64_STANDARD.decode(blob) else {
            return Err("is no base64 behind its type: was a part of it lost?");
        };
        let parts = parts(&bytes).ok_or("is cut off: its parts are longer than it is")?;
        // Each has its type in front, and then at least one number (RFC 4253, 6.6).
        match parts.as_slice() {
            [inner, _, ..] if *inner == algorithm.as_bytes() => {}
            _ => return Err("is of another type than the one in front of it"),
        }
        Ok(Self { algorithm: algorithm.to_owned(), blob: blob.to_owned(), comment: comment.to_owned() })
    }

    /// Whether it is the same key, whatever is said of it.
    pub(in crate::step) fn is(&self, other: &Self) -> bool {
        (&self.algorithm, &self.blob) == (&other.algorithm, &other.blob)
    }

    /// As `ssh-keygen -l` and `ssh` show it.
    pub(in crate::step) fn fingerprint(&self) -> String {
        let key = BASE64_STANDARD.decode(&self.blob).unwrap_or_default();
        format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(Sha256::digest(key)))
    }

    /// As people tell keys apart: type and comment, or the end of the key where it has none.
    pub(in crate::step) fn name(&self) -> String {
        if self.comment.is_empty() {
            let end = self.blob.trim_end_matches('=');
            let end = &end[end.len().saturating_sub(8)..];
            return format!("{} ...{end}", self.algorithm);
        }
        format!("{} {}", self.algorithm, self.comment)
    }
}

/// The line of it.
impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.algorithm, self.blob)?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " {}", self.comment) }
    }
}

/// The parts of a key: each has its length in front, four bytes (RFC 4251, 5). `None` if the last one is cut off.
fn parts(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        parts.push(rest.get(..length)?);
        bytes = &rest[length..];
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

    #[test]
    fn what_is_no_key_is_told_without_a_word_of_it() {
        let key = PublicKey::read(&format!("{KEY}  anna at home ")).unwrap();
        assert_eq!(key.to_string(), format!("{KEY} anna at home"));
        assert_eq!(
            (key.name(), PublicKey::read(KEY).unwrap().name()),
            ("ssh-ed25519 anna at home".into(), "ssh-ed25519 ...HtZ6isGN".into())
        );
        assert_eq!(key.fingerprint(), "SHA256:PYX4o9UfGwCwG76hFcLAEkmMS0PtIBtV9MNmVgW16Oc");
        for (text, why) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", "private"),
            ("ssh-ed25519 AAAA\nssh-rsa AAAA", "line break"),
            ("no-pty ssh-ed25519 AAAA", "does not begin"),
            ("ssh-ed25519", "another type"),
            ("ssh-ed25519 AAAA?", "no base64"),
            (&KEY[..KEY.len() - 4], "cut off"),
            (&KEY.replace("ssh-ed25519 ", "ssh-rsa "), "another type"),
            ("ssh-ed25519-cert-v01@openssh.com AAAA", "certificate"),
        ] {
            let said = PublicKey::read(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
