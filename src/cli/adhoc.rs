//! `run` and `facts`: one question to each host, without a playbook.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use super::args::{Facts, Format, Run};
use super::common::{self, Ready};
use super::exit::Exit;
use super::interrupt::Interrupts;
use super::recording::{Invocation, Recording};
use super::settings::{self, Display};
use super::{output, plan};
use crate::engine::{self, Events, Held, PerHost, Way};
use crate::event::{Body, Event, Mode, Summary, VERSION};
use crate::harmless;
use crate::model::{Failure, Privilege};
use crate::report::{Driver, Reply, Reporter, Said, blocks, lines};
use crate::shell::Script;
use crate::transport::Locking;

/// `run PATTERN -- COMMAND`.
pub(super) async fn run(args: &Run, display: &Display, invocation: &Invocation) -> std::io::Result<Exit> {
    let wanted = settings::of_hosts(&args.inventory, &args.target);
    let ready = match common::prepare(wanted, &args.connection, Locking::Look, display) {
        Ok(ready) => ready,
        Err(exit) => return Ok(exit),
    };
    let privilege = if args.r#become { Privilege::root() } else { Privilege::Login };
    let asking = Asking::begin(&ready, Mode::Run, output::progress(display), invocation).await?;
    let hosts = &ready.run.hosts;
    let script = script(&args.command);
    let (answers, held) = engine::command(hosts, script, privilege, args.timeout, asking.way(&ready)).await;
    let summary = summary(&answers, |answer| answer.code == 0);
    Ok(asking.end(summary, &held, display).await)
}

/// A run without playbooks: who shows it, and its journal.
struct Asking {
    events: Events,
    interrupts: Interrupts,
    driver: Driver,
    recording: Recording,
}

impl Asking {
    async fn begin(
        ready: &Ready,
        mode: Mode,
        reporter: Box<dyn Reporter>,
        invocation: &Invocation,
    ) -> std::io::Result<Self> {
        let (events, shown) = mpsc::channel(plan::EVENTS);
        let interrupts = Interrupts::listen(Some(events.clone()))?;
        let (recording, reporter) = Recording::begin(ready, mode, invocation, &events, reporter);
        let driver = Driver::start(reporter, shown);
        let events = Events::new(events, ready.redactor.clone());
        let hosts = ready.run.hosts.iter().map(|host| host.name.clone()).collect();
        events.send(Body::RunStarted { version: VERSION, mode, hosts, plays: Vec::new() }).await;
        Ok(Self { events, interrupts, driver, recording })
    }

    fn way<'a>(&'a self, ready: &'a Ready) -> Way<'a> {
        let cancel = self.interrupts.cancel.clone();
        Way {
            options: &ready.options,
            connector: Arc::clone(&ready.connector) as _,
            cancel,
            events: Some(&self.events),
        }
    }

    /// Waits until all is shown, and says how to end.
    async fn end(self, mut summary: Summary, held: &Held, display: &Display) -> Exit {
        summary.interrupted = self.interrupts.happened();
        let exchanges = std::collections::BTreeMap::new();
        self.events.send(Body::RunFinished { summary: summary.clone(), exchanges }).await;
        drop((self.events, self.interrupts));
        self.driver.finish().await;
        common::tell(held, display);
        let exit = if summary.interrupted { Exit::Interrupted } else { Exit::of(&summary) };
        self.recording.end(exit, false);
        exit
    }
}

/// Shows nothing.
struct Nothing;

impl Reporter for Nothing {
    fn event(&mut self, _: &Event) {}

    fn finish(self: Box<Self>) {}
}

/// A single argument is a line for the shell; several are a command and its arguments, as they are.
fn script(command: &[String]) -> Script {
    match command {
        [line] => Script::new().user_code(line),
        words => words.iter().fold(Script::new(), |script, word| script.arg(word).raw(" ")),
    }
}

fn summary<T>(answers: &PerHost<T>, good: impl Fn(&T) -> bool) -> Summary {
    let mut summary = Summary::default();
    for (host, answer) in answers {
        let mut counts = crate::event::Counts::default();
        match answer {
            Ok(answer) if good(answer) => counts.unchanged = 1,
            Ok(_) | Err((true, _)) => counts.failed = 1,
            Err((false, _)) => summary.unreachable.push(host.name.clone()),
        }
        summary.hosts.insert(host.name.clone(), counts);
    }
    summary.total = summary.hosts.values().copied().sum();
    summary
}

