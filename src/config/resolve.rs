//! From a step as written to its instances on one host.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use minijinja::Value as Jinja;
use minijinja::value::Serde;
use serde::Deserialize;

use super::alike::Alike;
use super::ansible::{self, At};
use super::becomes::{self, Becomes, becomes_of};
use super::layer::Layer;
use super::playbook::{RawStep, STEP_KEYS};
use super::results::Turn;
use super::scope::{Failed, Scope, World};
use super::table::{mismatch, quotes, span, suggest};
use super::{masks, template};
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::model::value::{Mistake, Node, Value, one_or_many, optional_duration};
use crate::model::{
    Host, HostIndex, HostName, Kind, Known, MASK, OnFailure, Place, PlayIndex, Privilege, Resource, ResultOf,
    Secret, StepId,
};
use crate::run::{ResolveError, Resolved, StepSource};
use crate::step::{Condition, Context, Fault, Instance, KindInfo, Problem, Role, Step, Veil};

/// What the steps of one playbook share.
#[derive(Debug)]
pub(super) struct PlayScope {
    /// The run.
    pub world: Arc<World>,
    /// The playbook, by its position in the run.
    pub number: PlayIndex,
    /// The playbook's text.
    pub source: Arc<Source>,
    /// The folder that paths are meant from.
    pub folder: PathBuf,
    /// As whom the steps act, if the playbook says.
    pub becomes: Option<Becomes>,
    /// The playbook's variables and those of the command line.
    pub layers: Vec<Arc<Layer>>,
}

/// A step that can be resolved.
#[derive(Debug)]
pub(super) struct SourceStep {
    /// What it shares with the other steps of its playbook.
    pub play: Arc<PlayScope>,
    /// The step as written.
    pub raw: RawStep,
    /// Its position in its playbook.
    pub index: usize,
    /// Its id.
    pub id: StepId,
    /// Its name as written, or a name made from its kind.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// The hosts it is for, by position in the inventory.
    pub hosts: Arc<BTreeSet<HostIndex>>,
    /// See [`StepSource::needs_facts`].
    pub needs_facts: bool,
    /// See [`StepSource::needs_results`].
    pub needs_results: Vec<ResultOf>,
    /// What it came to on hosts that others may be like.
    pub alike: Alike<Attempt>,
}

/// What resolving a step on a host came to, for the offline check.
#[derive(Debug, Default, Clone)]
pub(super) struct Attempt {
    /// Why it was skipped, or its instances with the tables they were read from.
    pub instances: Vec<(Arc<Instance>, Arc<Node>)>,
    /// Set when it does not apply.
    pub skipped: Option<String>,
    /// Mistakes and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// It could not be rendered before facts are known.
    pub facts_wanted: bool,
    /// It could not be rendered before these steps have run.
    pub results_wanted: BTreeSet<ResultOf>,
    /// It could not be resolved.
    pub failed: bool,
}

impl StepSource for SourceStep {
    fn id(&self) -> &StepId {
        &self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn kind(&self) -> &'static str {
        self.raw.kind.name
    }
    fn place(&self) -> &Place {
        &self.place
    }
    fn is_handler(&self) -> bool {
        self.raw.handler
    }
    fn tags(&self) -> &[String] {
        &self.raw.tags
    }
    fn on_failure(&self) -> OnFailure {
        let written = self.raw.common.entry("on_failure");
        written.and_then(|(_, node)| OnFailure::deserialize(node).ok()).unwrap_or_default()
    }
    fn selects(&self, host: &HostName) -> bool {
        self.play.world.fleet.hosts.named(host.as_str()).is_some_and(|host| self.hosts.contains(&host))
    }
    fn needs_facts(&self) -> bool {
        self.needs_facts
    }
    fn needs_results(&self) -> &[ResultOf] {
        &self.needs_results
    }
    fn resolve(&self, host: &Host, known: &Known) -> Result<Resolved, ResolveError> {
        let Some(index) = self.play.world.fleet.hosts.named(host.name.as_str()) else {
            let message = format!("{} is not in the inventory", host.name);
            return Err(ResolveError(vec![Diagnostic::error(None, message)]));
        };
        let attempt = self.attempt(index, known);
        if attempt.failed {
            let wrong = attempt.diagnostics.iter().filter(|d| d.severity == Severity::Error);
            let mut wrong: Vec<_> = wrong.cloned().collect();
            if wrong.is_empty() {
                wrong.push(self.waits(&attempt, host));
            }
            return Err(ResolveError(wrong));
        }
        if let Some(why) = &attempt.skipped {
            return Ok(Resolved::Skipped(why.clone()));
        }
        Ok(Resolved::Steps(attempt.instances.iter().map(|(instance, _)| Arc::clone(instance)).collect()))
    }
}

