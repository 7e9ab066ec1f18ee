//! `package`: packages that are installed, in a version, or not.

use std::time::Duration;

use serde::Deserialize;

use super::family::RUN;
use super::family::existence::Existence;
use super::family::packages::{self, PackageManager, Packages, Standing, Wanted};
use super::{Action, Change, Context, Field, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::value::one_or_many;
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::{Library, Programs};
use crate::shell::Script;

/// Runs a package manager; see there.
static MANAGE: Library = Library::new("package/manage.sh", include_str!("package/manage.sh"), &[]);

program! {
    /// Installs packages, or puts other versions in place of those that are there.
    InstallPackages in "package/install_packages.sh" uses [MANAGE] {
        manager: Word, packages: List, names: List, versions: List
    }
}
program! {
    /// Removes packages, and these alone.
    RemovePackages in "package/remove_packages.sh" uses [MANAGE] { manager: Word, packages: List }
}

program! {
    /// Puts right what a package manager that was cut off has left.
    CompletePackages in "package/complete_packages.sh" uses [RUN, MANAGE] { manager: Word, again: List }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs =
    &[&[InstallPackages::program, RemovePackages::program, CompletePackages::program], packages::PROGRAMS];

/// What a package manager that was cut off has left, on a host.
const CUT_OFF: &str = "(cut-off)";

/// And the field that tells it.
const CUT_OFF_FIELD: &str = "package manager";

/// A download of some hundred megabytes over a slow line, and a busy lock before it.
const INSTALL_TIMEOUT: Duration = Duration::from_mins(30);

/// Packages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    #[serde(deserialize_with = "one_or_many")]
    names: Vec<String>,
    #[serde(default)]
    state: Existence,
    #[serde(skip)]
    wanted: Vec<Wanted>,
}

impl Validate for Package {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        if self.names.is_empty() {
            invalid.push(Invalid::new("names", "no package is named"));
        }
        for (n, name) in self.names.iter().enumerate() {
            match Wanted::parse(name) {
                Ok(wanted) if self.state == Existence::Absent && wanted.version.is_some() => {
                    invalid.push(
                        Invalid::new(format!("names[{n}]"), "a package is removed whatever its version is")
                            .help(format!("write {:?}", wanted.name)),
                    );
                }
                Ok(wanted) if self.wanted.contains(&wanted) => {}
                Ok(wanted) => self.wanted.push(wanted),
                Err(why) => invalid.push(Invalid::new(format!("names[{n}]"), format!("{name:?} {why}"))),
            }
        }
        invalid
    }
}

impl Step for Package {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.probe();
        let found = packages::read(&probe, readings.of(&probe)?, &self.wanted)?;
        let Some(manager) = found.manager else {
            return Err(CheckError::refused(
                "this host has none of dnf, yum and apt-get",
                "install its packages in another way, with a `command` step".to_owned(),
            ));
        };
        let verdict = match self.state {
            Existence::Present => self.present(readings, &found, manager),
            Existence::Absent => self.absent(readings, &found, manager)?,
        };
        Ok(completed(readings, &found, manager, verdict))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        let fields = change.fields.iter().filter(|field| field.name != CUT_OFF_FIELD);
        let (mut made, mut gone, mut stays) = (Vec::new(), Vec::new(), Inverse::nothing());
        for field in fields {
            let name = field.name.as_str();
            match (&field.before, &field.after) {
                (Value::Absent, _) => made.push(name),
                (_, Value::Absent) => gone.push(name),
                (Value::Text(before), _) => {
                    stays =
                        stays.stays(format!("{name} was {before} before: an older version is not put back"));
                }
                _ => stays = stays.stays(format!("what {name} was before is not known")),
            }
        }
        let mut back = Inverse::nothing();
        if !made.is_empty() {
            back = back.step("package", [("names", made.into()), ("state", "absent".into())]);
        }
        if !gone.is_empty() {
            back = back.step("package", [("names", gone.into())]);
        }
        back.and(stays)
    }

    fn provides(&self) -> Vec<Resource> {
        if self.state == Existence::Absent {
            return Vec::new();
        }
        let names = self.wanted.iter().flat_map(Wanted::names);
        let mut provides: Vec<_> = names.map(|name| Resource::here(Kind::Package, name)).collect();
        provides.extend([Kind::Unit, Kind::Command, Kind::User, Kind::Group, Kind::Path].map(Resource::any));
        provides
    }

    fn needs(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::Repository, super::repository::VAULT)]
    }
}

