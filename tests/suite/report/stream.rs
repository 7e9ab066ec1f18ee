//! Made-up runs: the events of the first run on four hosts, of a fleet, and one event of every kind.

use std::collections::BTreeMap;

use hostwright::event::{
    Body, ChangeView, Entry, Event, Finished, Forecast, Mode, Outcome, PlayInfo, StepRef, Summary, VERSION,
};
use hostwright::model::{Failure, HostName, Place, PlayIndex, StepId};
use hostwright::step::{Field, Value};

pub(crate) fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

pub(crate) fn at(play: usize, step: &str, on: &str) -> StepRef {
    StepRef { play: PlayIndex::new(play), step: StepId::new(step), host: host(on) }
}

pub(crate) fn place(file: &str, line: u32) -> Place {
    Place { file: format!("playbooks/{file}.toml").into(), line, column: 1 }
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.into())
}

pub(crate) fn content(text: &str) -> Value {
    Value::Content(text.into())
}

pub(crate) fn change(summary: &str, fields: &[(&str, Value, Value)]) -> ChangeView {
    ChangeView {
        summary: summary.into(),
        fields: fields
            .iter()
            .map(|(name, before, after)| Field {
                name: (*name).into(),
                before: before.clone(),
                after: after.clone(),
            })
            .collect(),
        actions: vec![summary.into()],
        programs: vec![format!("act.sh what={summary:?}")],
        disrupts: None,
        notes: Vec::new(),
        always: false,
    }
}

/// A view, and a drill that always runs.
pub(crate) fn view() -> Stream {
    let hosts = names(&["manager-01", "worker-01", "worker-02"]);
    let mut s = Stream::new(Mode::Apply, &hosts, &[("status", "Status", &hosts, 3)]);
    let shows = |text: &str| Forecast::Unchanged {
        reason: "asked".into(),
        shows: text.into(),
        predicted: Vec::new(),
    };
    let nodes = (0, "nodes", "Nodes", "query", 5);
    s.plan(nodes, "manager-01", shows("ID  HOSTNAME   STATUS\nn1  centos-01  Ready\n\n10%\r100%\n"));
    let containers = (0, "containers", "Containers", "query", 9);
    for h in &hosts[1..] {
        s.plan(containers, h, shows("\x1b[2Jnone"));
    }
    let mut drill = change("drill the failover of redis: stop", &[]);
    drill.always = true;
    s.plan((0, "drill", "Drill", "failover_drill", 13), "manager-01", will(drill.clone(), &[]));
    s.plan_finished();
    s.push(Body::PlayStarted { play: PlayIndex::new(0) });
    s.finished(0, "nodes", "manager-01", Outcome::Unchanged);
    s.finish_with(0, "drill", "manager-01", Outcome::Changed, |f| {
        f.change = Some(drill);
        f.shows = "stop: the value came back after 12 s\nwhere it ran:\n  centos-01: Running".into();
    });
    s.finish_with(0, "containers", "worker-01", Outcome::Unchanged, |f| {
        f.reason = "asked".into();
        f.shows = "redis.1".into();
    });
    s.run_finished();
    s
}

/// Collects events, one every 100 ms, and keeps the summary.
pub(crate) struct Stream {
    pub(crate) events: Vec<Event>,
    pub(crate) hosts: Vec<HostName>,
    plays: Vec<PlayInfo>,
    names: BTreeMap<(usize, StepId), (String, String, Place)>,
    summary: Summary,
    at_ms: u64,
}

impl Stream {
    pub(crate) fn new(mode: Mode, hosts: &[String], plays: &[(&str, &str, &[String], usize)]) -> Self {
        let hosts: Vec<_> = hosts.iter().map(|h| host(h)).collect();
        let plays: Vec<_> = plays
            .iter()
            .map(|(name, title, on, steps)| PlayInfo {
                name: (*name).into(),
                title: (*title).into(),
                hosts: on.iter().map(|h| host(h)).collect(),
                steps: *steps,
            })
            .collect();
        let mut stream = Self {
            events: Vec::new(),
            hosts: hosts.clone(),
            plays: plays.clone(),
            names: BTreeMap::new(),
            summary: Summary::default(),
            at_ms: 0,
        };
        stream.push(Body::RunStarted { version: VERSION, mode, hosts, plays });
        stream
    }

    pub(crate) fn push(&mut self, body: Body) {
        self.summary.fold(&body);
        self.events.push(Event { at_ms: self.at_ms, body });
        self.at_ms += 100;
    }