/// The keys of [`super::playbook::RENDERED`] but `become`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Common {
    #[serde(deserialize_with = "optional_duration")]
    timeout: Option<Duration>,
    retries: u32,
    #[serde(deserialize_with = "optional_duration")]
    retry_delay: Option<Duration>,
    on_failure: OnFailure,
    disruptive: bool,
    #[serde(deserialize_with = "one_or_many")]
    provides: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    needs: Vec<String>,
}

/// Pause between tries unless the step says otherwise; as Ansible's `delay`.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// A step whose `until` says nothing of `retries` is tried so often; as Ansible has it.
const UNTIL_RETRIES: u32 = 3;

impl SourceStep {
    /// Its place in the run.
    pub(super) fn at(&self) -> Turn {
        Turn { play: self.play.number, index: self.index, handler: self.raw.handler }
    }

    fn waits(&self, attempt: &Attempt, host: &Host) -> Diagnostic {
        let what = match attempt.results_wanted.first() {
            Some(of) => format!("the result of step {}, which has not run", of.step),
            None if attempt.facts_wanted => "facts that are not known".to_owned(),
            None => "something that could not be rendered".to_owned(),
        };
        Diagnostic::error(
            span(&self.play.source, &self.raw.head),
            format!("the step needs {what} on {}", host.name),
        )
    }

    /// Renders the step for the host as far as it goes: once for all hosts that are alike in what it looks at.
    pub(super) fn attempt(&self, host: HostIndex, known: &Known) -> Arc<Attempt> {
        let world = &self.play.world;
        if let Some(attempt) = self.alike.find(world, host) {
            return attempt;
        }
        let (attempt, looked_at) = self.attempt_anew(host, known);
        let attempt = Arc::new(attempt);
        if let Some(variables) = looked_at {
            self.alike.keep(world, host, variables, &attempt);
        }
        attempt
    }

    /// Also returns the variables that were looked at, unless something was that belongs to this host alone.
    fn attempt_anew(&self, host: HostIndex, known: &Known) -> (Attempt, Option<BTreeSet<String>>) {
        let scope = Scope::new(&self.play.world, host, &self.play.layers, known, Some(self.at()));
        let mut attempt = Attempt::default();
        if self.instances(&scope, host, &mut attempt).is_err() {
            attempt.failed = true;
            attempt.instances.clear();
        }
        attempt.diagnostics = scope.take_diagnostics();
        attempt.facts_wanted = scope.facts_wanted();
        attempt.results_wanted = scope.results_wanted();
        (attempt, scope.shareable())
    }

