//! The actions of a drill: each stage is one program on one host.

use std::time::Duration;

use super::{FailoverDrill, Found, Mode};
use crate::model::HostName;
use crate::probe::Probe;
use crate::program;
use crate::program::{Handle, Library};
use crate::sh;
use crate::step::family::RUN;
use crate::step::{Action, Borrowed, Origin, Payload};

/// Asks Redis; see there.
static REDIS: Library = Library::new("redis.sh", include_str!("redis.sh"), &[]);
/// A stage; see there.
static DRILL: Library = Library::new("drill.sh", include_str!("drill.sh"), &[&REDIS]);
/// Names of hosts by their addresses.
static NAMES: Library = Library::new("names.sh", include_str!("names.sh"), &[]);
/// Addresses of nodes by their ids.
static NODE_ADDRESS: Library = Library::new("node_address.sh", include_str!("node_address.sh"), &[]);
/// Names of nodes by their tasks.
static WHEREABOUTS: Library =
    Library::new("whereabouts.sh", include_str!("whereabouts.sh"), &[&NAMES, &NODE_ADDRESS]);

program! {
    /// Stops the container.
    DrillStop in "drill_stop.sh" uses [RUN, DRILL] {
        service: Word, port: Number, key: Word, seconds: Number, nodes: List
    }
}
program! {
    /// Drains the node.
    DrillDrain in "drill_drain.sh" uses [RUN, DRILL] {
        service: Word, port: Number, key: Word, seconds: Number, nodes: List
    }
}
program! {
    /// Cuts the power of the node.
    DrillPower in "drill_power.sh" uses [DRILL, NAMES] {
        service: Word, port: Number, key: Word, seconds: Number, nodes: List, hosts: List, off: Word, on: Word
    }
}
program! {
    /// Asks for the address of the node.
    AskRunningAddress in "ask_running_address.sh" uses [NODE_ADDRESS] { service: Word }
}
program! {
    /// Waits until all is up again.
    WaitAllUp in "wait_all_up.sh" uses [WHEREABOUTS] { service: Word, seconds: Number, hosts: List }
}
program! {
    /// Tells how it went.
    ReportDrill in "report_drill.sh" uses [WHEREABOUTS] { service: Word, count: Number, hosts: List }
}

/// What runs on hosts for a drill.
pub(super) const PROGRAMS: &[Handle] = &[
    DrillStop::program,
    DrillDrain::program,
    DrillPower::program,
    AskRunningAddress::program,
    WaitAllUp::program,
    ReportDrill::program,
];

impl FailoverDrill {
    fn payload(&self) -> Payload {
        Payload(format!("{}\n", self.password.as_deref().unwrap_or_default()).into_bytes().into())
    }

    fn bound(&self) -> Duration {
        self.deadline + Duration::from_mins(3)
    }

    /// Address and name of each host in turn, as programs take them.
    fn hosts(&self) -> Vec<String> {
        self.hosts.iter().flat_map(|(address, name)| [address.clone(), name.to_string()]).collect()
    }

    pub(super) fn stop(&self, found: &Found) -> Action {
        let stage = DrillStop {
            service: &self.service,
            port: Some(self.port.into()),
            key: &self.key,
            seconds: Some(self.deadline.as_secs()),
            nodes: &found.addresses,
        };
        let action = Action::new(format!("stop the container of {}", self.service), stage.script())
            .payload(self.payload())
            .timeout(self.bound());
        match &found.host {
            Some(host) if !self.is_manager(host) => action.on(host.clone()),
            _ => action,
        }
    }

    fn is_manager(&self, host: &HostName) -> bool {
        self.manager.as_ref().is_some_and(|m| m.name == *host)
    }

    pub(super) fn drain(&self, found: &Found) -> Action {
        let stage = DrillDrain {
            service: &self.service,
            port: Some(self.port.into()),
            key: &self.key,
            seconds: Some(self.deadline.as_secs()),
            nodes: &found.addresses,
        };
        Action::new(format!("drain the node that runs {}", self.service), stage.script())
            .payload(self.payload())
            .timeout(self.bound())
    }

    pub(super) fn cut_power(&self, found: &Found) -> Action {
        let (off, on, host) = match (&self.power, &self.power_host) {
            (Some(power), Some(host)) => (power.off.as_str(), power.on.as_str(), host.clone()),
            _ => unreachable!("validate refuses the mode without its commands"),
        };
        let stage = DrillPower {
            service: &self.service,
            port: Some(self.port.into()),
            key: &self.key,
            seconds: Some(self.deadline.as_secs()),
            nodes: &found.addresses,
            hosts: &self.hosts(),
            off,
            on,
        };
        let manager = self.manager.as_ref().expect("set by validate").name.clone();
        let address = Probe::new(AskRunningAddress { service: &self.service }.script()).on(manager);
        Action::new(format!("cut the power of the node that runs {}", self.service), stage.script())
            .on(host)
            .borrow(Borrowed { what: "address of the node", from: Origin::Probe(address), secret: false })
            .payload(self.payload())
            .timeout(self.bound())
    }

    /// Before the next stage, all nodes are up and the service runs.
    pub(super) fn settle(&self) -> Action {
        let wait = WaitAllUp {
            service: &self.service,
            seconds: Some(self.deadline.as_secs()),
            hosts: &self.hosts(),
        };
        Action::new("wait until all nodes are up", wait.script()).timeout(self.bound())
    }

    /// The last output of the step is the report.
    pub(super) fn report(&self, found: &Found) -> Action {
        let manager = &self.manager.as_ref().expect("set by validate").name;
        let count = Some(2 * self.modes.len() as u64 + 2);
        let report = ReportDrill { service: &self.service, count, hosts: &self.hosts() };
        let mut action = Action::new("report", report.script());
        for mode in &self.modes {
            let file = format!("/run/hostwright-drill-{}-{}", self.service, mode.word());
            let host = match mode {
                Mode::Stop => found.host.clone().unwrap_or_else(|| manager.clone()),
                Mode::Drain => manager.clone(),
                Mode::Power => self.power_host.clone().unwrap_or_else(|| manager.clone()),
            };
            let from = Origin::Probe(Probe::new(sh!("cat {}", file)).on(host));
            action = action.borrow(Borrowed { what: "result of a stage", from, secret: false });
        }
        action
    }
}
