//! Files encrypted with age: for whom, and what opens them. Where files are and who is asked for a passphrase is the
//! caller's. Pure.
//!
//! Recipients and identities are age's own (X25519) or keys of ssh (ed25519 and rsa), also such as a passphrase locks.

use std::fmt;
use std::io::{Read as _, Write as _};

use age::DecryptError;
use age::secrecy::SecretString;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::model::Secret;

/// Tells the passphrase of a key, or why it cannot; `None` if nobody is to be asked now.
pub(crate) type Ask<'a> = &'a dyn Fn(&str) -> Option<Result<Secret, String>>;

/// Identities that are tried where none is named, from the home directory.
pub(crate) const USUAL: [&str; 2] = [".ssh/id_ed25519", ".ssh/id_rsa"];

/// Bytes that the content of a file may have.
pub(crate) const LARGEST: u64 = 1 << 20;

/// Why a file does not open. Reads well after "cannot decrypt FILE: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Closed {
    #[error("it is no file of age")]
    NotAge,
    #[error("it is in a form of age that is not known here")]
    Newer,
    #[error("it is damaged")]
    Damaged,
    #[error("it is encrypted with a passphrase, not for keys")]
    ByPassphrase,
    /// No identity fits: which were tried, and for whom it is.
    #[error("no identity opens it; tried {}; it is for {}", listed(.tried), listed(.recipients))]
    NoKey { tried: Vec<String>, recipients: Vec<String> },
    #[error("{key} is locked by a passphrase, and {why}")]
    CannotAsk { key: String, why: String },
    #[error("{0} is locked by a passphrase")]
    Locked(String),
    #[error("the passphrase does not unlock {0}")]
    WrongPassphrase(String),
}

impl Closed {
    /// What to do.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NotAge => "`hostwright secret new FILE` makes one, and so does `age -r RECIPIENT -o FILE`",
            Self::Newer | Self::Damaged => "take it from a backup, or make it anew",
            Self::ByPassphrase => {
                "open it with `age -d`, and make it anew for keys: `age -d OLD | hostwright secret new FILE`"
            }
            Self::NoKey { .. } => {
                "name another identity, or let somebody who can open it add you: `hostwright secret rekey`"
            }
            Self::CannotAsk { .. } | Self::Locked(_) => {
                "run it on a terminal, or name an identity without a passphrase"
            }
            Self::WrongPassphrase(_) => "try again",
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Why a text is no key. Reads well after "FILE: "; never holds the text, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadKey {
    #[error("it is no identity: neither a private key of ssh nor lines with AGE-SECRET-KEY")]
    NoIdentity,
    #[error("line {0} is no AGE-SECRET-KEY")]
    NoIdentityLine(usize),
    #[error("a key of type {0} cannot decrypt: only ed25519 and rsa can")]
    Unsupported(String),
    #[error("the private key is locked in an old form; `ssh-keygen -p -f FILE` writes it anew")]
    OldForm,
    #[error("it is a private key; its public part is wanted")]
    Private,
    #[error("line {0} is no recipient: expected age1..., ssh-ed25519 ... or ssh-rsa ...")]
    NoRecipient(usize),
    #[error("line {line}: a key of type {kind} cannot be encrypted for: only ed25519 and rsa can")]
    UnsupportedRecipient { line: usize, kind: String },
    #[error("line {0}: a key of rsa has 2048 to 4096 bits")]
    RsaSize(usize),
    #[error("there is no recipient in it")]
    Empty,
}

/// What a text is decrypted with, in the order in which it is tried.
#[derive(Default)]
pub(crate) struct Keyring(Vec<Identity>);

struct Identity {
    /// The file it stands in.
    file: String,
    key: Key,
    /// It could not be unlocked: nobody is asked again.
    stuck: Option<Closed>,
}

enum Key {
    Age(age::x25519::Identity),
    Ssh { key: Box<age::ssh::Identity>, tag: String },
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|i| &i.file)).finish()
    }
}