    fn instances(&self, scope: &Scope, host: HostIndex, attempt: &mut Attempt) -> Result<(), Failed> {
        let Some(each) = &self.raw.each else {
            if let Some(why) = self.refused(scope)? {
                attempt.skipped = Some(why);
                return Ok(());
            }
            let (instance, node) = self.instance(scope, &|| scope.masked(), host, self.id.clone())?;
            attempt.instances.push((Arc::new(instance), Arc::new(node)));
            return Ok(());
        };
        let items = self.items(scope, each)?;
        let masked = (scope.secrets() > 0).then(|| scope.masked());
        let shown: Option<Vec<Jinja>> = masked.as_ref().map(|masked| {
            let shown = self.items(masked, each).unwrap_or_default();
            if shown.len() == items.len() { shown } else { vec![Jinja::from(MASK); items.len()] }
        });
        if items.is_empty() {
            attempt.skipped = Some("`each` is empty".into());
            return Ok(());
        }
        let (mut failed, mut why, mut taken, mut turns) = (false, None, BTreeSet::new(), Vec::new());
        for (n, item) in items.into_iter().enumerate() {
            let shown = shown.as_ref().map_or_else(|| item.clone(), |shown| shown[n].clone());
            let text = item_text(&shown).filter(|t| taken.insert(t.clone())).unwrap_or_else(|| n.to_string());
            let seen = || masked.clone().unwrap_or_else(|| scope.masked()).with_item(shown.clone());
            let scope = scope.with_item(item);
            match self.refused(&scope) {
                Ok(None) => {
                    let id = StepId::new(&format!("{}[{text}]", self.id));
                    match self.instance(&scope, &seen, host, id) {
                        Ok(turn) => turns.push(turn),
                        Err(Failed) => failed = true,
                    }
                }
                Ok(Some(reason)) => why = Some(reason),
                Err(Failed) => failed = true,
            }
        }
        if failed {
            return Err(Failed);
        }
        if turns.is_empty() {
            attempt.skipped = why;
        }
        self.tell_apart(&mut turns);
        attempt.instances = turns.into_iter().map(|(turn, node)| (Arc::new(turn), Arc::new(node))).collect();
        Ok(())
    }

    /// Adds the item to the names of the turns of a loop that would be called the same.
    fn tell_apart(&self, turns: &mut [(Instance, Node)]) {
        let written = self.raw.name.as_ref().map(text_of).unwrap_or_default();
        let of_item = |text: &str| text.contains("item");
        let told = if written.is_empty() { of_item(&self.name) } else { of_item(&written) };
        let names: Vec<String> = turns.iter().map(|(turn, _)| turn.name.clone()).collect();
        for (turn, _) in turns {
            let equal = names.iter().filter(|name| **name == turn.name).count() > 1;
            if equal || !told {
                let item = turn.id.as_str().strip_prefix(self.id.as_str()).unwrap_or_default();
                turn.name = format!("{} {item}", turn.name);
            }
        }
    }

    /// Returns why the step does not apply, if one of its conditions is false.
    fn refused(&self, scope: &Scope) -> Result<Option<String>, Failed> {
        for node in &self.raw.when {
            let (holds, text) = match &node.value {
                Value::Boolean(b) => (*b, b.to_string()),
                Value::String(text) => (scope.condition(&self.play.source, node, text)?, text.clone()),
                _ => continue,
            };
            if !holds {
                return Ok(Some(format!("`when` is false: {text}")));
            }
        }
        Ok(None)
    }

    fn items(&self, scope: &Scope, each: &Node) -> Result<Vec<Jinja>, Failed> {
        let source = &self.play.source;
        let rendered = scope.render(source, each)?;
        match &rendered.value {
            Value::Array(items) => Ok(items.iter().map(|n| Jinja::from(Serde(n.to_json()))).collect()),
            Value::Table(entries) => Ok(entries
                .iter()
                .map(|(k, n)| {
                    Jinja::from_pairs([
                        ("key", Jinja::from(k.name.as_str())),
                        ("value", Jinja::from(Serde(n.to_json()))),
                    ])
                })
                .collect()),
            _ => {
                let mut diagnostic = mismatch(source, &rendered, "an array or a table to go through");
                if let Value::String(text) = &each.value
                    && !template::is_template(text)
                {
                    diagnostic =
                        diagnostic.help(format!("an expression is written in braces: \"{{{{ {text} }}}}\""));
                }
                scope.report(diagnostic);
                Err(Failed)
            }
        }
    }