    pub(crate) fn plan(&mut self, step: (usize, &str, &str, &str, u32), on: &str, forecast: Forecast) {
        let (play, id, name, kind, line) = step;
        let place = place(&self.plays[play].name, line);
        self.names.insert((play, StepId::new(id)), (name.into(), kind.into(), place.clone()));
        self.push(Body::Planned(Entry {
            at: at(play, id, on),
            name: name.into(),
            kind: kind.into(),
            place,
            handler: false,
            forecast,
        }));
    }

    pub(crate) fn plan_finished(&mut self) {
        let summary = self.summary.clone();
        self.push(Body::PlanFinished { summary });
        self.summary.restart();
    }

    pub(crate) fn started(&mut self, play: usize, step: &str, on: &str) {
        let name = self.names[&(play, StepId::new(step))].0.clone();
        self.push(Body::StepStarted { at: at(play, step, on), name });
    }

    pub(crate) fn finished(&mut self, play: usize, step: &str, on: &str, outcome: Outcome) {
        self.finish_with(play, step, on, outcome, |_| {});
    }

    pub(crate) fn finish_with(
        &mut self,
        play: usize,
        step: &str,
        on: &str,
        outcome: Outcome,
        adjust: impl FnOnce(&mut Finished),
    ) {
        let (name, kind, place) = self.names[&(play, StepId::new(step))].clone();
        let mut finished = Finished {
            at: at(play, step, on),
            name,
            kind,
            place,
            outcome,
            reason: String::new(),
            shows: String::new(),
            change: None,
            undo: None,
            failure: None,
            took_ms: 12_300,
            waited: None,
        };
        adjust(&mut finished);
        self.push(Body::StepFinished(finished));
    }

    pub(crate) fn run_finished(&mut self) {
        let summary = self.summary.clone();
        self.push(Body::RunFinished { summary, exchanges: BTreeMap::new() });
    }
}

pub(crate) fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|n| (*n).to_owned()).collect()
}

fn unchanged(reason: &str) -> Forecast {
    Forecast::Unchanged { reason: reason.into(), shows: String::new(), predicted: Vec::new() }
}

fn will(change: ChangeView, predicted: &[StepRef]) -> Forecast {
    Forecast::Change { change, predicted: predicted.to_vec() }
}

const EXPORTS_BEFORE: &str = "# exports(5)\n/srv/old 10.0.0.0/8(ro)\n/srv/a 10.0.0.0/8(ro)\n/srv/b 10.0.0.0/8(ro)\n\
    /srv/c 10.0.0.0/8(ro)\n/srv/d 10.0.0.0/8(ro)\n";
const EXPORTS_AFTER: &str = "# exports(5)\n/srv/a 10.0.0.0/8(ro)\n/srv/b 10.0.0.0/8(ro)\n/srv/c 10.0.0.0/8(ro)\n\
    /srv/d 10.0.0.0/8(ro)\n/mnt/nfs_file 192.168.158.0/24(rw,sync,root_squash)";