impl Keyring {
    /// Takes what is in an identity file.
    pub(crate) fn add(&mut self, file: &str, text: &[u8]) -> Result<(), BadKey> {
        let text = std::str::from_utf8(text).map_err(|_| BadKey::NoIdentity)?;
        let mut add = |key| self.0.push(Identity { file: file.to_owned(), key, stuck: None });
        if text.trim_start().starts_with("-----BEGIN") {
            let text = Zeroizing::new(text.trim_start().replace("\r\n", "\n"));
            let key =
                age::ssh::Identity::from_buffer(text.as_bytes(), None).map_err(|_| BadKey::NoIdentity)?;
            if let age::ssh::Identity::Unsupported(key) = &key {
                return Err(match key {
                    age::ssh::UnsupportedKey::Hardware(kind) | age::ssh::UnsupportedKey::Type(kind) => {
                        BadKey::Unsupported(kind.clone())
                    }
                    _ => BadKey::OldForm,
                });
            }
            let public = age::ssh::Recipient::try_from(key.clone()).map_err(|error| match error {
                age::ssh::ParseRecipientKeyError::Unsupported(kind) => BadKey::Unsupported(kind),
                _ => BadKey::NoIdentity,
            })?;
            add(Key::Ssh { key: Box::new(key), tag: tag(&public) });
            return Ok(());
        }
        let lines = text.lines().map(str::trim).enumerate();
        let lines: Vec<_> = lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')).collect();
        if !lines.iter().any(|(_, line)| line.starts_with("AGE-SECRET-KEY")) {
            return Err(BadKey::NoIdentity);
        }
        for (n, line) in lines {
            add(Key::Age(line.parse().map_err(|_| BadKey::NoIdentityLine(n + 1))?));
        }
        Ok(())
    }

    /// Decrypts a file. Keys that are locked are unlocked by what `ask` tells of them, only those that fit, and
    /// stay so.
    pub(crate) fn open(&mut self, encrypted: &[u8], ask: Ask<'_>) -> Result<Zeroizing<Vec<u8>>, Closed> {
        let binary = dearmored(encrypted)?;
        let header = Header::read(&binary)?;
        if header.0.iter().any(|(kind, _)| kind == "scrypt") {
            return Err(Closed::ByPassphrase);
        }
        if let Some(plain) = self.decrypt(&binary)? {
            return Ok(plain);
        }
        for n in 0..self.0.len() {
            if self.0[n].is_locked() && self.0[n].fits(&header) {
                self.0[n].unlock(ask)?;
                if let Some(plain) = self.decrypt(&binary)? {
                    return Ok(plain);
                }
            }
        }
        let mut tried: Vec<String> = self.0.iter().map(|i| i.file.clone()).collect();
        tried.dedup();
        Err(Closed::NoKey { tried, recipients: header.kinds() })
    }

    /// Decrypts with what is unlocked; `None` if nothing fits.
    fn decrypt(&self, binary: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Closed> {
        let decryptor = age::Decryptor::new_buffered(binary).map_err(|error| match error {
            DecryptError::UnknownFormat => Closed::Newer,
            _ => Closed::Damaged,
        })?;
        let identities = self.0.iter().map(|i| -> &dyn age::Identity {
            match &i.key {
                Key::Age(key) => key,
                Key::Ssh { key, .. } => &**key,
            }
        });
        let mut reader = match decryptor.decrypt(identities) {
            Ok(reader) => reader,
            Err(DecryptError::NoMatchingKeys) => return Ok(None),
            Err(_) => return Err(Closed::Damaged),
        };
        let mut plain = Zeroizing::new(Vec::with_capacity(binary.len()));
        reader.read_to_end(&mut plain).map_err(|_| Closed::Damaged)?;
        Ok(Some(plain))
    }
}

impl Identity {
    fn is_locked(&self) -> bool {
        matches!(&self.key, Key::Ssh { key, .. } if matches!(**key, age::ssh::Identity::Encrypted(_)))
    }

    /// Whether a file with this header may be for it. Of age's own keys the header tells nothing.
    fn fits(&self, header: &Header) -> bool {
        match &self.key {
            Key::Age(_) => header.0.iter().any(|(kind, _)| kind == "X25519"),
            Key::Ssh { tag, .. } => header.0.iter().any(|(_, argument)| argument == tag),
        }
    }

