//! `runs`: who holds hosts, and what goes on there whoever may listen; and how to stop it.

use std::fmt::Write as _;

use super::args::{Format, Runs};
use super::common::{self, Ready};
use super::exit::Exit;
use super::interrupt::Interrupts;
use super::output;
use super::settings::{self, Display};
use crate::engine::{self, Held, Way};
use crate::harmless;
use crate::model::{HostName, Privilege};
use crate::report::{Look, table};
use crate::transport::detach::{Left, State};
use crate::transport::{Holder, Locking};

/// What is known of one host.
struct Found {
    host: HostName,
    holder: Option<Holder>,
    left: Vec<Left>,
}

/// `runs --on PATTERN [--stop RUN]`.
pub(super) async fn runs(args: &Runs, display: &Display) -> std::io::Result<Exit> {
    let wanted = settings::of_pattern(&args.inventory, &args.on);
    let ready = common::prepare(wanted, &args.connection, Locking::Look, display);
    let Ready { run, redactor, options, connector, .. } = match ready {
        Ok(ready) => ready,
        Err(exit) => return Ok(exit),
    };
    let privilege = if args.as_login_user { Privilege::Login } else { Privilege::root() };
    let interrupts = Interrupts::listen(None)?;
    let way = Way { options: &options, connector, cancel: interrupts.cancel.clone(), events: None };
    let stop = args.stop.as_deref();
    let (answers, held) = engine::runs(&run.hosts, stop, privilege, way).await;
    let mut exit = Exit::Done;
    let mut found = Vec::new();
    for (host, answer) in answers {
        match answer {
            Ok(left) => {
                let holder = holder(&held, &host.name);
                found.push(Found { host: host.name.clone(), holder, left });
            }
            Err((reached, failure)) => {
                output::message(&redactor.redact(&format!("error: {}: {}", host.name, failure.message)));
                if let Some(hint) = failure.hint {
                    output::message(&format!("hint: {hint}"));
                }
                exit = if reached || exit == Exit::Failed { Exit::Failed } else { Exit::Unreachable };
            }
        }
    }
    if display.format == Format::Json {
        output::data(&json(&found));
    } else {
        output::data(&redactor.redact(&text(&found, display.out)));
        if exit == Exit::Done && found.iter().all(|f| f.left.is_empty() && f.holder.is_none()) {
            output::message("No run holds any of these hosts, and no action goes on there.");
        }
    }
    Ok(if interrupts.happened() { Exit::Interrupted } else { exit })
}

fn holder(held: &Held, host: &HostName) -> Option<Holder> {
    held.iter().find(|(h, _)| h.name == *host).map(|(_, holder)| holder.clone())
}

fn state(state: State) -> String {
    match state {
        State::Running => "running".into(),
        State::Ended(code) => format!("ended, code {code}"),
        State::Gone => "cut off".into(),
    }
}

fn text(found: &[Found], look: Look) -> String {
    let mut out = String::new();
    for Found { host, holder, .. } in found {
        if let Some(holder) = holder {
            // `write!` to a string cannot fail.
            let _ = writeln!(out, "{host}: locked by {holder}");
        }
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .flat_map(|f| f.left.iter().map(|left| (&f.host, left)))
        .map(|(host, left)| {
            let age = jiff::SignedDuration::from_secs(i64::try_from(left.age.as_secs()).unwrap_or(i64::MAX));
            vec![
                host.to_string(),
                left.run.clone(),
                state(left.state),
                format!("{age:#}"),
                left.about.clone(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        out.push_str(&table(&["host", "run", "state", "age", "action"], &rows, look).join("\n"));
        out.push('\n');
    }
    out
}

fn json(found: &[Found]) -> String {
    found
        .iter()
        .map(|Found { host, holder, left }| {
            let said = |holder: &Holder| {
                let mut said: serde_json::Map<String, serde_json::Value> =
                    holder.said.iter().map(|(word, said)| (word.clone(), said.clone().into())).collect();
                said.insert("run".into(), holder.run.clone().into());
                serde_json::Value::from(said)
            };
            let actions: Vec<_> = left
                .iter()
                .map(|left| {
                    serde_json::json!({
                        "run": left.run, "action": left.action, "state": state(left.state),
                        "age_s": left.age.as_secs(), "about": left.about,
                    })
                })
                .collect();
            let line =
                serde_json::json!({ "host": host, "lock": holder.as_ref().map(said), "actions": actions });
            harmless::json(&line) + "\n"
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_tells_who_holds_a_host_and_what_goes_on() {
        let left = Left {
            run: "r1".into(),
            action: "1-play-step".into(),
            state: State::Running,
            age: Duration::from_secs(75),
            about: "install nfs-utils".into(),
        };
        let said = vec![("user".to_owned(), "ann".to_owned())];
        let holder = Holder { run: "r1".into(), said, actions: Vec::new() };
        let found = [Found { host: HostName::new("a").unwrap(), holder: Some(holder), left: vec![left] }];
        let look = Look { width: None, color: false, unicode: false };
        assert_eq!(
            text(&found, look),
            "a: locked by an apply of ann (run r1)\n\
             host  run  state    age     action\n\
             a     r1   running  1m 15s  install nfs-utils\n"
        );
        assert!(json(&found).contains(r#""lock":{"user":"ann","run":"r1"}"#), "{}", json(&found));
    }
}
