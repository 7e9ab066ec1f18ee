//! `secret`: makes, changes and shows files that are encrypted with age.
//!
//! A file of age does not say for whom it is: so that it can be encrypted again, its recipients stand beside it, in
//! `FILE.recipients`, in the form that `age -R` reads.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::args::{Secret, SecretAction};
use super::environment::{Controller, passphrase_of, words};
use super::exit::Exit;
use super::output;
use super::password::{PasswordError, prompt};
use super::settings::Display;
use super::start::wait;
use crate::config::{AGE_IDENTITY, Environment as _};
use crate::harmless;
use crate::private_folder::{self, Claim};
use crate::secret_file::{self, Closed, Keyring, LARGEST, Recipients, USUAL};

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
enum SecretError {
    #[error("cannot {what} {}: {why}", .path.display())]
    File { what: &'static str, path: PathBuf, why: String, hint: String },
    #[error("cannot decrypt {}: {why}", .path.display())]
    Closed { path: PathBuf, why: Closed },
    #[error("{message}")]
    Refused { message: String, hint: String },
    #[error("interrupted")]
    Interrupted,
}

impl SecretError {
    fn hint(&self) -> &str {
        match self {
            Self::File { hint, .. } | Self::Refused { hint, .. } => hint,
            Self::Closed { why, .. } => why.hint(),
            Self::Interrupted => "",
        }
    }
}

type Done<T> = Result<T, SecretError>;

fn cannot(what: &'static str, path: &Path, why: impl Into<String>, hint: &str) -> SecretError {
    SecretError::File { what, path: path.to_owned(), why: why.into(), hint: hint.to_owned() }
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> SecretError {
    SecretError::Refused { message: message.into(), hint: hint.into() }
}

/// `secret new|edit|view|rekey`.
pub(super) fn secret(args: &Secret, display: &Display) -> Exit {
    let say = |text: String| {
        if !display.detail.quiet {
            output::message(&text);
        }
    };
    let done = match &args.action {
        SecretAction::New { file, recipients } => new(file, &recipients.recipients, &say),
        SecretAction::Edit { file, identities } => edit(file, &identities.identities, &say),
        SecretAction::View { file, identities } => view(file, &identities.identities, display),
        SecretAction::Rekey { files, recipients, identities } => {
            rekey(files, &recipients.recipients, &identities.identities, &say)
        }
    };
    match done {
        Ok(()) => Exit::Done,
        Err(SecretError::Interrupted) => {
            output::message("Interrupted: nothing was changed.");
            Exit::Interrupted
        }
        Err(error) => output::complain(&error.to_string(), error.hint()),
    }
}

fn new(file: &Path, recipients: &[String], say: &dyn Fn(String)) -> Done<()> {
    let there = "change it with `hostwright secret edit`, or remove it first";
    if file.symlink_metadata().is_ok() {
        return Err(cannot("make", file, "it is there already", there));
    }
    let recipients = if recipients.is_empty() { own_key()? } else { named(recipients)? };
    let plain = if std::io::stdin().is_terminal() {
        written_in_editor(file, b"")?
    } else {
        let mut plain = Zeroizing::new(Vec::new());
        let read = std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut plain);
        read.map_err(|e| refused(format!("cannot read standard input: {}", words(&e)), ""))?;
        plain
    };
    check(&plain)?;
    save(file, &recipients, &plain, None)?;
    say(told(file, &recipients));
    say(format!("A variable takes its content by {{ age = \"{}\" }}.", file.display()));
    Ok(())
}

fn view(file: &Path, identities: &[PathBuf], display: &Display) -> Done<()> {
    let (_, plain) = open(file, &mut keyring(identities)?)?;
    if display.out.width.is_none() {
        output::bytes(&plain);
        return Ok(());
    }
    let text = Zeroizing::new(String::from_utf8_lossy(&plain).into_owned());
    output::data(&harmless::text(&text));
    Ok(())
}

fn edit(file: &Path, identities: &[PathBuf], say: &dyn Fn(String)) -> Done<()> {
    // Who edits by a link means what it points to.
    let file = &file.canonicalize().map_err(|e| cannot("read", file, words(&e), MAKE))?;
    let list = list_of(file);
    let recipients = beside(file)?.ok_or_else(|| {
        let hint = format!("`hostwright secret rekey {} --recipient KEY` says it once", file.display());
        cannot("read", &list, "no such file, so it is not known for whom to encrypt", &hint)
    })?;
    let (sealed, plain) = open(file, &mut keyring(identities)?)?;
    let written = written_in_editor(file, &plain)?;
    if *written == *plain {
        say(format!("{} stays as it is: nothing was changed.", file.display()));
        return Ok(());
    }
    check(&written)?;
    save(file, &recipients, &written, Some(&sealed))?;
    say(told(file, &recipients));
    Ok(())
}

fn rekey(files: &[PathBuf], recipients: &[String], identities: &[PathBuf], say: &dyn Fn(String)) -> Done<()> {
    let mut keyring = keyring(identities)?;
    let mut all: Vec<(PathBuf, Recipients, Opened)> = Vec::new();
    for file in files {
        let file = file.canonicalize().map_err(|e| cannot("read", file, words(&e), MAKE))?;
        if all.iter().any(|(known, ..)| *known == file) {
            continue;
        }
        let recipients = match (recipients, beside(&file)?) {
            ([], Some(known)) => known,
            ([], None) => own_key()?,
            (recipients, _) => named(recipients)?,
        };
        let opened = open(&file, &mut keyring)?;
        all.push((file, recipients, opened));
    }
    for (file, recipients, (sealed, plain)) in all {
        save(&file, &recipients, &plain, Some(&sealed))?;
        say(told(&file, &recipients));
    }
    Ok(())
}

const MAKE: &str = "`hostwright secret new FILE` makes it";

fn told(file: &Path, recipients: &Recipients) -> String {
    format!("{} is encrypted for {}.", file.display(), recipients.names().join(", "))
}

/// What hosts will be given must be there, and has a bound.
fn check(plain: &[u8]) -> Done<()> {
    if plain.iter().all(u8::is_ascii_whitespace) {
        return Err(refused("there is nothing to encrypt", "an empty secret is taken for a mistake"));
    }
    if plain.len() as u64 > LARGEST {
        return Err(refused(
            "a secret has at most 1 MiB",
            "put large files beside it, and their key into it",
        ));
    }
    Ok(())
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default()
}

/// The user's own public key.
fn own_key() -> Done<Recipients> {
    let mut found = USUAL.iter().map(|name| home().join(format!("{name}.pub"))).filter(|path| path.is_file());
    let path = found.next().ok_or_else(|| {
        refused(
            "no recipient is named, and there is neither ~/.ssh/id_ed25519.pub nor id_rsa.pub",
            "say for whom: --recipient KEY; `ssh-keygen -t ed25519` and `age-keygen` make keys",
        )
    })?;
    named(&[path.display().to_string()])
}

/// Recipients from the command line: keys, or files with keys.
fn named(recipients: &[String]) -> Done<Recipients> {
    let mut all = Recipients::default();
    for given in recipients {
        if secret_file::is_key(given) {
            all.add(given).map_err(|why| refused(format!("cannot encrypt for that recipient: {why}"), ""))?;
        } else {
            add_file(&mut all, Path::new(given))?;
        }
    }
    Ok(all)
}

fn add_file(all: &mut Recipients, path: &Path) -> Done<()> {
    let hint = "a recipient is age1..., \"ssh-ed25519 ...\", \"ssh-rsa ...\", or a file with such lines";
    let bytes = Controller.read_at_most(path, LARGEST).map_err(|why| cannot("read", path, why, hint))?;
    let text = String::from_utf8_lossy(&bytes);
    all.add(&text).map_err(|why| cannot("encrypt for", path, why.to_string(), hint))
}

/// Where the recipients of a file stand.
fn list_of(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".recipients");
    name.into()
}

