//! The command line as `clap` reads it. Nothing but `settings` and the commands look at these types.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::shard::Shard;

/// Brings a fleet of Linux hosts to a described state over plain ssh.
#[derive(Debug, Parser)]
#[command(
    name = "hostwright",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = EXIT_CODES,
)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) output: Output,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    nothing to do, or all of it done
  1    a step failed or cannot work, or a host was left out
  2    plan found differences
  3    bad input or usage
  4    a host was unreachable, and nothing failed
  5    another run holds the lock of a host
  130  interrupted, or the answer to the question was no";

impl Cli {
    /// The command of a line that is on record, without the program's name; `None` if this version does not know it.
    pub(super) fn recorded(arguments: &[String]) -> Option<Command> {
        let line = std::iter::once("hostwright").chain(arguments.iter().map(String::as_str));
        Self::try_parse_from(line).ok().map(|cli| cli.command)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check inventory and playbooks without contacting any host
    Check(Check),
    /// Show what an apply would change; changes nothing
    Plan(Planning),
    /// Look at what is not as described, and write reports of it; changes nothing
    Audit(Audit),
    /// Plan, ask, apply and verify
    Apply(Apply),
    /// Run a command on hosts
    Run(Run),
    /// Show which runs hold hosts, and which actions go on there; or stop them
    Runs(Runs),
    /// List the hosts of the inventory
    Hosts(Hosts),
    /// Show what is known of hosts
    Facts(Facts),
    /// List the runs on record: who did what, when, and how it ended
    History(History),
    /// Show a run that is on record
    Show(Show),
    /// Go on with an apply that failed, was interrupted, or whose controller was killed
    Resume(Resume),
    /// Go the way back from an apply, as far as there is one: plan, ask, apply and verify
    Undo(Undo),
    /// Let a key of yours log in: plan, ask, apply and verify
    Trust(Trust),
    /// Make, change and show files that are encrypted with age, for secrets
    Secret(Secret),
    /// Show the manual: a topic, a kind of step, a lint, a word; or list all
    Explain(Explain),
}

/// How things are shown: for every command.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "the text is shown as it is")]
#[command(next_help_heading = "Output")]
pub(super) struct Output {
    /// How progress and results are shown: auto (bars on a terminal, else plain), bars, plain or json
    #[arg(long, global = true, value_enum, default_value_t = Format::Auto, hide_possible_values = true, display_order = 0)]
    pub(super) format: Format,
    /// Colour: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = When::Auto, hide_possible_values = true, display_order = 1)]
    pub(super) color: When,
    /// Tell more: -v what is unchanged and skipped, -vv also each action and its output
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet", display_order = 2)]
    pub(super) verbose: u8,
    /// Tell of each step in a line, whatever the number of hosts, and not what it changes
    #[arg(long, global = true, conflicts_with_all = ["quiet", "verbose"], display_order = 3)]
    pub(super) summary: bool,
    /// Tell only failures and the result
    #[arg(short, long, global = true, display_order = 4)]
    pub(super) quiet: bool,
}

/// The form of progress and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Bars on a terminal, plain lines elsewhere
    Auto,
    /// A line per busy host that is drawn anew
    Bars,
    /// A line for each thing worth keeping
    Plain,
    /// JSON lines on standard output
    Json,
}

/// When colour is used.
#[expect(clippy::doc_markdown, reason = "the text is shown as it is")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Where the hosts come from.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "the text is shown as it is")]
#[command(next_help_heading = "Inventory")]
pub(super) struct Inventory {
    /// The inventory [env: HOSTWRIGHT_INVENTORY] [default: inventory.toml]
    #[arg(short, long, value_name = "FILE")]
    pub(super) inventory: Option<PathBuf>,
    /// Set a variable; wins over inventory and playbooks
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = var)]
    pub(super) vars: Vec<String>,
}

/// `NAME=VALUE`; the value may be empty and may hold `=`.
fn var(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("expected NAME=VALUE".into()),
    }
}