/// Equal answers are joined for people; a program gets each line with its host.
fn show(replies: &[Reply], display: &Display) {
    if display.out.width.is_some() && display.format != Format::Plain {
        output::data(&blocks(replies, display.out, display.detail));
    } else {
        output::streams(&lines(replies, display.err));
    }
}

/// Shows the answers that a journal holds.
pub(super) fn replay(events: &[Event], display: &Display) {
    let reply = |event: &Event| match &event.body {
        Body::Answered { host, code, stdout, stderr } => {
            let said = Said { code: *code, stdout: stdout.clone(), stderr: stderr.clone() };
            Some(Reply { host: host.clone(), said: Ok(said) })
        }
        Body::HostUnreachable { host, failure } | Body::NotAnswered { host, failure } => {
            Some(Reply { host: host.clone(), said: Err(failure.clone()) })
        }
        // Of a version that had no other word for it.
        Body::Warning { host: Some(host), message } => {
            Some(Reply { host: host.clone(), said: Err(Failure::new(message.clone())) })
        }
        _ => None,
    };
    show(&events.iter().filter_map(reply).collect::<Vec<_>>(), display);
}

/// `facts PATTERN`.
pub(super) async fn facts(args: &Facts, display: &Display, invocation: &Invocation) -> std::io::Result<Exit> {
    let wanted = settings::of_hosts(&args.inventory, &args.target);
    let ready = match common::prepare(wanted, &args.connection, Locking::Look, display) {
        Ok(ready) => ready,
        Err(exit) => return Ok(exit),
    };
    let json = display.format == Format::Json;
    let reporter = if json { Box::new(Nothing) } else { output::progress(display) };
    let asking = Asking::begin(&ready, Mode::Facts, reporter, invocation).await?;
    let value = |facts: &crate::facts::Facts| {
        serde_json::to_value(facts).expect("facts are made of strings and numbers")
    };
    let listed = |facts: &crate::facts::Facts| listing(&value(facts));
    let (answers, held) = engine::facts(&ready.run.hosts, asking.way(&ready), &listed).await;
    if json {
        let lines = answers.iter().map(|(host, facts)| {
            let line = match facts {
                Ok(facts) => serde_json::json!({ "host": host.name, "facts": value(facts) }),
                Err((_, failure)) => serde_json::json!({ "host": host.name, "failure": failure }),
            };
            harmless::json(&line) + "\n"
        });
        output::data(&lines.collect::<String>());
    }
    let summary = summary(&answers, |_| true);
    Ok(asking.end(summary, &held, display).await)
}

/// Facts by the names that templates use, in columns.
fn listing(facts: &Value) -> String {
    let mut rows = Vec::new();
    flatten(String::new(), facts, &mut rows);
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .fold(String::new(), |text, (name, value)| text + format!("{name:width$}  {value}").trim_end() + "\n")
}

fn flatten(name: String, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                flatten(if name.is_empty() { key.clone() } else { format!("{name}.{key}") }, value, rows);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                let words = match item {
                    Value::Object(map) => map.values().map(word).collect::<Vec<_>>().join(" "),
                    other => word(other),
                };
                rows.push((format!("{name}[{n}]"), words));
            }
        }
        other => rows.push((name, word(other))),
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_argument_is_a_line_and_several_are_words() {
        let words =
            |list: &[&str]| script(&list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()).render();
        assert_eq!(words(&["ls *.log | wc -l"]), "ls *.log | wc -l");
        let out = std::process::Command::new("sh").arg("-c").arg(words(&["echo", "a  b", "$HOME"])).output();
        assert_eq!(String::from_utf8(out.unwrap().stdout).unwrap(), "a  b $HOME\n");
    }

    #[test]
    fn facts_are_listed_by_their_template_names() {
        let facts = serde_json::json!({
            "os": { "id": "centos", "version": "9" }, "selinux": "",
            "addresses": [{ "interface": "eth0", "address": "10.0.0.1", "prefix": 24 }], "cpus": 2,
        });
        assert_eq!(
            listing(&facts),
            "os.id         centos\nos.version    9\nselinux\naddresses[0]  eth0 10.0.0.1 24\ncpus          2\n"
        );
    }
}
