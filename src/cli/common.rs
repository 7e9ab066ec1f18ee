//! What several commands do at their start.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::{self, Connection};
use super::environment::Controller;
use super::exit::Exit;
use super::output;
use super::password::{PasswordError, password, prompt};
use super::recording::Digests;
use super::settings::{Display, Reach};
use super::shards;
use crate::config::{self, Environment, Loaded};
use crate::diagnostic::{Diagnostic, Severity};
use crate::engine::{Held, Options};
use crate::journal::Header;
use crate::model::{Redactor, Secret};
use crate::run::Run;
use crate::shard::Shard;
use crate::transport::askpass::LoginPassword;
use crate::transport::kept::{Folder, Keeping};
use crate::transport::{Connector, Locking, Owed, Settings, System};

/// Hosts worked on at once when nobody says.
pub(super) const FORKS: usize = 20;

/// A run that is ready to begin.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) run: Run,
    /// Which part of the hosts it is.
    pub(super) shard: Option<Shard>,
    pub(super) redactor: Redactor,
    pub(super) options: Options,
    pub(super) connector: Arc<dyn Connector>,
    /// The id of the run.
    pub(super) id: String,
    /// The digests of the files that were read for it.
    pub(super) files: BTreeMap<String, String>,
    /// Where its values came from that are no part of these files, secrets above all.
    pub(super) needs: Vec<String>,
}

impl Ready {
    pub(super) fn allow_disruptive(mut self, allowed: bool) -> Self {
        self.options.allow_disruptive = allowed;
        self
    }

    pub(super) fn all_or_nothing(mut self, wanted: bool) -> Self {
        self.options.all_or_nothing = wanted;
        self
    }
}

/// Reads what is wanted, with all mistakes in it; without an inventory there is nothing to read.
pub(super) fn read(wanted: &config::Options) -> Result<Loaded, Diagnostic> {
    read_from(wanted, &(Arc::new(Controller) as Arc<dyn Environment>))
}

fn read_from(wanted: &config::Options, environment: &Arc<dyn Environment>) -> Result<Loaded, Diagnostic> {
    if !Path::new(&wanted.inventory).exists() {
        let what = format!("there is no inventory at {}", wanted.inventory.display());
        return Err(Diagnostic::error(None, what).help("name it with -i FILE or HOSTWRIGHT_INVENTORY"));
    }
    let alone = wanted.playbooks.is_empty();
    Ok(if alone { config::load_inventory(wanted, environment) } else { config::load(wanted, environment) })
}

/// Reads what is wanted and tells of all mistakes; without a run, how to end.
pub(super) fn load(wanted: &config::Options, display: &Display) -> Result<(Run, Loaded), Exit> {
    load_from(wanted, &(Arc::new(Controller) as Arc<dyn Environment>), display)
}

fn load_from(
    wanted: &config::Options,
    environment: &Arc<dyn Environment>,
    display: &Display,
) -> Result<(Run, Loaded), Exit> {
    let mut loaded = read_from(wanted, environment).map_err(|missing| {
        output::complain(&missing.message, missing.help.first().map_or("", String::as_str))
    })?;
    let errors = loaded.diagnostics.iter().any(|d| d.severity == Severity::Error);
    if errors || !display.detail.quiet {
        output::diagnostics(&loaded.diagnostics, display.err);
    }
    match loaded.run.take() {
        Some(run) if !errors => {
            shards::tell(wanted.shard, &run, &loaded, display);
            Ok((run, loaded))
        }
        _ => Err(Exit::Usage),
    }
}

/// Reads what is wanted and gets ready to reach its hosts.
pub(super) fn prepare(
    wanted: config::Options,
    connection: &Connection,
    locking: Locking,
    display: &Display,
) -> Result<Ready, Exit> {
    prepare_from(wanted, Arc::new(Controller), connection, locking, display)
}