/// The recipients that stand beside a file.
fn beside(file: &Path) -> Done<Option<Recipients>> {
    let list = list_of(file);
    if !list.exists() {
        return Ok(None);
    }
    let mut all = Recipients::default();
    add_file(&mut all, &list)?;
    Ok(Some(all))
}

/// What to decrypt with: what is named, or else the usual ones that are there.
fn keyring(identities: &[PathBuf]) -> Done<Keyring> {
    let variable = std::env::var_os(AGE_IDENTITY).filter(|v| !v.is_empty()).map(PathBuf::from);
    let named: Vec<PathBuf> =
        if identities.is_empty() { variable.into_iter().collect() } else { identities.to_vec() };
    let mut keyring = Keyring::default();
    let hint = "an identity is a private key of ssh (ed25519 or rsa), or what `age-keygen -o FILE` makes";
    for path in &named {
        let path = match path.strip_prefix("~") {
            Ok(rest) => home().join(rest),
            Err(_) => path.clone(),
        };
        let text = Controller.read_at_most(&path, LARGEST).map_err(|why| cannot("read", &path, why, hint))?;
        let text = Zeroizing::new(text);
        let name = path.display().to_string();
        keyring.add(&name, &text).map_err(|why| cannot("use", &path, why.to_string(), hint))?;
    }
    if named.is_empty() {
        for path in USUAL.iter().map(|name| home().join(name)) {
            if let Ok(text) = Controller.read_at_most(&path, LARGEST) {
                // One that does not serve keeps the other from nothing.
                let _ = keyring.add(&path.display().to_string(), &Zeroizing::new(text));
            }
        }
    }
    Ok(keyring)
}