/// The way to hosts.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "the text is shown as it is")]
#[command(next_help_heading = "Connection")]
pub(super) struct Way {
    /// Configuration file for ssh, in place of ~/.ssh/config
    #[arg(long, value_name = "FILE")]
    pub(super) ssh_config: Option<PathBuf>,
    /// Give up on a host after this time without a connection [default: 10s], a login or a shell [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) connect_timeout: Option<std::time::Duration>,
    /// Try a host that is lost in the middle of something again for this time [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) reconnect: Option<std::time::Duration>,
    /// Keep connections for later runs for this time without use; 0 closes them at the end [env: HOSTWRIGHT_KEEP]
    /// [default: the inventory's `keep`, or 60s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) keep: Option<std::time::Duration>,
    /// How many hosts are worked on at once [default: the inventory's `forks`, or 20]
    #[arg(long, value_name = "N", value_parser = forks)]
    pub(super) forks: Option<usize>,
}

/// How hosts are reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    #[command(flatten)]
    pub(super) way: Way,
    /// Ask for the password for logging in, once for all hosts; keys come first
    #[arg(short = 'k', long)]
    pub(super) ask_password: bool,
    /// Ask for the password that sudo wants, once for all hosts
    #[arg(short = 'K', long, conflicts_with = "become_password_file")]
    pub(super) ask_become_password: bool,
    /// Read the password that sudo wants from a file; "-" is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) become_password_file: Option<PathBuf>,
}

fn forks(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=10_000) => Ok(n),
        _ => Err("expected a number from 1 to 10000".into()),
    }
}

/// A number of seconds, or text such as `90s`, `5m`, `1h 30m`.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    time(text).and_then(|time| if time.is_zero() { Err(NO_TIME.into()) } else { Ok(time) })
}

/// The same, or zero.
pub(super) fn time(text: &str) -> Result<std::time::Duration, String> {
    let seconds = text.parse().ok().map(std::time::Duration::from_secs);
    seconds
        .or_else(|| text.parse::<jiff::SignedDuration>().ok().and_then(|d| d.try_into().ok()))
        .ok_or_else(|| NO_TIME.into())
}

const NO_TIME: &str = "expected a time such as 10, \"10s\" or \"1m\"";

/// Which playbooks, hosts and steps.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct Selection {
    /// Playbooks, or folders of playbooks, which run in file-name order
    #[arg(required = true, value_name = "PLAYBOOK", help_heading = None)]
    pub(super) playbooks: Vec<PathBuf>,
    /// Only these hosts ("workers:!node-3")
    #[arg(short, long, value_name = "PATTERN")]
    pub(super) limit: Option<String>,
    /// Only this part of the hosts, for one of several controllers ("3/8"); hosts that need one another are in one part
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<Shard>,
    /// Only steps with one of these tags
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub(super) tags: Vec<String>,
    /// No steps with one of these tags
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub(super) skip_tags: Vec<String>,
    /// Only this step; can be given several times
    #[arg(long = "step", value_name = "ID")]
    pub(super) steps: Vec<String>,
    /// Begin with this step
    #[arg(long, value_name = "ID", conflicts_with = "steps")]
    pub(super) start_at: Option<String>,
}

/// Which hosts, for commands without a playbook.
#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    /// Which hosts ("workers:!node-3"); all of them without it
    #[arg(value_name = "PATTERN")]
    pub(super) pattern: Option<String>,
    /// The same as PATTERN
    #[arg(short, long, value_name = "PATTERN", conflicts_with = "pattern", help_heading = "Selection")]
    pub(super) limit: Option<String>,
}

/// How much of a change is shown.
#[derive(Debug, Clone, Args)]
pub(super) struct Diff {
    /// Show file differences in a plan (the default), and each change again when it is applied
    #[arg(long, overrides_with = "no_diff", help_heading = "Output")]
    pub(super) diff: bool,
    /// Do not show file differences
    #[arg(long, overrides_with = "diff", help_heading = "Output")]
    pub(super) no_diff: bool,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) inventory: Inventory,
}

