//! `run` and `facts`: one question to each host, without a playbook.

use serde_json::Value;

use super::args::{Facts, Format, Run};
use super::common::{self, Ready};
use super::exit::Exit;
use super::interrupt::Interrupts;
use super::output;
use super::settings::{self, Display};
use crate::engine::{self, PerHost};
use crate::event::{Body, Event, Mode, Summary, VERSION};
use crate::harmless;
use crate::model::{HostName, Privilege, Redactor};
use crate::probe::Answer;
use crate::report::{Reply, Said, Streams, blocks, lines};
use crate::shell::Script;
use crate::transport::Locking;

/// `run PATTERN -- COMMAND`.
pub(super) async fn run(args: &Run, display: &Display) -> std::io::Result<Exit> {
    let wanted = settings::of_hosts(&args.inventory, &args.target);
    let Ready { run, redactor, options, connector, .. } =
        match common::prepare(wanted, &args.connection, Locking::Look, display) {
            Ok(ready) => ready,
            Err(exit) => return Ok(exit),
        };
    let privilege = if args.r#become { Privilege::root() } else { Privilege::Login };
    let interrupts = Interrupts::listen(None)?;
    let cancel = interrupts.cancel.clone();
    let (answers, held) = engine::command(
        &run.hosts,
        script(&args.command),
        privilege,
        args.timeout,
        &options,
        connector,
        cancel,
    )
    .await;
    common::tell(&held, display);
    let replies = replies(&answers, &redactor);
    let summary = summary(&answers, |answer| answer.code == 0);
    show(&replies, &summary, display);
    Ok(if interrupts.happened() { Exit::Interrupted } else { Exit::of(&summary) })
}

/// A single argument is a line for the shell; several are a command and its arguments, as they are.
fn script(command: &[String]) -> Script {
    match command {
        [line] => Script::new().user_code(line),
        words => words.iter().fold(Script::new(), |script, word| script.arg(word).raw(" ")),
    }
}

fn replies(answers: &PerHost<Answer>, redactor: &Redactor) -> Vec<Reply> {
    let seen = |bytes: &[u8]| redactor.redact(&String::from_utf8_lossy(bytes));
    let said = |answer: &Answer| Said {
        code: answer.code,
        stdout: seen(&answer.stdout),
        stderr: seen(&answer.stderr),
    };
    answers
        .iter()
        .map(|(host, answer)| Reply {
            host: host.name.clone(),
            said: answer.as_ref().map(said).map_err(|(_, failure)| failure.clone()),
        })
        .collect()
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

fn show(replies: &[Reply], summary: &Summary, display: &Display) {
    match display.format {
        Format::Json => output::data(&json(replies, summary)),
        // Equal answers are joined for people; a program gets each line with its host.
        Format::Bars | Format::Auto if display.out.width.is_some() => {
            output::data(&blocks(replies, display.out, display.detail));
        }
        _ => output::streams(&lines(replies, display.err)),
    }
}

/// The events of a run without playbooks.
fn json(replies: &[Reply], summary: &Summary) -> String {
    let hosts = replies.iter().map(|r| r.host.clone()).collect();
    let mut bodies = vec![Body::RunStarted { version: VERSION, mode: Mode::Run, hosts, plays: Vec::new() }];
    bodies.extend(replies.iter().cloned().map(|Reply { host, said }| match said {
        Ok(Said { code, stdout, stderr }) => Body::Answered { host, code, stdout, stderr },
        Err(failure) if summary.unreachable.contains(&host) => Body::HostUnreachable { host, failure },
        Err(failure) => Body::Warning { host: Some(host), message: failure.message },
    }));
    bodies.push(Body::RunFinished { summary: summary.clone(), exchanges: std::collections::BTreeMap::new() });
    bodies
        .into_iter()
        .map(|body| {
            let event = Event { at_ms: 0, body };
            harmless::json(&event) + "\n"
        })
        .collect()
}

/// `facts PATTERN`.
pub(super) async fn facts(args: &Facts, display: &Display) -> std::io::Result<Exit> {
    let wanted = settings::of_hosts(&args.inventory, &args.target);
    let Ready { run, options, connector, .. } =
        match common::prepare(wanted, &args.connection, Locking::Look, display) {
            Ok(ready) => ready,
            Err(exit) => return Ok(exit),
        };
    let interrupts = Interrupts::listen(None)?;
    let (answers, held) = engine::facts(&run.hosts, &options, connector, interrupts.cancel.clone()).await;
    common::tell(&held, display);
    let summary = summary(&answers, |_| true);
    let known: Vec<(HostName, Result<Value, _>)> = answers
        .into_iter()
        .map(|(host, facts)| {
            let value = |f| serde_json::to_value(f).expect("facts are made of strings and numbers");
            (host.name.clone(), facts.map(value).map_err(|(_, failure)| failure))
        })
        .collect();
    if display.format == Format::Json {
        let line = |(host, facts): &(HostName, Result<Value, _>)| {
            let line = match facts {
                Ok(facts) => serde_json::json!({ "host": host, "facts": facts }),
                Err(failure) => serde_json::json!({ "host": host, "failure": failure }),
            };
            harmless::json(&line) + "\n"
        };
        output::data(&known.iter().map(line).collect::<String>());
    } else {
        let replies: Vec<_> = known
            .into_iter()
            .map(|(host, facts)| {
                let said = |facts| Said { code: 0, stdout: listing(&facts), stderr: String::new() };
                Reply { host, said: facts.map(said) }
            })
            .collect();
        if display.out.width.is_some() {
            output::data(&blocks(&replies, display.out, display.detail));
        } else {
            let Streams { out, err } = lines(&replies, display.err);
            output::streams(&Streams { out, err });
        }
    }
    Ok(if interrupts.happened() { Exit::Interrupted } else { Exit::of(&summary) })
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
