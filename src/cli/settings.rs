//! What the command line, the environment and the terminal come to, settled once, as plain values.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use super::args::{self, Format, When};
use crate::config::Options;
use crate::report::{Detail, Look};

/// Where text goes and how it may look there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Display {
    /// The form of progress and results, never [`Format::Auto`].
    pub format: Format,
    /// Standard output: data.
    pub out: Look,
    /// Standard error: messages and progress.
    pub err: Look,
    /// How much is told.
    pub detail: Detail,
    /// `--diff` or `--no-diff`, if one was given.
    pub diff: Option<bool>,
}

/// What the surroundings say, so that tests can say something else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Columns of standard output, if it is a terminal.
    pub out_columns: Option<usize>,
    /// Columns of standard error, if it is a terminal.
    pub err_columns: Option<usize>,
    /// `NO_COLOR` is set and not empty (<https://no-color.org>).
    pub no_color: bool,
    /// `TERM=dumb`, or none: nothing can be drawn over.
    pub dumb: bool,
    /// The locale's characters are UTF-8.
    pub unicode: bool,
}

impl Surroundings {
    /// Looks around.
    pub fn look() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        // POSIX: the first of these that is set and not empty counts.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        Self {
            out_columns: std::io::stdout().is_terminal().then(|| columns(&std::io::stdout())),
            err_columns: std::io::stderr().is_terminal().then(|| columns(&std::io::stderr())),
            no_color: variable("NO_COLOR").is_some(),
            dumb: variable("TERM").is_none_or(|term| term == "dumb"),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }
}

/// Columns of a terminal; 80 where it does not know (a serial line).
fn columns(terminal: &impl std::os::fd::AsFd) -> usize {
    match rustix::termios::tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => 80,
    }
}

impl Display {
    /// Settles how things are shown.
    pub(super) fn new(output: &args::Output, diff: Option<&args::Diff>, around: Surroundings) -> Self {
        let look = |columns: Option<usize>| Look {
            color: match output.color {
                When::Always => true,
                When::Never => false,
                When::Auto => columns.is_some() && !around.no_color && !around.dumb,
            },
            unicode: around.unicode,
            width: columns,
        };
        let moves = around.err_columns.is_some() && !around.dumb;
        let format = match output.format {
            Format::Auto if moves && !output.quiet => Format::Bars,
            Format::Auto => Format::Plain,
            // Without a terminal there is nothing to draw on.
            Format::Bars if around.err_columns.is_none() => Format::Plain,
            other => other,
        };
        let diff = diff.and_then(|d| match (d.diff, d.no_diff) {
            (false, false) => None,
            (yes, _) => Some(yes),
        });
        Self {
            format,
            out: look(around.out_columns),
            err: look(around.err_columns),
            detail: Detail {
                diff: diff.unwrap_or(true),
                verbose: output.verbose,
                quiet: output.quiet,
                summary: output.summary,
            },
            diff,
        }
    }

    /// How much a plan tells: differences unless `--no-diff`.
    pub fn plan_detail(&self) -> Detail {
        Detail { diff: self.diff.unwrap_or(true), ..self.detail }
    }

    /// How much the lines of an apply tell: differences only with `--diff`, for the plan has shown them.
    pub fn apply_detail(&self) -> Detail {
        Detail { diff: self.diff.unwrap_or(false), ..self.detail }
    }
}

/// The inventory file: of the command line, the environment, or the usual one.
fn path(inventory: &args::Inventory) -> PathBuf {
    let variable = || std::env::var_os("HOSTWRIGHT_INVENTORY").filter(|v| !v.is_empty()).map(PathBuf::from);
    inventory.inventory.clone().or_else(variable).unwrap_or_else(|| "inventory.toml".into())
}

/// What to load for a command that is about hosts alone.
pub(super) fn of_hosts(inventory: &args::Inventory, target: &args::Target) -> Options {
    Options {
        inventory: path(inventory),
        vars: inventory.vars.clone(),
        hosts_pattern: target.pattern.clone(),
        limit: target.limit.clone(),
        ..Options::default()
    }
}