#[derive(Debug, Args)]
pub(super) struct Plan {
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) inventory: Inventory,
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    pub(super) diff: Diff,
    /// Plan changes that interrupt users, without `disruptive = true` on their steps
    #[arg(long, help_heading = "Changes")]
    pub(super) allow_disruptive: bool,
}

#[derive(Debug, Args)]
pub(super) struct Planning {
    #[command(flatten)]
    pub(super) plan: Plan,
    /// List the steps with their ids, tags and hosts; no host is contacted
    #[arg(long, conflicts_with = "out", help_heading = "Output")]
    pub(super) list: bool,
    /// Save the plan: `apply FILE` does exactly what it says, and leaves out hosts that have changed since
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(flatten)]
    pub(super) plan: Plan,
    /// Write a report; its ending tells the format: .html, .json, .xml (JUnit), .md, .csv; can be given several times
    #[arg(long = "report", value_name = "FILE", help_heading = "Report")]
    pub(super) reports: Vec<PathBuf>,
    /// Tell what has drifted, was mended or is new since an earlier report (.json)
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) compare: Option<PathBuf>,
    /// What makes the exit code other than 0: drift and predicted (2), unreachable (4), unseen (1)
    #[arg(
        long,
        hide_possible_values = true,
        value_name = "WHAT",
        value_delimiter = ',',
        default_value = "drift,unreachable,unseen",
        help_heading = "Report"
    )]
    pub(super) fail_on: Vec<FailOn>,
}

/// What an audit fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// Something is not as described: exit code 2
    Drift,
    /// It would not be once an earlier step has run, or cannot be known before: 2
    Predicted,
    /// A host was not reached: 4
    Unreachable,
    /// A step could not be looked at: 1
    Unseen,
    /// On nothing that was found: 0
    None,
}