    fn unlock(&mut self, ask: Ask<'_>) -> Result<(), Closed> {
        let Key::Ssh { key, .. } = &mut self.key else { return Ok(()) };
        let age::ssh::Identity::Encrypted(locked) = &**key else { return Ok(()) };
        if let Some(stuck) = &self.stuck {
            return Err(stuck.clone());
        }
        let file = || self.file.clone();
        let word = ask(&self.file).ok_or_else(|| Closed::Locked(file()))?;
        let opened = match word {
            Ok(word) => locked
                .decrypt(SecretString::from(word.expose().to_owned()))
                .map_err(|_| Closed::WrongPassphrase(file())),
            Err(why) => Err(Closed::CannotAsk { key: file(), why }),
        };
        match opened {
            Ok(opened) => **key = opened.into(),
            Err(why) => {
                self.stuck = Some(why.clone());
                return Err(why);
            }
        }
        Ok(())
    }
}

/// By what the header of a file names a key of ssh.
fn tag(public: &age::ssh::Recipient) -> String {
    let (age::ssh::Recipient::SshRsa(key, _) | age::ssh::Recipient::SshEd25519(key, _)) = public;
    BASE64_STANDARD_NO_PAD.encode(&Sha256::digest(key)[..4])
}

/// For whom a file is: of each the kind, and the first argument, which for ssh says which key it is.
struct Header(Vec<(String, String)>);

impl Header {
    fn read(binary: &[u8]) -> Result<Self, Closed> {
        let mut lines = binary.split(|b| *b == b'\n');
        match lines.next() {
            Some(b"age-encryption.org/v1") => {}
            Some(first) if first.starts_with(b"age-encryption.org/") => return Err(Closed::Newer),
            _ => return Err(Closed::NotAge),
        }
        let lines = lines.take_while(|line| !line.starts_with(b"---")).map(String::from_utf8_lossy);
        let stanza = |line: &str| {
            let mut words = line.strip_prefix("-> ")?.split(' ').map(str::to_owned);
            Some((words.next()?, words.next().unwrap_or_default()))
        };
        Ok(Self(lines.filter_map(|line| stanza(&line)).collect()))
    }

    /// What can be told of the recipients; some stanzas are there only so that nobody relies on what there is.
    fn kinds(&self) -> Vec<String> {
        let known = |kind: &str| match kind {
            "X25519" => Some("an age key"),
            "ssh-ed25519" => Some("an ssh-ed25519 key"),
            "ssh-rsa" => Some("an ssh-rsa key"),
            kind if kind.ends_with("-grease") => None,
            _ => Some("a key of another kind"),
        };
        self.0.iter().filter_map(|(kind, _)| known(kind)).map(str::to_owned).collect()
    }
}

fn dearmored(encrypted: &[u8]) -> Result<Vec<u8>, Closed> {
    if !encrypted.trim_ascii_start().starts_with(b"-----BEGIN AGE") {
        return Ok(encrypted.to_vec());
    }
    let mut binary = Vec::with_capacity(encrypted.len());
    age::armor::ArmoredReader::new(encrypted).read_to_end(&mut binary).map_err(|_| Closed::Damaged)?;
    Ok(binary)
}

/// For whom files are encrypted.
#[derive(Default)]
pub(crate) struct Recipients(Vec<Recipient>);

struct Recipient {
    /// As it was written, with its comment.
    line: String,
    key: Box<dyn age::Recipient>,
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|r| &r.line)).finish()
    }
}