/// The same where files may be others than those of the controller.
pub(super) fn prepare_from(
    mut wanted: config::Options,
    environment: Arc<dyn Environment>,
    connection: &Connection,
    locking: Locking,
    display: &Display,
) -> Result<Ready, Exit> {
    wanted.ssh_config.clone_from(&connection.way.ssh_config);
    let digests = Arc::new(Digests::new(environment));
    let environment: Arc<dyn Environment> = Arc::clone(&digests) as _;
    let (run, loaded) = load_from(&wanted, &environment, display)?;
    for source in &loaded.sources {
        digests.add(&source.name, source.text.as_bytes());
    }
    let reach = Reach::new(connection);
    let redactor = loaded.redactor;
    // Asked for only once all else is known to be right.
    let login_password = login_password(reach.ask_password)?;
    let become_password = password(&reach.password)
        .map_err(|error| without(&error, "give it in a file: --become-password-file FILE"))?;
    for password in [&login_password, &become_password].into_iter().flatten() {
        redactor.add(password);
    }
    let id = run_id();
    let settings = Settings {
        connect_timeout: reach.connect_timeout,
        become_password,
        login_password: login_password.map(LoginPassword::new),
        keeping: kept_connections(connection.way.keep)?,
        run_id: id.clone(),
        locking,
        owed: Owed::default(),
    };
    let forks = reach.forks.or(loaded.forks).unwrap_or(FORKS);
    let options = Options { forks, ..Options::default() };
    let options = Options { reconnect: reach.reconnect.unwrap_or(options.reconnect), ..options };
    let connector = Arc::new(System::new(settings));
    Ok(Ready {
        run,
        shard: wanted.shard,
        redactor,
        options,
        connector,
        id,
        files: digests.all(),
        needs: digests.needs(),
    })
}

/// Where connections are kept, unless they are not to be. `wanted` is what the command line says.
fn kept_connections(wanted: Option<Duration>) -> Result<Option<Keeping>, Exit> {
    let time = match (wanted, std::env::var("HOSTWRIGHT_KEEP")) {
        (Some(time), _) => Some(time),
        (None, Ok(text)) if !text.is_empty() => Some(args::time(&text).map_err(|why| {
            let why = format!("HOSTWRIGHT_KEEP={text} cannot be read: {why}");
            output::complain(&why, "set it to a time, or to 0")
        })?),
        (None, _) => None,
    };
    if time.is_some_and(|time| time.is_zero()) {
        return Ok(None);
    }
    match Folder::of_user() {
        Ok(folder) => Ok(Some(Keeping { folder, time })),
        Err(why) => {
            output::message(&format!("warning: connections are not kept for later runs: {why}"));
            Ok(None)
        }
    }
}

/// Asks for the password for logging in, if it is wanted; without it, how to end.
pub(super) fn login_password(wanted: bool) -> Result<Option<Secret>, Exit> {
    let typed = wanted.then(|| prompt("Password for logging in: ")).transpose();
    typed.map_err(|error| without(&error, "put a key there, or run it on a terminal"))
}

/// How to end without a password.
fn without(error: &PasswordError, elsewhere: &str) -> Exit {
    match error {
        PasswordError::Interrupted => Exit::Interrupted,
        PasswordError::NoTerminal(_) => output::complain(&error.to_string(), elsewhere),
        PasswordError::Read { .. } | PasswordError::Empty(_) => output::complain(&error.to_string(), ""),
    }
}

/// Says which hosts a run holds.
pub(super) fn tell(held: &Held, display: &Display) {
    for (host, holder) in held.iter().filter(|_| !display.detail.quiet) {
        output::message(&format!("warning: {}: locked by {holder}", host.name));
    }
}

/// What an apply says of itself to whom it keeps out.
pub(super) fn owner(playbooks: &[std::path::PathBuf]) -> Locking {
    let names: Vec<String> = playbooks.iter().map(|path| path.display().to_string()).collect();
    let since = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    Locking::Take(vec![
        ("user", Header::user()),
        ("from", Header::controller()),
        ("playbooks", names.join(" ")),
        ("since", since),
    ])
}

/// A name for this run: when it started, to the second, and by which process. Sorts by time.
fn run_id() -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    // Two controllers may start one in the same second, and by equal numbers of processes.
    let mut random = [0; 2];
    let known = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut random));
    let [a, b] = if known.is_ok() { random } else { [0, 0] };
    format!("{now}-{}-{a:02x}{b:02x}", std::process::id())
}