/// What is in a file, as it is and in clear.
type Opened = (Vec<u8>, Zeroizing<Vec<u8>>);

/// Reads and decrypts a file.
fn open(file: &Path, keyring: &mut Keyring) -> Done<Opened> {
    let sealed = Controller.read_at_most(file, 2 * LARGEST).map_err(|why| cannot("read", file, why, MAKE))?;
    let interrupted = Cell::new(false);
    let ask = |key: &str| {
        let typed = prompt(&passphrase_of(key));
        interrupted.set(matches!(typed, Err(PasswordError::Interrupted)));
        Some(typed.map_err(|error| error.to_string()))
    };
    let plain = keyring.open(&sealed, &ask).map_err(|why| {
        if interrupted.get() {
            SecretError::Interrupted
        } else {
            SecretError::Closed { path: file.to_owned(), why }
        }
    })?;
    Ok((sealed, plain))
}

/// Encrypts into `file`, in place of `before`, and writes down for whom.
///
/// First comes the list: should it end between the two, the next edit encrypts as it was meant.
fn save(file: &Path, recipients: &Recipients, plain: &[u8], before: Option<&[u8]>) -> Done<()> {
    let sealed = recipients.seal(plain);
    let mode = match file.metadata() {
        Ok(metadata) => Some(metadata.mode() & 0o777),
        Err(_) => None,
    };
    if let Some(before) = before
        && fs::read(file).ok().as_deref() != Some(before)
    {
        return Err(cannot("write", file, "somebody else has changed it meanwhile", "do it again"));
    }
    let list = list_of(file);
    let listed = fs::read(&list).ok();
    // The same recipients may stand there with remarks, which stay.
    let text = recipients.text();
    if beside(file).ok().flatten().is_none_or(|known| known.text() != text) {
        put(&list, text.as_bytes(), mode, true)?;
    }
    put(file, &sealed, mode, before.is_some()).inspect_err(|_| {
        // The list as it was; without it the next edit would still not show the secret to anybody new.
        let _ = match &listed {
            Some(listed) => put(&list, listed, mode, true),
            None => fs::remove_file(&list).map_err(|e| cannot("remove", &list, words(&e), "")),
        };
    })
}