impl Package {
    fn probe(&self) -> Probe {
        packages::probe(&self.wanted, self.state == Existence::Absent)
    }

    fn present(&self, readings: &Readings, found: &Packages, manager: PackageManager) -> Verdict {
        let mut fields = Vec::new();
        let mut missing = Vec::new();
        let mut other = Vec::new();
        let mut have = Vec::new();
        for wanted in &self.wanted {
            let standing = match readings.expected(&Resource::here(Kind::Package, &wanted.name)) {
                Some(State::Present) if wanted.version.is_none() => Standing::Installed(wanted.name.clone()),
                Some(State::Value(version)) if wanted.version.as_ref().is_none_or(|v| v == version) => {
                    Standing::Installed(format!("{} {version}", wanted.name))
                }
                Some(State::Absent) => Standing::Missing,
                _ => found.standing(wanted),
            };
            match standing {
                Standing::Installed(what) => have.push(what),
                Standing::Provided(by) => have.push(format!("{} (provided by {by})", wanted.name)),
                Standing::Missing => {
                    let after = wanted.version.clone().unwrap_or_else(|| "installed".into());
                    fields.push((wanted.name.clone(), Value::Absent, after));
                    missing.push(wanted);
                }
                Standing::Other { name, version, wanted: after } => {
                    fields.push((name.clone(), version.clone().into(), after));
                    other.push((wanted, name, version));
                }
            }
        }
        if fields.is_empty() {
            return Verdict::satisfied(format!("installed: {}", have.join(", ")));
        }
        let texts = |list: &[&Wanted]| list.iter().map(|w| w.text.clone()).collect::<Vec<_>>().join(", ");
        let changed: Vec<&Wanted> = other.iter().map(|(w, ..)| *w).collect();
        let summary = match (missing.is_empty(), changed.is_empty()) {
            (false, true) => format!("install {}", texts(&missing)),
            (true, _) => format!("change the version to {}", texts(&changed)),
            (false, false) => {
                format!("install {}; change the version to {}", texts(&missing), texts(&changed))
            }
        };
        let all: Vec<&Wanted> = missing.iter().copied().chain(changed.iter().copied()).collect();
        let mut change = Change::new(summary.clone());
        for (name, before, after) in fields {
            change = change.field(name, before, after);
        }
        change = change
            .action(Action::new(summary, install(manager, &all, &other)).timeout(INSTALL_TIMEOUT).lasting());
        if !other.is_empty() {
            let list: Vec<_> = other.iter().map(|(_, name, version)| format!("{name} {version}")).collect();
            change.disrupts =
                Some(format!("replaces {}: services that use it may be restarted", list.join(", ")));
        }
        let cured = readings
            .expected(&Resource::here(Kind::Repository, super::repository::VAULT))
            .is_some_and(|s| *s == State::Present);
        if let Some(file) = &found.dead_repository
            && !cured
        {
            change = change.note(format!(
                "{file} asks mirrorlist.centos.org, which is gone: an earlier step `repository = {{ centos_vault = \
                 true }}` would choose the archive"
            ));
        }
        for wanted in all {
            let state = wanted.version.clone().map_or(State::Present, State::Value);
            change = change.expect(Resource::here(Kind::Package, &wanted.name), state);
        }
        Verdict::Drift(change)
    }

