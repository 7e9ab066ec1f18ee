//! `hosts`: who is in the inventory.

use super::args::{Format, Hosts};
use super::exit::Exit;
use super::settings::{self, Display};
use super::start::wait;
use super::{common, connections, output, scan};
use crate::harmless;
use crate::model::Host;
use crate::report::{Look, table};

pub(super) fn hosts(args: &Hosts, display: &Display) -> Exit {
    let mut wanted = settings::of_hosts(&args.inventory, &args.target);
    wanted.ssh_config.clone_from(&args.way.ssh_config);
    let (run, loaded) = match common::load(&wanted, display) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if args.scan {
        return wait(scan::scan(args, &run.hosts, loaded.forks, display));
    }
    if args.connections || args.close {
        let names: Vec<_> = run.hosts.iter().map(|host| &host.name).collect();
        return connections::connections(&names, args.close, display);
    }
    let hosts = run.hosts.iter().map(|h| &**h);
    output::data(&if display.format == Format::Json { json(hosts) } else { text(hosts, display.out) });
    Exit::Done
}

fn text<'a>(hosts: impl Iterator<Item = &'a Host>, look: Look) -> String {
    let rows: Vec<Vec<String>> = hosts
        .map(|host| {
            let address = match (host.login.local, host.login.port) {
                (true, _) => "(this machine)".to_owned(),
                (_, Some(port)) => format!("{} port {port}", host.login.address),
                (_, None) => host.login.address.clone(),
            };
            let user = host.login.user.clone().unwrap_or_else(|| "-".into());
            vec![host.name.to_string(), address, user, host.groups.join(", ")]
        })
        .collect();
    table(&["host", "address", "user", "groups"], &rows, look).join("\n") + "\n"
}

fn json<'a>(hosts: impl Iterator<Item = &'a Host>) -> String {
    hosts
        .map(|host| {
            let groups: Vec<&str> = host.groups.iter().map(|g| &**g).collect();
            let line = serde_json::json!({
                "name": host.name, "address": host.login.address, "port": host.login.port,
                "user": host.login.user, "groups": groups, "local": host.login.local,
            });
            harmless::json(&line) + "\n"
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HostName, Login, Place};

    fn sample() -> Vec<Host> {
        let host = |name: &str, login: Login, groups: &[&str]| Host {
            name: HostName::new(name).unwrap(),
            login,
            groups: groups.iter().map(|g| (*g).into()).collect(),
            vars: std::sync::Arc::default(),
            place: Place { file: "inventory.toml".into(), line: 1, column: 1 },
        };
        let at = |address: &str| Login { address: address.into(), ..Login::default() };
        vec![
            host(
                "nfs-01",
                Login { user: Some("root".into()), ..at("192.168.158.143") },
                &["nfs_server", "storage"],
            ),
            host("worker-01", Login { port: Some(2222), ..at("worker.example") }, &[]),
            host("here", Login { local: true, ..at("here") }, &["control"]),
        ]
    }

    #[test]
    fn reads_as_a_table_and_as_json() {
        assert_eq!(
            text(sample().iter(), Look::PLAIN),
            "\
host       address                   user  groups
nfs-01     192.168.158.143           root  nfs_server, storage
worker-01  worker.example port 2222  -
here       (this machine)            -     control
"
        );
        let first: serde_json::Value =
            serde_json::from_str(json(sample().iter()).lines().next().unwrap()).unwrap();
        assert_eq!(
            first,
            serde_json::json!({
                "name": "nfs-01", "address": "192.168.158.143", "port": null, "user": "root",
                "groups": ["nfs_server", "storage"], "local": false,
            })
        );
    }
}