#[derive(Debug, Args)]
pub(super) struct Apply {
    #[command(flatten)]
    pub(super) plan: Plan,
    /// Do not ask before the plan is applied
    #[arg(short, long, help_heading = "Changes")]
    pub(super) yes: bool,
    /// Apply nothing when a host would be left out because a step of it cannot work
    #[arg(long, help_heading = "Changes")]
    pub(super) all_or_nothing: bool,
    /// Wait for hosts that another run has locked, for this time at most
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Changes")]
    pub(super) lock_wait: Option<std::time::Duration>,
    /// After the apply, plan again: everything must be as described
    #[arg(long, help_heading = "Changes")]
    pub(super) verify_twice: bool,
    /// Where the shards of a run wait for each other between playbooks: a folder that all of them see, empty at first
    #[arg(long, value_name = "DIR", help_heading = "Changes")]
    pub(super) shard_folder: Option<PathBuf>,
    /// For how long they wait there at most [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "shard_folder", help_heading = "Changes")]
    pub(super) shard_wait: Option<std::time::Duration>,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) target: Target,
    /// Run it as root, through sudo
    #[arg(short, long)]
    pub(super) r#become: bool,
    /// Stop the command after this time; without it, it may take as long as it likes
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) timeout: Option<std::time::Duration>,
    #[command(flatten)]
    pub(super) inventory: Inventory,
    #[command(flatten)]
    pub(super) connection: Connection,
    /// The command and its arguments; a single one is a line for the shell
    #[arg(last = true, required = true, value_name = "COMMAND", help_heading = None)]
    pub(super) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Runs {
    /// On which hosts ("workers:!node-3")
    #[arg(long, value_name = "PATTERN")]
    pub(super) on: String,
    /// Stop the actions of this run there
    #[arg(long, value_name = "RUN")]
    pub(super) stop: Option<String>,
    /// Look at what runs as the user who logs in, in place of root
    #[arg(long)]
    pub(super) as_login_user: bool,
    #[command(flatten)]
    pub(super) inventory: Inventory,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "the text is shown as it is")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(super) struct Hosts {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    pub(super) inventory: Inventory,
    #[command(flatten)]
    pub(super) way: Way,
    /// Ask for the password for logging in at jump hosts
    #[arg(short = 'k', long, requires = "scan", help_heading = "Connection")]
    pub(super) ask_password: bool,
    /// List the connections that are kept for later runs
    #[arg(long, conflicts_with = "scan", help_heading = "Kept connections")]
    pub(super) connections: bool,
    /// Close the connections that are kept for later runs
    #[arg(long, conflicts_with_all = ["scan", "connections"], help_heading = "Kept connections")]
    pub(super) close: bool,
    /// Ask the hosts for their keys, show those that ssh does not know yet, and add them to its known hosts
    #[arg(long, help_heading = "Host keys")]
    pub(super) scan: bool,
    /// Add only keys of this list, without being asked: lines "HOST SHA256:...", or of known_hosts
    #[arg(long, value_name = "FILE", requires = "scan", conflicts_with = "yes", help_heading = "Host keys")]
    pub(super) expect: Option<PathBuf>,
    /// Add the keys without being asked
    #[arg(short, long, requires = "scan", help_heading = "Host keys")]
    pub(super) yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct Facts {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    pub(super) inventory: Inventory,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct History {
    /// Only runs on this host
    #[arg(long, value_name = "HOST")]
    pub(super) host: Option<String>,
    /// Only runs of this playbook
    #[arg(long, value_name = "PLAYBOOK")]
    pub(super) playbook: Option<String>,
    /// Only runs that stand so: ok, failed, unreachable, locked, interrupted, declined, running or killed
    #[arg(long, value_enum, value_name = "STATE", hide_possible_values = true)]
    pub(super) state: Option<RunState>,
    /// Only runs that began so long ago at most ("2d", "12h")
    #[arg(long, value_name = "TIME", value_parser = duration_of_days)]
    pub(super) since: Option<jiff::SignedDuration>,
    /// No more than so many, the newest first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(super) limit: usize,
}

/// How a run on record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RunState {
    /// It has done all of it, or had nothing to do
    Ok,
    /// A step failed, or a host was left out
    Failed,
    /// A host was unreachable
    Unreachable,
    /// Another run held the lock of a host
    Locked,
    /// It was interrupted
    Interrupted,
    /// The answer to the question was no
    Declined,
    /// It goes on
    Running,
    /// Its controller was killed
    Killed,
}

impl RunState {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::Locked => "locked",
            Self::Interrupted => "interrupted",
            Self::Declined => "declined",
            Self::Running => "running",
            Self::Killed => "killed",
        }
    }

    /// What it means.
    pub(super) fn explained(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unreachable => "a host was unreachable",
            Self::Locked => "another run held the lock of a host",
            Self::Interrupted => "interrupted",
            Self::Declined => "the answer to the question was no",
            Self::Running => "still going on",
            Self::Killed => "killed: its controller did not come to write down the end",
        }
    }
}