/// The plan of a first run on four hosts.
pub(crate) fn first_plan(mode: Mode) -> Stream {
    let four = names(&["nfs-01", "manager-01", "worker-01", "worker-02"]);
    let clients = four[1..].to_vec();
    let mut s = Stream::new(
        mode,
        &four,
        &[
            ("10-nfs-server", "NFS server", &four[..1], 5),
            ("20-nfs-clients", "NFS clients", &clients, 3),
            ("30-docker", "Docker Engine", &four, 2),
        ],
    );
    for h in &four {
        s.push(Body::HostConnecting { host: host(h) });
    }
    for h in &four[..3] {
        s.push(Body::HostConnected { host: host(h) });
    }
    s.push(Body::HostUnreachable {
        host: host("worker-02"),
        failure: Failure::new("connect to host 192.168.158.146 port 22: No route to host")
            .hint("is the host up? try: ssh 192.168.158.146"),
    });
    let (packages, service) =
        ((0, "packages", "NFS server packages", "package", 5), (0, "service", "NFS server", "service", 9));
    s.plan(
        packages,
        "nfs-01",
        will(
            change(
                "install nfs-utils, rpcbind",
                &[
                    ("nfs-utils", Value::Absent, text("installed")),
                    ("rpcbind", Value::Absent, text("installed")),
                ],
            ),
            &[],
        ),
    );
    s.plan(
        service,
        "nfs-01",
        will(
            change(
                "enable and start nfs-server",
                &[("enabled", Value::Unknown, text("yes")), ("running", Value::Unknown, text("yes"))],
            ),
            &[at(0, "packages", "nfs-01")],
        ),
    );
    let mut export =
        change("export /mnt/nfs_file", &[("/etc/exports", content(EXPORTS_BEFORE), content(EXPORTS_AFTER))]);
    export.notes.push("clients outside 192.168.158.0/24 lose /srv/old".into());
    s.plan((0, "share", "Share for the containers", "nfs_export", 13), "nfs-01", will(export, &[]));
    s.plan((0, "hostname", "Name of the host", "hostname", 21), "nfs-01", unchanged("nfs-01"));
    s.plan(
        (0, "firewall", "Let NFS through", "firewall", 24),
        "nfs-01",
        Forecast::Skipped { why: "`when` is false: facts.firewalld".into() },
    );
    for client in &clients[..2] {
        s.plan(
            (1, "packages", "NFS client packages", "package", 5),
            client,
            unchanged("installed: nfs-utils 2.5.4"),
        );
        let mut mount = change(
            "mount /mnt/nfs_file from nfs-01, now and at boot",
            &[
                ("source", text("192.168.158.99:/srv/old"), text("192.168.158.143:/mnt/nfs_file")),
                ("options", text("rw,hard"), text("rw,hard,_netdev,nfsvers=4.2,timeo=600,retrans=2,noatime")),
                ("password", Value::Masked, Value::Masked),
                ("note", text("x"), Value::Absent),
            ],
        );
        mount.disrupts = Some("unmounts /mnt/nfs_file: the 3 processes that use it lose it".into());
        s.plan(
            (1, "mount", "Mount the share", "mount", 9),
            client,
            will(mount, &[at(0, "share", "nfs-01"), at(1, "packages", client)]),
        );
        s.plan(
            (1, "token", "Write the token", "file", 17),
            client,
            Forecast::Unknown { until: "step \"Share for the containers\" has run".into() },
        );
    }
    for h in &four[..3] {
        let mut failure = Failure::new("unit docker.service not found");
        failure.causes.push("no step before this one installs it".into());
        failure.hint = Some("add a docker_engine step before it".into());
        if h == "manager-01" {
            s.plan((2, "docker", "Docker is running", "service", 4), h, Forecast::Error { failure });
        } else {
            s.plan((2, "docker", "Docker is running", "service", 4), h, unchanged("active, enabled"));
        }
        let mut drill = change("run /usr/local/bin/report", &[]);
        drill.always = true;
        s.plan((2, "report", "Tell the old inventory", "command", 12), h, will(drill, &[]));
    }
    s.plan((2, "docker", "Docker is running", "service", 4), "worker-02", Forecast::Unreachable);
    s
}