    /// Renders the step for one turn. Where a secret goes into it, `seen` gives the scope for what is shown.
    fn instance(
        &self,
        scope: &Scope,
        seen: &dyn Fn() -> Scope,
        host: HostIndex,
        id: StepId,
    ) -> Result<(Instance, Node), Failed> {
        let (play, raw) = (&self.play, &self.raw);
        let source = &play.source;
        // All parts are tried before any failure ends it, so that all mistakes show.
        let name = match &raw.name {
            Some(node) => scope.render(source, node).map(|n| text_of(&n)),
            None => Ok(String::new()),
        };
        let common = scope.render(source, &raw.common).and_then(|n| self.common(scope, n));
        let body = scope.render(source, &raw.body);
        let node = match &body {
            Ok(node) => node.clone(),
            Err(Failed) => scope.render_partly(source, &raw.body),
        };
        let before = scope.deferred();
        let step = self.read(scope, seen, host, &node, body.is_err());
        let (mut name, (common, becomes), body) = (name?, common?, body?);
        if raw.name.is_none() {
            name = name_of(raw.kind, &raw.body, &body);
        }
        let step = step?;
        if !before && scope.deferred() {
            return Err(Failed);
        }
        let mut veil = None;
        if scope.secrets() > 0 {
            let seen = seen();
            let shown = match &raw.name {
                Some(node) => seen.render(source, node).map(|n| text_of(&n)),
                None => seen.render(source, &raw.body).map(|body| name_of(raw.kind, &raw.body, &body)),
            };
            name = shown.unwrap_or_else(|Failed| self.name.clone());
            veil = self.veil(scope, &seen, host, &body);
        }
        let host_becomes = play.world.fleet.becomes[host].clone();
        let privilege = match becomes.or_else(|| play.becomes.clone()).or(host_becomes) {
            Some(Becomes::User(user)) => Privilege::Become(user),
            Some(Becomes::Login) | None => Privilege::Login,
        };
        let until = raw.until.as_ref().map(text_of);
        let retries_given = raw.common.entry("retries").is_some();
        let instance = Instance {
            id,
            name,
            kind: raw.kind.name,
            place: self.place.clone(),
            step,
            veil,
            privilege,
            timeout: common.timeout,
            retries: if until.is_some() && !retries_given { UNTIL_RETRIES } else { common.retries },
            retry_delay: common.retry_delay.unwrap_or(RETRY_DELAY),
            until: until.map(|text| Arc::new(template::Until::new(text)) as Arc<dyn Condition>),
            notify: raw.notify.iter().map(|(id, _)| StepId::new(id)).collect(),
            handler: raw.handler,
            on_failure: common.on_failure,
            disruptive: common.disruptive,
            provides: self.resources(scope, "provides", &common.provides)?,
            needs: self.resources(scope, "needs", &common.needs)?,
        };
        Ok((instance, body))
    }

    fn common(&self, scope: &Scope, mut node: Node) -> Result<(Common, Option<Becomes>), Failed> {
        let source = &self.play.source;
        let mut becomes = None;
        if let Value::Table(entries) = &mut node.value
            && let Some(at) = entries.iter().position(|(k, _)| k.name == "become")
        {
            let (_, value) = entries.remove(at);
            becomes = match becomes_of(&value) {
                Ok(becomes) => Some(becomes),
                Err(wrong) => {
                    scope.report(becomes::mistake(source, &value, wrong));
                    return Err(Failed);
                }
            };
        }
        match Common::deserialize(&node) {
            Ok(common) => Ok((common, becomes)),
            Err(error) => {
                let at = error.span.clone().unwrap_or(node.span);
                let mut diagnostic = Diagnostic::error(span(source, &at), error.message.clone());
                diagnostic.help.extend(match &error.mistake {
                    Mistake::Quotes(q) => Some(quotes(source, &at, *q)),
                    mistake => {
                        mistake.unknown().and_then(|name| suggest(name, error.expected.iter().copied()))
                    }
                });
                scope.report(diagnostic);
                Err(Failed)
            }
        }
    }