/// As [`duration`], and days.
fn duration_of_days(text: &str) -> Result<jiff::SignedDuration, String> {
    let days = text.strip_suffix('d').and_then(|n| n.trim().parse::<i64>().ok());
    days.and_then(|n| n.checked_mul(24))
        .map(jiff::SignedDuration::from_hours)
        .or_else(|| text.parse().ok())
        .filter(jiff::SignedDuration::is_positive)
        .ok_or_else(|| "expected a time such as \"2d\", \"12h\" or \"30m\"".into())
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The id of the run, or its beginning; the last one without it. Several, of shards of one run, are shown as one
    ///
    /// In place of an id there can be a journal, or a report in JSON, of another controller: a path with a `/` in it.
    #[arg(value_name = "RUN", default_value = "last", hide_default_value = true)]
    pub(super) runs: Vec<String>,
    /// Write a report of it; its ending tells the format: .html, .json, .xml (JUnit), .md, .csv; can be given several times
    #[arg(long = "report", value_name = "FILE")]
    pub(super) reports: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The id of the run, or its beginning; without it the last apply, if that has not done all of it
    pub(super) run: Option<String>,
    /// Go on although inventory or playbooks have changed since
    #[arg(long)]
    pub(super) accept_changes: bool,
    /// Do not ask before the plan is applied
    #[arg(short, long)]
    pub(super) yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct Undo {
    /// The id of the run, or its beginning
    pub(super) run: String,
    /// Only on these hosts ("workers:!node-3")
    #[arg(short, long, value_name = "PATTERN", help_heading = "Selection")]
    pub(super) limit: Option<String>,
    /// Do not ask before the plan is applied
    #[arg(short, long, help_heading = "Changes")]
    pub(super) yes: bool,
    /// Make changes that interrupt users as well
    #[arg(long, help_heading = "Changes")]
    pub(super) allow_disruptive: bool,
    /// Wait for hosts that another run has locked, for this time at most
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Changes")]
    pub(super) lock_wait: Option<std::time::Duration>,
}

#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "the text is shown as it is")]
pub(super) struct Trust {
    #[command(flatten)]
    pub(super) target: Target,
    /// The public key [default: ~/.ssh/id_ed25519.pub or id_rsa.pub]
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    #[command(flatten)]
    pub(super) inventory: Inventory,
    #[command(flatten)]
    pub(super) connection: Connection,
    /// Do not ask before the plan is applied
    #[arg(short, long, help_heading = "Changes")]
    pub(super) yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct Secret {
    #[command(subcommand)]
    pub(super) action: SecretAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum SecretAction {
    /// Encrypt what stands on standard input, or what you write in $VISUAL or $EDITOR
    New {
        /// The file to make; it must not be there
        file: PathBuf,
        #[command(flatten)]
        recipients: Recipients,
    },
    /// Change the content in $VISUAL or $EDITOR
    Edit {
        /// The file; for whom it is encrypted stands in FILE.recipients
        file: PathBuf,
        #[command(flatten)]
        identities: Identities,
    },
    /// Print the content
    View {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        identities: Identities,
    },
    /// Encrypt the content for others, or again
    Rekey {
        /// The files; nothing is written when one of them does not open
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        recipients: Recipients,
        #[command(flatten)]
        identities: Identities,
    },
}

/// For whom a file is encrypted.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "the text is shown as it is")]
pub(super) struct Recipients {
    /// For whom: age1..., "ssh-ed25519 ...", "ssh-rsa ...", or a file with such lines (a .pub file); can be given several
    /// times [default: for `rekey` FILE.recipients, else ~/.ssh/id_ed25519.pub or id_rsa.pub]
    #[arg(short, long = "recipient", value_name = "KEY")]
    pub(super) recipients: Vec<String>,
}

/// What opens a file.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "the text is shown as it is")]
pub(super) struct Identities {
    /// What opens it: a private key of ssh, or a file of age-keygen; can be given several times [env:
    /// HOSTWRIGHT_AGE_IDENTITY] [default: ~/.ssh/id_ed25519 and id_rsa]
    #[arg(long = "identity", value_name = "FILE")]
    pub(super) identities: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A topic (`step`), a kind of step (`nfs_export`), a lint, a word (`register`) or a program (`write_file.sh`);
    /// all but words and programs are listed without it
    pub(super) topic: Option<String>,
    /// Show what runs on hosts for a kind of step
    #[arg(long, requires = "topic")]
    pub(super) script: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn clap_finds_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn variables_and_times() {
        assert_eq!(var("a=b=c"), Ok("a=b=c".into()));
        assert_eq!(var("a="), Ok("a=".into()));
        assert!(var("=b").is_err() && var("a").is_err());
        assert_eq!(duration("90"), Ok(std::time::Duration::from_secs(90)));
        assert_eq!(duration("1m"), Ok(std::time::Duration::from_mins(1)));
        assert!(duration("0").is_err() && duration("soon").is_err() && duration("-3s").is_err());
    }
}