/// The plan, and an apply in which all kinds of things happen.
pub(crate) fn first_apply() -> Stream {
    let mut s = first_plan(Mode::Apply);
    s.plan_finished();
    s.push(Body::PlayStarted { play: PlayIndex::new(0) });
    s.started(0, "packages", "nfs-01");
    s.push(Body::ActionStarted {
        at: at(0, "packages", "nfs-01"),
        label: "install nfs-utils, rpcbind".into(),
        program: "act_on_packages.sh packages=\"nfs-utils rpcbind\" state=present".into(),
    });
    s.push(Body::Output {
        at: at(0, "packages", "nfs-01"),
        line: "  Installing : nfs-utils-1:2.5.4-26.el9.x86_64    5/7".into(),
        stderr: false,
    });
    s.finish_with(0, "packages", "nfs-01", Outcome::Changed, |f| {
        f.change =
            Some(change("install nfs-utils, rpcbind", &[("nfs-utils", Value::Absent, text("installed"))]));
    });
    s.started(0, "service", "nfs-01");
    s.finish_with(0, "service", "nfs-01", Outcome::Changed, |f| f.took_ms = 800);
    s.finish_with(0, "share", "nfs-01", Outcome::Changed, |f| {
        f.took_ms = 187_000;
        f.change = Some(change(
            "export /mnt/nfs_file",
            &[("/etc/exports", content(EXPORTS_BEFORE), content(EXPORTS_AFTER))],
        ));
    });
    s.finish_with(0, "hostname", "nfs-01", Outcome::Unchanged, |f| f.reason = "nfs-01".into());
    s.finish_with(0, "firewall", "nfs-01", Outcome::Skipped, |f| f.reason = "`when` is false".into());
    s.push(Body::PlayStarted { play: PlayIndex::new(1) });
    s.push(Body::Warning {
        host: Some(host("manager-01")),
        message: "its clock is 42 s behind the others".into(),
    });
    s.push(Body::Warning { host: None, message: "two hosts call themselves \"centos-01\"".into() });
    for client in ["manager-01", "worker-01"] {
        s.finish_with(1, "packages", client, Outcome::Unchanged, |f| f.reason = "installed".into());
        s.started(1, "mount", client);
        s.push(Body::StepRetried {
            at: at(1, "mount", client),
            left: 1,
            failure: Failure::new("mount.nfs: Connection timed out"),
        });
    }
    // It is still at the playbook before: there is no barrier between the two.
    s.finished(0, "service", "nfs-01", Outcome::Changed);
    s.finished(1, "mount", "manager-01", Outcome::Changed);
    s.finish_with(1, "mount", "worker-01", Outcome::Failed, |f| {
        f.change = Some(change("mount /mnt/nfs_file from nfs-01, now and at boot", &[]));
        f.failure = Some(Failure {
            message: "`mount /mnt/nfs_file` failed".into(),
            causes: Vec::new(),
            command: Some("mount -t nfs4 -o rw,hard 192.168.158.143:/mnt/nfs_file /mnt/nfs_file".into()),
            program: None,
            code: Some(32),
            differs: Vec::new(),
            output:
                "mount.nfs4: trying text-based options\nmount.nfs4: access denied by server while mounting \
                192.168.158.143:/mnt/nfs_file\n"
                    .into(),
            denied: false,
            hint: Some("the export on nfs-01 does not list 192.168.158.145".into()),
        });
    });
    for h in ["worker-01", "manager-01"] {
        s.finish_with(1, "token", h, Outcome::Skipped, |f| f.reason = "an earlier step failed".into());
    }
    s.run_finished();
    s
}

/// Forty hosts, most of which say the same.
pub(crate) fn fleet(mode: Mode) -> Stream {
    let all: Vec<_> =
        (1..=38).map(|n| format!("worker-{n:02}")).chain(names(&["db", "文字列-not"])).collect();
    let all: Vec<_> =
        all.into_iter().map(|n| n.replace("文字列-not", "gateway-of-the-second-datacentre")).collect();
    let mut s = Stream::new(mode, &all, &[("30-docker", "Docker Engine", &all, 3)]);
    for (n, h) in all.iter().enumerate() {
        let version = if n == 7 { "19.03.1" } else { "20.10.6" };
        s.plan(
            (0, "engine", "Docker Engine", "docker_engine", 4),
            h,
            will(change("upgrade docker-ce", &[("version", text(version), text("26.1.4"))]), &[]),
        );
        let forecast = if n.is_multiple_of(5) {
            unchanged("active")
        } else {
            will(
                change("restart docker", &[("running", text("old version"), text("new version"))]),
                &[at(0, "engine", h)],
            )
        };
        s.plan((0, "service", "Docker is running", "service", 9), h, forecast);
        s.plan((0, "user", "漢字のユーザー", "user", 14), h, unchanged("there"));
    }
    s
}

pub(crate) fn fleet_apply() -> Stream {
    let mut s = fleet(Mode::Apply);
    s.plan_finished();
    s.push(Body::PlayStarted { play: PlayIndex::new(0) });
    let hosts: Vec<_> = s.hosts.iter().map(ToString::to_string).collect();
    for h in &hosts {
        s.started(0, "engine", h);
    }
    for (n, h) in hosts.iter().enumerate() {
        match n {
            3 => {
                s.push(Body::HostUnreachable {
                    host: host(h),
                    failure: Failure::new("the connection was lost: broken pipe"),
                });
                s.finished(0, "engine", h, Outcome::Unreachable);
                continue;
            }
            11 | 12 => {
                s.finish_with(0, "engine", h, Outcome::Failed, |f| {
                    f.failure = Some(Failure {
                        differs: change(
                            "",
                            &[
                                ("version", text("20.10.6"), text("26.1.4")),
                                ("password", Value::Masked, Value::Masked),
                                ("daemon.json", content("{\n  \"a\": 1\n}\n"), content("{\n  \"a\": 2\n}\n")),
                            ],
                        )
                        .fields,
                        ..Failure::new("did not hold: the host is not as described after the actions")
                    });
                });
                continue;
            }
            _ => s.finished(0, "engine", h, Outcome::Changed),
        }
        s.finished(0, "service", h, if n.is_multiple_of(5) { Outcome::Unchanged } else { Outcome::Changed });
        s.finished(0, "user", h, Outcome::Unchanged);
    }
    s.run_finished();
    s
}