    fn absent(
        &self,
        readings: &Readings,
        found: &Packages,
        manager: PackageManager,
    ) -> Result<Verdict, CheckError> {
        let mut change = Change::default();
        let mut names: Vec<String> = Vec::new();
        for wanted in &self.wanted {
            let resource = Resource::here(Kind::Package, &wanted.name);
            let before: Value = match (readings.expected(&resource), found.standing(wanted)) {
                (Some(State::Absent), _) | (None, Standing::Missing | Standing::Provided(_)) => continue,
                (Some(_), _) => "installed".into(),
                (None, Standing::Installed(what)) => what.into(),
                (None, Standing::Other { name, version, .. }) => format!("{name} {version}").into(),
            };
            names.push(wanted.name.clone());
            change = change.field(&*wanted.name, before, Value::Absent).expect(resource, State::Absent);
        }
        if names.is_empty() {
            return Ok(Verdict::satisfied("not installed"));
        }
        // What apt would remove beside it are names; rpm says in a sentence who needs it.
        let others: Vec<&str> =
            found.dependents.iter().filter(|d| !names.contains(d)).map(String::as_str).collect();
        if !others.is_empty() {
            let message = match manager {
                PackageManager::Apt => {
                    format!("{} would go with {}", others.join(", "), names.join(", "))
                }
                _ => others.join("; "),
            };
            return Err(CheckError::refused(
                message,
                "name what needs it in this step as well, if that is to go, too".to_owned(),
            ));
        }
        change.summary = format!("remove {}", names.join(", "));
        let label = change.summary.clone();
        let remove = RemovePackages { manager: manager.word(), packages: &names };
        Ok(Verdict::Drift(
            change.action(Action::new(label, remove.script()).timeout(INSTALL_TIMEOUT).lasting()),
        ))
    }
}

/// The verdict on a host on which a package manager works, or was cut off: that is put right before anything else.
fn completed(readings: &Readings, found: &Packages, manager: PackageManager, verdict: Verdict) -> Verdict {
    let what = &found.cut_off.what;
    let resource = Resource::here(Kind::Package, CUT_OFF);
    let mut change = match verdict {
        Verdict::Drift(change) => change,
        other if what.is_empty() => return other,
        _ => Change::default(),
    };
    if let Some(busy) = &found.busy {
        change = change.note(format!(
            "{busy} holds the lock of the package manager now: it is waited for, up to 10 minutes"
        ));
    }
    if what.is_empty() || readings.expected(&resource) == Some(&State::Absent) {
        return if change.summary.is_empty() {
            Verdict::satisfied("as described, once what was cut off is complete")
        } else {
            Verdict::Drift(change)
        };
    }
    let label = "complete what a package manager that was cut off has left";
    change.summary =
        if change.summary.is_empty() { label.into() } else { format!("{label}; {}", change.summary) };
    let complete = CompletePackages { manager: manager.word(), again: &found.cut_off.again };
    change.actions.insert(0, Action::new(label, complete.script()).timeout(INSTALL_TIMEOUT).lasting());
    let field = Field {
        name: CUT_OFF_FIELD.into(),
        before: format!("cut off: {}", what.join(", ")).into(),
        after: "complete".into(),
    };
    change.fields.insert(0, field);
    Verdict::Drift(change.expect(resource, State::Absent))
}

fn install(manager: PackageManager, all: &[&Wanted], changed: &[(&Wanted, String, String)]) -> Script {
    let joint = if manager == PackageManager::Apt { "=" } else { "-" };
    let word =
        |w: &Wanted| w.version.as_ref().map_or_else(|| w.name.clone(), |v| format!("{}{joint}{v}", w.name));
    let names: Vec<String> = changed.iter().map(|(_, name, _)| name.clone()).collect();
    let versions: Vec<String> = changed.iter().map(|(wanted, ..)| word(wanted)).collect();
    let packages: Vec<String> = all.iter().map(|wanted| word(wanted)).collect();
    InstallPackages { manager: manager.word(), packages: &packages, names: &names, versions: &versions }
        .script()
}