/// What to load for a command about some hosts.
pub(super) fn of_pattern(inventory: &args::Inventory, pattern: &str) -> Options {
    let target = args::Target { pattern: Some(pattern.to_owned()), limit: None };
    of_hosts(inventory, &target)
}

/// What to load for a command that is about playbooks.
pub(super) fn of_playbooks(inventory: &args::Inventory, selection: &args::Selection) -> Options {
    let args::Selection { playbooks, limit, shard, tags, skip_tags, steps, start_at } = selection.clone();
    Options {
        inventory: path(inventory),
        vars: inventory.vars.clone(),
        playbooks,
        limit,
        shard,
        tags,
        skip_tags,
        step: steps,
        start_at,
        ..Options::default()
    }
}

/// How hosts are reached and how many at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Hosts worked on at once, if the command line says.
    pub forks: Option<usize>,
    /// Bound of connecting and logging in; `ssh` decides where it is `None`.
    pub connect_timeout: Option<Duration>,
    /// Whether the user types a password for logging in.
    pub ask_password: bool,
    /// How long a lost host is tried again, if the command line says.
    pub reconnect: Option<Duration>,
    /// Where the password for `sudo` comes from.
    pub password: PasswordFrom,
}

/// Where the password for `sudo` comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordFrom {
    /// There is none.
    Nowhere,
    /// The user types it.
    Prompt,
    /// The first line of standard input.
    Stdin,
    /// The first line of a file.
    File(PathBuf),
}

impl Reach {
    pub(super) fn new(connection: &args::Connection) -> Self {
        let password = match &connection.become_password_file {
            _ if connection.ask_become_password => PasswordFrom::Prompt,
            Some(path) if path.as_os_str() == "-" => PasswordFrom::Stdin,
            Some(path) => PasswordFrom::File(path.clone()),
            None => PasswordFrom::Nowhere,
        };
        Self {
            ask_password: connection.ask_password,
            forks: connection.way.forks,
            connect_timeout: connection.way.connect_timeout,
            reconnect: connection.way.reconnect,
            password,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser as _;

    const TERMINAL: Surroundings = Surroundings {
        out_columns: Some(80),
        err_columns: Some(80),
        no_color: false,
        dumb: false,
        unicode: true,
    };

    fn display(line: &str, around: Surroundings) -> Display {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let diff = match &cli.command {
            Command::Plan(args) => Some(&args.plan.diff),
            _ => None,
        };
        Display::new(&cli.output, diff, around)
    }

    #[test]
    fn the_terminal_decides_unless_the_user_does() {
        let pipe = Surroundings { out_columns: None, err_columns: None, ..TERMINAL };
        for (line, around, format, color) in [
            ("hostwright plan x", TERMINAL, Format::Bars, true),
            ("hostwright plan x", pipe, Format::Plain, false),
            ("hostwright plan x -q", TERMINAL, Format::Plain, true),
            ("hostwright plan x", Surroundings { no_color: true, ..TERMINAL }, Format::Bars, false),
            ("hostwright plan x", Surroundings { dumb: true, ..TERMINAL }, Format::Plain, false),
            ("hostwright plan x --color always", pipe, Format::Plain, true),
            (
                "hostwright plan x --color always",
                Surroundings { no_color: true, ..TERMINAL },
                Format::Bars,
                true,
            ),
            ("hostwright plan x --color never", TERMINAL, Format::Bars, false),
            ("hostwright --format json plan x", TERMINAL, Format::Json, true),
            ("hostwright plan x --format bars", pipe, Format::Plain, false),
        ] {
            let display = display(line, around);
            assert_eq!((display.format, display.err.color), (format, color), "{line} {around:?}");
        }
    }

    #[test]
    fn differences_are_shown_in_a_plan_and_not_again_in_an_apply() {
        for (line, plan, apply) in [
            ("hostwright plan x", true, false),
            ("hostwright plan x --diff", true, true),
            ("hostwright plan x --no-diff", false, false),
            ("hostwright plan x --no-diff --diff", true, true),
        ] {
            let display = display(line, TERMINAL);
            assert_eq!((display.plan_detail().diff, display.apply_detail().diff), (plan, apply), "{line}");
        }
    }
}