    /// Reads the kind's table. When it is rendered only in part, only what is certain is reported.
    fn read(
        &self,
        scope: &Scope,
        seen: &dyn Fn() -> Scope,
        host: HostIndex,
        node: &Node,
        partly: bool,
    ) -> Result<Arc<dyn Step>, Failed> {
        let deferred_before = scope.deferred();
        let render = |name: &str, text: &str| scope.render_text(name, text);
        let mut problems = match self.parse(node, (scope, host), &render, &|| scope.secrets() > 0) {
            Ok(step) => return Ok(step),
            Err(problems) => problems,
        };
        // A file's template that needs facts fails for now; that is no mistake.
        let waits = !deferred_before && scope.deferred();
        if scope.secrets() > 0 {
            self.cover(&mut problems, &seen(), host);
        }
        for problem in problems {
            if (partly || waits) && !problem.fault.is_certain() {
                continue;
            }
            let mut diagnostic = Diagnostic::error(span(&self.play.source, &problem.span), problem.message)
                .label(problem.label);
            let unknown = problem.fault.unknown().unwrap_or_default();
            diagnostic.help.extend(match &problem.fault {
                Fault::Unread(Mistake::Quotes(q)) => Some(quotes(&self.play.source, &problem.span, *q)),
                _ if STEP_KEYS.contains(&unknown) => Some(format!(
                    "`{unknown}` belongs to the step, not to `{kind}`: write it beside `{kind}`, above a table `[step.{kind}]`",
                    kind = self.raw.kind.name,
                )),
                _ => ansible::word(At::Task, unknown).or(problem.help),
            });
            scope.report(diagnostic);
        }
        Err(Failed)
    }

    /// Reads the kind's table, template files rendered by `render`.
    fn parse(
        &self,
        node: &Node,
        (scope, host): (&Scope, HostIndex),
        render: &dyn Fn(&str, &str) -> Result<String, String>,
        holds_secret: &dyn Fn() -> bool,
    ) -> Result<Arc<dyn Step>, Vec<Problem>> {
        let world = &self.play.world;
        let read = |path: &str| world.read_file(&self.play.folder, path);
        let locate = |path: &str| world.locate(&self.play.folder, path);
        let context = Context {
            host: &|| {
                scope.look_at_host();
                &world.fleet.hosts[host]
            },
            inventory: &world.fleet.hosts,
            read: &read,
            locate: &locate,
            render,
            holds_secret,
            role: if self.raw.handler { Role::Handler } else { Role::InOrder },
        };
        (self.raw.kind.parse)(node, &context)
    }

    /// What is said of a table that secrets went into is what would be said of masks in their place.
    fn cover(&self, problems: &mut [Problem], seen: &Scope, host: HostIndex) {
        let node = seen.render_partly(&self.play.source, &self.raw.body);
        let render = |name: &str, text: &str| seen.render_text(name, text);
        let covered = self.parse(&node, (seen, host), &render, &|| true).err().unwrap_or_default();
        for problem in problems {
            if let Some(covered) = covered.iter().find(|covered| covered.span == problem.span) {
                problem.clone_from(covered);
            } else {
                "what a secret became does not fit here".clone_into(&mut problem.message);
                problem.label.clear();
                problem.help = None;
            }
        }
    }

