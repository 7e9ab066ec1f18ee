//! `hosts --connections` and `hosts --close`: the connections that are kept for later runs.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::args::Format;
use super::exit::Exit;
use super::output;
use super::records::time;
use super::settings::Display;
use crate::harmless;
use crate::model::HostName;
use crate::report::{Look, table};
use crate::transport::kept::{Folder, Kept, Standing};

/// Lists those with these hosts, or closes them.
pub(super) fn connections(hosts: &[&HostName], close: bool, display: &Display) -> Exit {
    let folder = match Folder::of_user() {
        Ok(folder) => folder,
        Err(why) => {
            return output::complain(
                &format!("no connections are kept: {why}"),
                "remove it, or set its mode to 0700",
            );
        }
    };
    let of_these = |(kept, _): &(Kept, Standing)| hosts.contains(&&kept.host);
    let found: Vec<_> = folder.connections().into_iter().filter(of_these).collect();
    let now = SystemTime::now();
    if display.format == Format::Json {
        let lines = found.iter().map(|(kept, _)| harmless::json(&line(kept, now)) + "\n");
        output::data(&lines.collect::<String>());
    } else if !close && !found.is_empty() {
        output::data(&text(found.iter().map(|(kept, _)| kept), now, display.out));
    }
    if close {
        let closed = found.into_iter().filter_map(|(kept, standing)| standing.close().then_some(kept.host));
        let names: Vec<String> = closed.map(|host| host.to_string()).collect();
        output::message(&match &names[..] {
            [] => "No connection was kept.".to_owned(),
            names => format!("Closed: {}.", names.join(", ")),
        });
    } else if found.is_empty() {
        output::message("No connection is kept.");
    }
    Exit::Done
}

fn text<'a>(all: impl Iterator<Item = &'a Kept>, now: SystemTime, look: Look) -> String {
    let rows: Vec<Vec<String>> = all
        .map(|kept| {
            let Kept { host, destination, keep, .. } = kept;
            vec![host.to_string(), destination.clone(), time(age(kept, now)), time(*keep)]
        })
        .collect();
    table(&["host", "destination", "open for", "kept unused for"], &rows, look).join("\n") + "\n"
}

fn line(kept: &Kept, now: SystemTime) -> serde_json::Value {
    json!({
        "host": kept.host, "destination": kept.destination,
        "open_s": age(kept, now).as_secs(), "keep_s": kept.keep.as_secs(),
    })
}

fn age(kept: &Kept, now: SystemTime) -> Duration {
    now.duration_since(kept.since).unwrap_or_default()
}