/// The plan, with hosts that are left out; then the user breaks the apply off.
pub(crate) fn left_out_plan(mode: Mode) -> Stream {
    let hosts = names(&["nfs-01", "worker-01", "worker-02", "worker-03", "db-01", "db-02", "gone"]);
    let mut s = Stream::new(mode, &hosts, &[("site", "Site", &hosts, 3), ("more", "More", &hosts, 1)]);
    s.push(Body::HostUnreachable { host: host("gone"), failure: Failure::new("No route to host") });
    let (share, mount, packages) = (
        (0, "share", "Share", "nfs_export", 5),
        (0, "mount", "Mount", "mount", 9),
        (0, "packages", "Packages", "package", 12),
    );
    let refused = || Forecast::Error {
        failure: Failure::new("sudo: joe may not run commands as root").hint("add joe to the sudoers"),
    };
    s.plan(share, "nfs-01", refused());
    for h in &hosts[1..4] {
        s.plan(mount, h, Forecast::LeftOut);
    }
    s.plan(packages, "nfs-01", refused());
    for h in &hosts[1..4] {
        s.plan(packages, h, Forecast::LeftOut);
    }
    let install = || will(change("install vim", &[("vim", Value::Absent, text("installed"))]), &[]);
    for h in &hosts[4..6] {
        s.plan(packages, h, install());
    }
    s.plan(packages, "gone", Forecast::Unreachable);
    for h in &hosts[4..6] {
        s.plan((1, "file", "File", "file", 3), h, unchanged("there"));
    }
    let out = |reason: &str, of: &str, step, needs: &[&str]| Body::HostLeftOut {
        host: host(of),
        reasons: vec![reason.into()],
        steps: vec![at(0, step, of)],
        needs: needs.iter().map(|h| host(h)).collect(),
    };
    s.push(out("2 steps cannot work: sudo: joe may not run commands as root", "nfs-01", "share", &[]));
    for h in &hosts[1..4] {
        s.push(out(
            "needs the NFS export /mnt/nfs_file of nfs-01, which is left out",
            h,
            "mount",
            &["nfs-01"],
        ));
    }
    s
}

/// The plan of [`left_out_plan`] applied in part: `db-02` is not reached.
pub(crate) fn interrupted() -> Stream {
    let mut s = left_out_plan(Mode::Apply);
    s.plan_finished();
    // Five minutes at the question.
    s.at_ms += 300_000;
    s.push(Body::PlayStarted { play: PlayIndex::new(0) });
    s.finished(0, "packages", "db-01", Outcome::Changed);
    s.push(Body::Warning { host: None, message: "interrupted: no further step starts".into() });
    s.finish_with(0, "packages", "db-02", Outcome::NotReached, |f| f.reason = "the run was stopped".into());
    s.summary.interrupted = true;
    for h in ["db-01", "db-02"] {
        s.summary.hosts.get_mut(&host(h)).unwrap().not_reached += 1;
        s.summary.total.not_reached += 1;
    }
    s.run_finished();
    s
}

/// Every kind of event once, for the JSON form.
pub(crate) fn one_of_each() -> Vec<Event> {
    let mut s = first_apply();
    s.push(Body::Answered { host: host("nfs-01"), code: 1, stdout: "out\n".into(), stderr: "err\n".into() });
    s.push(Body::Said { host: host("nfs-01"), stderr: true, number: 2, line: "err".into() });
    s.push(Body::NotAnswered {
        host: host("nfs-01"),
        failure: Failure { denied: true, ..Failure::new("no sudo") },
    });
    s.events.extend(interrupted().events);
    let mut seen = std::collections::BTreeSet::new();
    s.events.retain(|e| {
        let json = serde_json::to_value(e).unwrap();
        let mut key = json["event"].as_str().unwrap().to_owned();
        for detail in ["forecast", "outcome"] {
            key.extend(json.get(detail).and_then(|v| v.as_str()).map(|v| format!(" {v}")));
        }
        seen.insert(key)
    });
    s.events
}