    /// How a step is shown that is rendered to `body`, if secrets went into it.
    fn veil(&self, scope: &Scope, seen: &Scope, host: HostIndex, body: &Node) -> Option<Arc<Veil>> {
        let values = RefCell::new(Vec::new());
        let shown = seen.render(&self.play.source, &self.raw.body);
        match &shown {
            Ok(shown) => masks::differences(body, shown, &mut values.borrow_mut()),
            Err(Failed) => masks::texts(body, &mut values.borrow_mut()),
        }
        let render = |name: &str, text: &str| {
            let shown = seen.render_text(name, text);
            if let Ok(real) = scope.render_text(name, text) {
                masks::fragments(&real, shown.as_deref().unwrap_or_default(), &mut values.borrow_mut());
            }
            shown
        };
        let twin = shown.ok().and_then(|node| self.parse(&node, (seen, host), &render, &|| true).ok());
        let values: Vec<Secret> = values.into_inner().into_iter().map(Secret::new).collect();
        if values.is_empty() {
            return None;
        }
        values.iter().filter(|v| !masks::is_common(v.expose())).for_each(|v| scope.learn(v));
        Some(Arc::new(Veil::new(twin, values)))
    }

    fn resources(&self, scope: &Scope, key: &str, texts: &[String]) -> Result<Vec<Resource>, Failed> {
        let mut resources = Vec::new();
        let mut failed = false;
        for (n, text) in texts.iter().enumerate() {
            match resource(text) {
                Ok(resource) => resources.push(resource),
                Err((message, help)) => {
                    let at = self.raw.common.span_at(&format!("{key}[{n}]"));
                    let mut diagnostic = Diagnostic::error(span(&self.play.source, &at), message);
                    diagnostic.help.push(help);
                    scope.report(diagnostic);
                    failed = true;
                }
            }
        }
        if failed { Err(Failed) } else { Ok(resources) }
    }
}

/// `"unit redis.service"`, `"port 6379"`: the kind, a blank, the name.
fn resource(text: &str) -> Result<Resource, (String, String)> {
    let (kind, name) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let name = name.trim();
    match Kind::named(kind) {
        Some(kind) if !name.is_empty() => Ok(Resource::here(kind, name)),
        Some(_) => Err((
            format!("{text:?} does not say which {kind}"),
            format!("write the kind and the name: \"{kind} NAME\""),
        )),
        None => {
            let help = suggest(kind, Kind::of_playbooks().map(Kind::name)).unwrap_or_default();
            Err((format!("{kind:?} is not a kind of resource"), help))
        }
    }
}

fn text_of(node: &Node) -> String {
    match &node.value {
        Value::String(text) => text.clone(),
        _ => match node.to_json() {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        },
    }
}

/// The keys that tell what a step without a name is about, the first that it has.
const TELLING: [&str; 11] =
    ["path", "name", "names", "id", "service", "manager", "source", "template", "services", "http", "port"];

/// Those whose text may say anything: it is told as it is written, for what comes out may hold a secret.
const FREE: [&str; 2] = ["run", "that"];

/// A name for a step that has none: its kind and what it is about (`file /etc/motd`).
pub(super) fn name_of(kind: &KindInfo, written: &Node, rendered: &Node) -> String {
    let free = FREE.iter().find_map(|key| written.entry(key));
    let telling = || kind.shorthand.into_iter().chain(TELLING).find_map(|key| rendered.entry(key));
    let text = match free.or_else(telling) {
        Some((_, node)) => match &node.value {
            Value::Array(items) => {
                let between = if free.is_some() { " " } else { ", " };
                items.iter().map(text_of).collect::<Vec<_>>().join(between)
            }
            Value::Table(_) => String::new(),
            _ => text_of(node),
        },
        None => String::new(),
    };
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    format!("{} {line}", kind.name).trim_end().to_owned()
}

/// A short text for an item of a loop, for ids: the item itself, or its `name` or `key`.
fn item_text(item: &Jinja) -> Option<String> {
    let text = match item.kind() {
        minijinja::value::ValueKind::Map => {
            let of = |key: &str| item.get_attr(key).ok().filter(|v| !v.is_undefined());
            of("name").or_else(|| of("key")).or_else(|| of("path")).map(|v| v.to_string())?
        }
        minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::None => return None,
        _ => item.to_string(),
    };
    let short = !text.is_empty() && text.chars().count() <= 40;
    (short && !text.chars().any(|c| c.is_control() || matches!(c, '[' | ']'))).then_some(text)
}