impl Recipients {
    /// Adds those of a text: one a line, blank lines and such that begin with `#` apart. Each counts once.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), BadKey> {
        let mut some = false;
        for (n, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            some = true;
            let key = recipient(line, n + 1)?;
            let is_it = |known: &Recipient| words(&known.line) == words(line);
            if !self.0.iter().any(is_it) {
                self.0.push(Recipient { line: line.to_owned(), key });
            }
        }
        if some { Ok(()) } else { Err(BadKey::Empty) }
    }

    /// A line for each, as they were given.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|r| r.line.clone() + "\n").collect()
    }

    /// What people call them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|r| name(&r.line)).collect()
    }

    /// Encrypts; the result is text.
    pub(crate) fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let keys = self.0.iter().map(|r| &*r.key);
        let encryptor =
            age::Encryptor::with_recipients(keys).expect("there is a recipient, and none by passphrase");
        let seal = |sealed: &mut Vec<u8>| {
            let armored = age::armor::ArmoredWriter::wrap_output(sealed, age::armor::Format::AsciiArmor)?;
            let mut writer = encryptor.wrap_output(armored)?;
            writer.write_all(plain)?;
            writer.finish()?.finish().map(|_| ())
        };
        let mut sealed = Vec::new();
        seal(&mut sealed).expect("memory takes all that is written to it");
        sealed
    }
}

/// What of a line makes the key: all but the comment.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().take(2).collect()
}

fn name(line: &str) -> String {
    let mut words = line.splitn(3, char::is_whitespace);
    let (kind, key, comment) = (words.next().unwrap_or_default(), words.next(), words.next().map(str::trim));
    match (key, comment.filter(|c| !c.is_empty())) {
        (Some(_), Some(comment)) => format!("{comment} ({kind})"),
        (Some(key), None) => format!("{kind} ...{}", &key[key.len().saturating_sub(8)..]),
        (None, _) if kind.len() > 20 => format!("{}...{}", &kind[..8], &kind[kind.len() - 6..]),
        (None, _) => kind.to_owned(),
    }
}

fn recipient(line: &str, n: usize) -> Result<Box<dyn age::Recipient>, BadKey> {
    if line.starts_with("AGE-SECRET-KEY") || line.starts_with("-----BEGIN") {
        return Err(BadKey::Private);
    }
    if !line.is_ascii() && line.starts_with("age1") {
        return Err(BadKey::NoRecipient(n));
    }
    if line.starts_with("age1") {
        let key: age::x25519::Recipient = line.parse().map_err(|_| BadKey::NoRecipient(n))?;
        return Ok(Box::new(key));
    }
    let kind = line.split_whitespace().next().unwrap_or_default().to_owned();
    let is_other = kind.starts_with("ecdsa-") || kind.starts_with("sk-") || kind == "ssh-dss";
    // The comment plays no part, and may be anything.
    match words(line).join(" ").parse::<age::ssh::Recipient>() {
        Ok(key) => {
            let (age::ssh::Recipient::SshRsa(blob, _) | age::ssh::Recipient::SshEd25519(blob, _)) = &key;
            // What stands behind a valid beginning must not be passed over.
            let whole = words(line).get(1).is_some_and(|text| *text == BASE64_STANDARD.encode(blob));
            if whole { Ok(Box::new(key)) } else { Err(BadKey::NoRecipient(n)) }
        }
        Err(
            age::ssh::ParseRecipientKeyError::RsaModulusTooLarge
            | age::ssh::ParseRecipientKeyError::RsaModulusTooSmall,
        ) => Err(BadKey::RsaSize(n)),
        Err(_) if is_other => Err(BadKey::UnsupportedRecipient { line: n, kind }),
        Err(_) => Err(BadKey::NoRecipient(n)),
    }
}