/// Writes a file whole or not at all.
fn put(path: &Path, bytes: &[u8], mode: Option<u32>, replace: bool) -> Done<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".hostwright.")
            .permissions(fs::Permissions::from_mode(mode.unwrap_or(0o666)))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        if let Some(mode) = mode {
            file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        }
        file.as_file().sync_all()?;
        if replace { file.persist(path) } else { file.persist_noclobber(path) }.map_err(|e| e.error)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|e| {
        let why = match e.kind() {
            std::io::ErrorKind::NotFound => format!("there is no folder {}", folder.display()),
            std::io::ErrorKind::AlreadyExists => "it is there already".into(),
            _ => words(&e),
        };
        cannot("write", path, why, "")
    })
}

/// Lets the user write `plain` anew. What is in clear is in a folder of its own, in memory where there is one, and gone
/// when this returns.
fn written_in_editor(file: &Path, plain: &[u8]) -> Done<Zeroizing<Vec<u8>>> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    let editor = variable("VISUAL").or_else(|| variable("EDITOR")).unwrap_or_else(|| "vi".into());
    let unsafe_place = |e: std::io::Error| {
        refused(
            format!("cannot make a private file to edit: {}", words(&e)),
            "set XDG_RUNTIME_DIR or TMPDIR to a folder that can be written to",
        )
    };
    let (folder, _claim) = workshop().map_err(unsafe_place)?;
    // The editor knows languages by the end of a name.
    let name = file.file_stem().unwrap_or("secret".as_ref());
    let path = folder.path().join(name);
    let mut clear = File::options();
    let opened =
        std::os::unix::fs::OpenOptionsExt::mode(&mut clear, 0o600).write(true).create_new(true).open(&path);
    opened.and_then(|mut clear| clear.write_all(plain)).map_err(unsafe_place)?;
    let mut ended = Err(SecretError::Interrupted);
    let exit = wait(async {
        ended = run(&editor, &path).await?;
        Ok(Exit::Done)
    });
    if exit != Exit::Done {
        return Err(refused("the editor cannot be waited for", ""));
    }
    let shown = editor.to_string_lossy();
    match ended?.code() {
        Some(0) => {}
        Some(127) => {
            let hint = "name another one in VISUAL or EDITOR";
            return Err(refused(format!("there is no editor `{shown}`"), hint));
        }
        _ => return Err(refused(format!("the editor `{shown}` failed: nothing was changed"), "")),
    }
    let written = Controller.read_at_most(&path, LARGEST).map(Zeroizing::new);
    written.map_err(|why| refused(format!("what was written cannot be read: {why}"), "nothing was changed"))
}

/// Runs the editor to its end. Signals that would end us must not leave what is in clear behind; Ctrl-C is for the
/// editor alone.
async fn run(editor: &OsString, path: &Path) -> std::io::Result<Done<ExitStatus>> {
    let mut gone = [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
    let _keyboard = [signal(SignalKind::interrupt())?, signal(SignalKind::quit())?];
    // As git does: the variable may hold arguments.
    let mut line = editor.clone();
    line.push(" \"$1\"");
    let mut child = tokio::process::Command::new("sh")
        .arg("-c")
        .arg(line)
        .arg("sh")
        .arg(path)
        .stdin(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()?;
    let [terminated, hung_up] = &mut gone;
    tokio::select! {
        status = child.wait() => Ok(Ok(status?)),
        _ = terminated.recv() => Ok(Err(SecretError::Interrupted)),
        _ = hung_up.recv() => Ok(Err(SecretError::Interrupted)),
    }
}

/// A folder for what is in clear: only for us, and on no disk where that can be had.
fn workshop() -> std::io::Result<(TempDir, Claim)> {
    let in_memory = [std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), Some("/dev/shm".into())];
    let private = |base: &Path| {
        private_folder::clear(base, "hw-secret.", |_| {});
        private_folder::make(base, "hw-secret.")
    };
    let mut usable = in_memory.into_iter().flatten().filter(|base| base.is_absolute());
    usable.find_map(|base| private(&base).ok()).map_or_else(|| private(&std::env::temp_dir()), Ok)
}