/// Whether a text on the command line is a key itself, not the name of a file.
pub(crate) fn is_key(text: &str) -> bool {
    ["age1", "ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-", "AGE-SECRET-KEY"].iter().any(|p| text.starts_with(p))
        && (text.contains(' ') || text.starts_with("age1") || text.starts_with("AGE-SECRET-KEY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN alice@laptop";

    const NOBODY: Ask<'static> = &|_| None;

    fn ring(identities: &[&age::x25519::Identity]) -> Keyring {
        use age::secrecy::ExposeSecret as _;
        let mut ring = Keyring::default();
        for (n, identity) in identities.iter().enumerate() {
            let text = format!("# made today\n{}\n", identity.to_string().expose_secret());
            ring.add(&format!("key-{n}"), text.as_bytes()).unwrap();
        }
        ring
    }

    #[test]
    fn what_is_sealed_opens_for_each_and_for_nobody_else() {
        let [one, two, other] = [(); 3].map(|()| age::x25519::Identity::generate());
        let mut recipients = Recipients::default();
        recipients.add(&format!("# us\n{}\n\n{}\n", one.to_public(), two.to_public())).unwrap();
        recipients.add(ED25519).unwrap();
        recipients.add(&one.to_public().to_string()).unwrap();
        assert_eq!(recipients.names().len(), 3, "each once");
        assert_eq!(recipients.names()[2], "alice@laptop (ssh-ed25519)");
        for plain in [&b""[..], b"line\nline\n", &[0xff, 0, 13, 10], &vec![b'x'; 200_000]] {
            let sealed = recipients.seal(plain);
            assert!(sealed.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));
            assert_eq!(*ring(&[&one]).open(&sealed, NOBODY).unwrap(), plain);
            assert_eq!(*ring(&[&other, &two]).open(&sealed, NOBODY).unwrap(), plain);
            let error = ring(&[&other]).open(&sealed, NOBODY).unwrap_err();
            assert_eq!(
                error.to_string(),
                "no identity opens it; tried key-0; it is for an age key, an age key, an ssh-ed25519 key"
            );
        }
    }

    #[test]
    fn files_that_do_not_open_say_why() {
        let key = age::x25519::Identity::generate();
        let mut recipients = Recipients::default();
        recipients.add(&key.to_public().to_string()).unwrap();
        let sealed = recipients.seal(b"hello");
        let open = |bytes: &[u8]| ring(&[&key]).open(bytes, NOBODY).unwrap_err();
        assert_eq!(open(b"password"), Closed::NotAge);
        assert_eq!(open(b""), Closed::NotAge);
        assert_eq!(open(b"age-encryption.org/v7\n"), Closed::Newer);
        for cut in [10, sealed.len() / 2, sealed.len() - 40] {
            assert!(matches!(open(&sealed[..cut]), Closed::Damaged | Closed::NotAge), "{cut}");
        }
        let mut scrypt = age::scrypt::Recipient::new(SecretString::from("x".to_owned()));
        scrypt.set_work_factor(2);
        let by_passphrase = age::encrypt(&scrypt, b"hello").unwrap();
        assert_eq!(open(&by_passphrase), Closed::ByPassphrase);
    }

    #[test]
    fn keys_that_do_not_serve_say_why() {
        let recipients = |text: &str| Recipients::default().add(text).unwrap_err().to_string();
        for (text, expected) in [
            ("", "there is no recipient in it"),
            ("# nobody\n", "there is no recipient in it"),
            ("\nage1xyz", "line 2 is no recipient"),
            ("ssh-ed25519 AAAA", "line 1 is no recipient"),
            ("AGE-SECRET-KEY-1QQ", "it is a private key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "it is a private key"),
            ("ecdsa-sha2-nistp256 AAAA me", "of type ecdsa-sha2-nistp256 cannot be encrypted for"),
            ("sk-ssh-ed25519@openssh.com AAAA", "of type sk-ssh-ed25519@openssh.com"),
        ] {
            let error = recipients(text);
            assert!(error.contains(expected), "{text:?}: {error}");
            assert!(!error.contains("1QQ"), "{error}");
        }
        let identity = |text: &str| Keyring::default().add("f", text.as_bytes()).unwrap_err();
        assert_eq!(identity("ssh-ed25519 AAAA"), BadKey::NoIdentity);
        assert_eq!(identity(""), BadKey::NoIdentity);
        assert_eq!(identity("-----BEGIN OPENSSH PRIVATE KEY-----\nxx\n"), BadKey::NoIdentity);
        assert_eq!(identity("# c\nAGE-SECRET-KEY-1QQ"), BadKey::NoIdentityLine(2));
        assert!(is_key(ED25519) && is_key("age1abc") && !is_key("ssh-keys.txt") && !is_key("keys/joe.pub"));
    }
}
