//! What templates see: `vars`, `host`, `groups`, `hosts`, `facts`, `steps`, `playbooks`, `item`.
//!
//! Variables are rendered when they are first used, so that one may refer to others, and a secret is read only
//! if something needs it.

mod names;
mod results;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use minijinja::value::{Serde, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::ansible::{self, At};
use super::braces;
use super::document;
use super::environment::Environment;
use super::fleet::Fleet;
use super::layer::Layer;
use super::limits;
use super::misspelt;
use super::results::{Absent, StepIndex, Turn};
use super::secret::{self, SecretStore};
use super::table::{span, suggest};
use super::template::{self, Compiled};
use crate::diagnostic::{Diagnostic, Identity, Severity, Source};
use crate::model::value::{Node, Value as TomlValue};
use crate::model::{HostIndex, Known, MASK, ResultOf, Secret, StepResult};

#[cfg(test)]
pub(crate) use names::NAMES;

/// What all scopes of a run share.
#[derive(Debug)]
pub(super) struct World {
    /// The inventory.
    pub fleet: Fleet,
    /// The controller.
    pub environment: Arc<dyn Environment>,
    /// Strings that were compiled before, and `when` expressions, which are marked as such.
    compiled: Mutex<HashMap<(String, bool), Arc<Compiled>>>,
    /// Templates in files of their own.
    file_jinja: minijinja::Environment<'static>,
    /// Secrets.
    pub secrets: SecretStore,
    /// Whether a secret that cannot be read is a mistake.
    pub missing_secrets: Severity,
    /// The steps that `steps.ID` may name; set once all playbooks are read.
    pub steps: OnceLock<StepIndex>,
    files: Mutex<HashMap<std::path::PathBuf, FileRead>>,
    groups: Value,
}

type FileRead = Result<Arc<[u8]>, String>;

impl World {
    /// A world around an inventory.
    pub(super) fn new(
        fleet: Fleet,
        environment: Arc<dyn Environment>,
        secrets: SecretStore,
        missing_secrets: Severity,
    ) -> Self {
        let names = |hosts: &[HostIndex]| -> Value {
            hosts.iter().map(|h| Value::from(fleet.hosts[*h].name.as_str())).collect()
        };
        let every: Vec<HostIndex> = fleet.hosts.indices().collect();
        let mut groups: BTreeMap<String, Value> =
            fleet.groups.iter().map(|g| (g.name.to_string(), names(&g.hosts))).collect();
        groups.insert("all".into(), names(&every));
        let groups = Value::from(groups);
        Self {
            fleet,
            environment,
            compiled: Mutex::default(),
            file_jinja: template::environment(limits::Part::File),
            secrets,
            missing_secrets,
            steps: OnceLock::new(),
            files: Mutex::default(),
            groups,
        }
    }

    /// Where on the controller a path is that stands in a file of this folder.
    pub(super) fn locate(&self, folder: &Path, path: &str) -> std::path::PathBuf {
        secret::in_folder(folder, path, &*self.environment)
    }

    /// Reads a file of the controller once; all hosts and all stages of a run see the same bytes.
    pub(super) fn read_file(&self, folder: &Path, path: &str) -> FileRead {
        let path = self.locate(folder, path);
        let mut files = lock(&self.files);
        if let Some(read) = files.get(&path) {
            return read.clone();
        }
        let read = self.environment.read(&path).map(Arc::from);
        files.insert(path, read.clone());
        read
    }
}

impl World {
    /// Compiles a string, or with `expression` an expression without braces, once for all hosts.
    fn compiled(&self, text: &str, expression: bool) -> Result<Arc<Compiled>, Error> {
        let key = (text.to_owned(), expression);
        if let Some(compiled) = lock(&self.compiled).get(&key) {
            return Ok(Arc::clone(compiled));
        }
        let compiled = Arc::new(if expression { Compiled::expression(text) } else { Compiled::text(text) }?);
        lock(&self.compiled).insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One pass over templates: whether with secrets or with masks in their place, and what came up.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Masks stand in place of secrets: what comes out may be shown.
    masked: bool,
    /// How often a variable was used that a secret went into.
    secrets: AtomicUsize,
    /// Mistakes.
    pub diagnostics: Mutex<Vec<Diagnostic>>,
    /// What tells them apart.
    seen: Mutex<HashSet<Identity>>,
    /// Facts were needed and are not known.
    facts_wanted: AtomicBool,
    /// How often something was needed that is not known yet.
    touches: AtomicUsize,
    /// Results were needed and are not known.
    results_wanted: Mutex<BTreeSet<ResultOf>>,
    /// What is asked for and cannot be there, by its path.
    absent: Mutex<BTreeMap<String, Absent>>,
    /// How much has been rendered: see [`limits::WORK`].
    work: AtomicU64,
    /// How many variables are being rendered, one for the other, those of other hosts included.
    depth: AtomicUsize,
    /// The variables that were looked at.
    variables: Mutex<BTreeSet<String>>,
    /// Something was looked at that belongs to the host alone, or to another one.
    of_host: AtomicBool,
}

/// The scope of one step on one host.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    shared: Arc<Shared>,
    item: Option<Value>,
}

#[derive(Debug)]
struct Shared {
    world: Arc<World>,
    host: HostIndex,
    /// Lowest precedence first.
    layers: Vec<Arc<Layer>>,
    facts: Value,
    facts_known: bool,
    results: BTreeMap<ResultOf, StepResult>,
    /// The step whose templates are rendered; a title is no step's.
    at: Option<Turn>,
    pass: Arc<Pass>,
    /// Variables that were rendered before, and whether a secret went into them.
    memo: Mutex<HashMap<String, (Value, bool)>>,
    /// The variables that are being rendered, each with its layer's position.
    open: Mutex<Vec<(String, usize)>>,
}

/// A template within a string of a file.
struct Code<'a> {
    source: &'a Arc<Source>,
    node: &'a Node,
    /// Where in the string it starts, in bytes.
    at: usize,
    text: &'a str,
}

/// A template could not be rendered; the reason is in the scope's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

impl Scope {
    /// The scope of the host at `host` with the variables of its playbook and of the command line.
    pub(super) fn new(
        world: &Arc<World>,
        host: HostIndex,
        extra: &[Arc<Layer>],
        known: &Known,
        at: Option<Turn>,
    ) -> Self {
        Self::with_log(world, host, extra, known, at, Arc::default())
    }

    fn with_log(
        world: &Arc<World>,
        host: HostIndex,
        extra: &[Arc<Layer>],
        known: &Known,
        at: Option<Turn>,
        pass: Arc<Pass>,
    ) -> Self {
        let mut layers = world.fleet.layers[host].clone();
        layers.extend(extra.iter().filter(|l| !l.is_empty()).cloned());
        let shared = Shared {
            world: Arc::clone(world),
            host,
            layers,
            facts: if known.facts.is_null() { Value::UNDEFINED } else { Value::from(Serde(&known.facts)) },
            facts_known: !known.facts.is_null(),
            results: known.results.clone(),
            at,
            pass,
            memo: Mutex::default(),
            open: Mutex::default(),
        };
        Self { shared: Arc::new(shared), item: None }
    }

    /// The same scope in a pass of its own, with masks in place of secrets. It reports nothing.
    pub(super) fn masked(&self) -> Self {
        let Shared { world, host, layers, facts, facts_known, results, at, .. } = &*self.shared;
        let shared = Shared {
            world: Arc::clone(world),
            host: *host,
            layers: layers.clone(),
            facts: facts.clone(),
            facts_known: *facts_known,
            results: results.clone(),
            at: *at,
            pass: Arc::new(Pass { masked: true, ..Pass::default() }),
            memo: Mutex::default(),
            open: Mutex::default(),
        };
        Self { shared: Arc::new(shared), item: None }
    }

    /// Lets the redactor know what a secret became.
    pub(super) fn learn(&self, value: &Secret) {
        self.shared.world.secrets.learn(value);
    }

    /// How often a variable was used that a secret went into.
    pub(super) fn secrets(&self) -> usize {
        self.shared.pass.secrets.load(Ordering::Relaxed)
    }

    /// The same scope within a turn of a loop.
    pub(super) fn with_item(&self, item: Value) -> Self {
        Self { shared: Arc::clone(&self.shared), item: Some(item) }
    }

    /// Adds a mistake.
    pub(super) fn report(&self, diagnostic: Diagnostic) {
        if lock(&self.shared.pass.seen).insert(diagnostic.identity()) {
            lock(&self.shared.pass.diagnostics).push(diagnostic);
        }
    }

    /// Takes the mistakes so far.
    pub(super) fn take_diagnostics(&self) -> Vec<Diagnostic> {
        std::mem::take(&mut *lock(&self.shared.pass.diagnostics))
    }

    /// Says that something was looked at that belongs to the host alone.
    pub(super) fn look_at_host(&self) {
        self.shared.pass.of_host.store(true, Ordering::Relaxed);
    }

    /// The variables that were looked at, if nothing else was that differs from host to host.
    pub(super) fn shareable(&self) -> Option<BTreeSet<String>> {
        let pass = &self.shared.pass;
        (!pass.of_host.load(Ordering::Relaxed)).then(|| lock(&pass.variables).clone())
    }

    /// Whether something could not be rendered for lack of facts.
    pub(super) fn facts_wanted(&self) -> bool {
        self.shared.pass.facts_wanted.load(Ordering::Relaxed)
    }

    /// The steps for lack of whose results something could not be rendered.
    pub(super) fn results_wanted(&self) -> BTreeSet<ResultOf> {
        lock(&self.shared.pass.results_wanted).clone()
    }

    /// The step whose templates are rendered.
    pub(super) fn at(&self) -> Option<Turn> {
        self.shared.at
    }

    /// The host, by its position in the inventory, and its name.
    pub(super) fn host(&self) -> (HostIndex, &str) {
        (self.shared.host, self.shared.world.fleet.hosts[self.shared.host].name.as_str())
    }

    /// All steps of the run.
    pub(super) fn index(&self) -> Option<&StepIndex> {
        self.shared.world.steps.get()
    }

    /// The result of a step that has run.
    pub(super) fn result(&self, of: &ResultOf) -> Option<&StepResult> {
        self.shared.results.get(of)
    }

    /// Says that a result must be waited for.
    pub(super) fn want_result(&self, of: ResultOf) {
        lock(&self.shared.pass.results_wanted).insert(of);
        self.shared.pass.touches.fetch_add(1, Ordering::Relaxed);
    }

    /// Says why there is nothing at `path`, should the template go on to use it.
    pub(super) fn is_absent(&self, path: String, absent: Absent) {
        lock(&self.shared.pass.absent).insert(path, absent);
    }

    /// How often something was wanted that must wait for facts or results.
    fn touches(&self) -> usize {
        self.shared.pass.touches.load(Ordering::Relaxed)
    }

    /// Whether something must wait for facts or results.
    pub(super) fn deferred(&self) -> bool {
        self.touches() > 0
    }

    /// Renders every template in `node`. All mistakes are reported; the strings at fault stay as they were.
    pub(super) fn render(&self, source: &Arc<Source>, node: &Node) -> Result<Node, Failed> {
        let mut failed = false;
        let rendered = self.render_node(source, node, &mut failed);
        match rendered {
            Some(node) if !failed => Ok(node),
            None if !failed => {
                self.report(
                    Diagnostic::error(span(source, &node.span), "the template gives no value")
                        .help("only a key within a table can be left out with `none`"),
                );
                Err(Failed)
            }
            _ => Err(Failed),
        }
    }

    /// As [`Self::render`], but what cannot be rendered stays as it is written.
    pub(super) fn render_partly(&self, source: &Arc<Source>, node: &Node) -> Node {
        self.render_node(source, node, &mut false).unwrap_or_else(|| node.clone())
    }

    fn render_node(&self, source: &Arc<Source>, node: &Node, failed: &mut bool) -> Option<Node> {
        let value = match &node.value {
            TomlValue::String(text) if template::is_template(text) => {
                let rendered = self.value_of(source, node, text).and_then(|value| {
                    template::to_node(&value, &node.span).map_err(|e| {
                        self.report(Diagnostic::error(
                            span(source, &node.span),
                            format!("what the template gives cannot be written in a playbook: {e}"),
                        ));
                        Failed
                    })
                });
                return rendered.unwrap_or_else(|Failed| {
                    *failed = true;
                    Some(node.clone())
                });
            }
            TomlValue::Array(items) => {
                TomlValue::Array(items.iter().filter_map(|n| self.render_node(source, n, failed)).collect())
            }
            TomlValue::Table(entries) => TomlValue::Table(
                entries
                    .iter()
                    .filter_map(|(k, n)| Some((k.clone(), self.render_node(source, n, failed)?)))
                    .collect(),
            ),
            other => other.clone(),
        };
        Some(Node { span: node.span.clone(), value })
    }

    /// The value of a string: typed if it is one expression, text otherwise.
    fn value_of(&self, source: &Arc<Source>, node: &Node, text: &str) -> Result<Value, Failed> {
        match self.shared.world.compiled(text, false) {
            Ok(compiled) => self.evaluate(source, node, &compiled),
            Err(error) => Err(self.failure(&Code { source, node, at: 0, text }, &error, self.touches())),
        }
    }

    fn evaluate(&self, source: &Arc<Source>, node: &Node, compiled: &Compiled) -> Result<Value, Failed> {
        let touches = self.touches();
        // Nothing more is begun once it is too much.
        let spent = self.charge(0);
        let (value, at, text) = match compiled {
            Compiled::Expression(at, text, _) if spent.is_err() => {
                (spent.map(Value::from), *at, text.as_str())
            }
            Compiled::Text(text) if spent.is_err() => (spent.map(Value::from), 0, text.source()),
            Compiled::Expression(at, text, expression) => {
                let value = expression.eval(self.root());
                let defined = |v: Value| {
                    if v.is_undefined() { Err(ErrorKind::UndefinedError.into()) } else { Ok(v) }
                };
                (value.and_then(defined), *at, text.as_str())
            }
            Compiled::Surrounded(at, code, expression, text) => {
                let structured =
                    |v: &Value| matches!(v.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable);
                match expression.eval(self.root()) {
                    Ok(value) if structured(&value) => (Ok(value), *at, code.as_str()),
                    _ => (template::render(text, self.root()).map(Value::from), 0, text.source()),
                }
            }
            Compiled::Text(text) => (template::render(text, self.root()).map(Value::from), 0, text.source()),
        };
        let value = value.and_then(|v| self.charge(v.as_str().map_or(0, str::len)).map(|()| v));
        value.map_err(|error| self.failure(&Code { source, node, at, text }, &error, touches))
    }

    /// Counts what was rendered, `bytes` of text. Variables that use others twice soon are too much.
    fn charge(&self, bytes: usize) -> Result<(), Error> {
        let cost = 1 + bytes as u64 / 64;
        let before = self.shared.pass.work.fetch_add(cost, Ordering::Relaxed);
        if before + cost > limits::WORK || bytes > limits::TEXT {
            return Err(ErrorKind::OutOfFuel.into());
        }
        Ok(())
    }

    /// Evaluates an expression written without braces (`when`); with braces will do as well.
    pub(super) fn condition(&self, source: &Arc<Source>, node: &Node, text: &str) -> Result<bool, Failed> {
        let value = match self.shared.world.compiled(text, true) {
            Ok(compiled) => self.evaluate(source, node, &compiled),
            Err(error) => Err(self.failure(&Code { source, node, at: 0, text }, &error, self.touches())),
        };
        value.map(|v| v.is_true())
    }

    /// Renders a text that is no string of a playbook (a template file called `name`).
    pub(super) fn render_text(&self, name: &str, text: &str) -> Result<String, String> {
        if !template::is_template(text) && !text.contains("{#") {
            return Ok(text.to_owned());
        }
        if let Some((missing, help)) = misspelt::first(text) {
            let line = text.find(&missing).map_or(1, |at| text[..at].matches('\n').count() + 1);
            let help = help.map(|h| format!(" ({h})")).unwrap_or_default();
            return Err(format!("{name}:{line}: `{missing}` is not defined{help}"));
        }
        let jinja = &self.shared.world.file_jinja;
        let rendered = template::render_file(jinja, text, self.root());
        rendered.map_err(|error| {
            let line = error.line().map(|l| format!(":{l}")).unwrap_or_default();
            let (message, _, help) = self.explain(text, &error);
            let help = help.map(|h| format!(" ({h})")).unwrap_or_default();
            format!("{name}{line}: {message}{help}")
        })
    }

    /// Turns a template's error into a mistake, unless it is only that something is not known yet.
    fn failure(&self, code: &Code<'_>, error: &Error, touches: usize) -> Failed {
        if self.touches() > touches || template::is_reported(error) {
            return Failed;
        }
        let (message, range, help) = self.explain(code.text, error);
        let range = range.unwrap_or(0..code.text.len());
        let range = code.at + range.start..code.at + range.end;
        let at = document::within(code.source, code.node, &range);
        let mut diagnostic = Diagnostic::error(span(code.source, &at), message);
        diagnostic.help.extend(help);
        self.report(diagnostic);
        Failed
    }

    /// Message, byte range in the code, and help for an error.
    fn explain(&self, code: &str, error: &Error) -> (String, Option<std::ops::Range<usize>>, Option<String>) {
        let range = error.range().filter(|r| r.end <= code.len() && r.start < r.end);
        match error.kind() {
            ErrorKind::UndefinedError => {
                if let Some(found) = self.undefined(code, range.clone()) {
                    return found;
                }
                let what = range.as_ref().and_then(|r| code.get(r.clone())).unwrap_or(code).trim();
                let absent =
                    lock(&self.shared.pass.absent).last_key_value().map(|(_, absent)| absent.clone());
                not_defined(what, range, absent)
            }
            ErrorKind::SyntaxError => {
                let help = Some(braces::help(code, range.as_ref()));
                (format!("the template cannot be read: {}", template::message(error)), range, help)
            }
            ErrorKind::UnknownFilter => {
                let name = range.as_ref().and_then(|r| code.get(r.clone())).unwrap_or_default();
                let name = name.split('(').next().unwrap_or_default().trim();
                let help = ansible::word(At::Filter, name).or_else(|| suggest(name, template::FILTERS));
                (format!("there is no filter `{name}`"), range, help)
            }
            ErrorKind::UnknownFunction => {
                let code = range.as_ref().and_then(|r| code.get(r.clone())).unwrap_or(code);
                let name = code.split('(').next().unwrap_or_default().trim();
                (template::message(error), range.clone(), ansible::word(At::Variable, name))
            }
            // Other errors quote the values that they do not like.
            kind if self.secrets() > 0 => {
                (format!("{kind} (more is not said: a secret went into it)"), range, None)
            }
            _ => (template::message(error), range, None),
        }
    }

    /// Finds which path of the code leads nowhere, where it stands, and what it may have been meant to be.
    fn undefined(
        &self,
        code: &str,
        near: Option<std::ops::Range<usize>>,
    ) -> Option<(String, Option<std::ops::Range<usize>>, Option<String>)> {
        let mut uses = template::Uses::default();
        uses.add(template::texts(), code, !template::is_template(code));
        let mut found: Vec<_> = uses
            .paths
            .iter()
            .filter_map(|path| {
                let (missing, help) = self.walk(path)?;
                let at =
                    code.find(path.as_str()).or_else(|| code.find(&missing)).map(|i| i..i + missing.len());
                Some((missing, at, help))
            })
            .collect();
        let distance = |at: &Option<std::ops::Range<usize>>| match (at, &near) {
            (Some(at), Some(near)) => at.start.abs_diff(near.start),
            (Some(_), None) => 0,
            (None, _) => usize::MAX,
        };
        found.sort_by_key(|(_, at, _)| distance(at));
        let (missing, at, help) = found.into_iter().next()?;
        if let Some(absent) = lock(&self.shared.pass.absent).get(&missing) {
            return Some(not_defined(&missing, at.or(near), Some(absent.clone())));
        }
        let message = match missing.as_str() {
            "item" => "`item` is only there in a step with `each`".into(),
            _ => format!("`{missing}` is not defined"),
        };
        Some((message, at.or(near), help))
    }

    /// Follows a path; returns the part of it that is not defined, and a hint.
    fn walk(&self, path: &str) -> Option<(String, Option<String>)> {
        let mut value = self.root();
        let mut so_far = String::new();
        for part in path.split('.') {
            let next = value.get_attr(part).ok()?;
            if !so_far.is_empty() {
                so_far.push('.');
            }
            so_far.push_str(part);
            if next.is_undefined() {
                if template::texts().globals().any(|(name, _)| name == so_far) {
                    return None;
                }
                let names: Vec<String> = value.try_iter().ok()?.map(|v| v.to_string()).collect();
                let bare = so_far == part && self.shared.find(part).is_some();
                let help = if bare {
                    Some(format!("write `vars.{part}`"))
                } else if let Some(help) = Some(())
                    .filter(|()| so_far == part)
                    .and_then(|()| ansible::word(At::Variable, part).or_else(|| braces::foreign_word(part)))
                {
                    Some(help)
                } else {
                    suggest(part, names.iter().map(String::as_str))
                };
                return Some((so_far, help));
            }
            value = next;
        }
        None
    }

    fn root(&self) -> Value {
        Value::from_object(names::Root(self.clone()))
    }

    /// Renders the definition of a variable at one layer.
    fn variable(&self, name: &str) -> Option<Value> {
        let shared = &self.shared;
        lock(&shared.pass.variables).insert(name.to_owned());
        let below = {
            let open = lock(&shared.open);
            match open.last() {
                // A variable that refers to itself means the one of lower precedence.
                Some((last, layer)) if last == name => Some(*layer),
                _ if open.iter().any(|(n, _)| n == name) => {
                    let way: Vec<_> = open.iter().map(|(n, _)| n.as_str()).chain([name]).collect();
                    let way = way.join(" > ");
                    drop(open);
                    return Some(self.circle(name, &way));
                }
                _ => None,
            }
        };
        if below.is_none()
            && let Some((value, secret)) = lock(&shared.memo).get(name)
        {
            if *secret {
                shared.pass.secrets.fetch_add(1, Ordering::Relaxed);
            }
            return Some(value.clone());
        }
        let (position, layer, node) = shared
            .layers
            .iter()
            .enumerate()
            .take(below.unwrap_or(usize::MAX))
            .rev()
            .find_map(|(i, layer)| layer.find(name).map(|node| (i, layer, node)))?;
        let (touches, secrets) = (self.touches(), self.secrets());
        let depth = shared.pass.depth.fetch_add(1, Ordering::Relaxed);
        lock(&shared.open).push((name.to_owned(), position));
        let outside_loop = Self { shared: Arc::clone(shared), item: None };
        let value = if depth < limits::CHAIN {
            outside_loop.definition(layer, node).and_then(|v| self.shallow(layer, node, v))
        } else {
            let message = format!("more than {} variables need one another in a row", limits::CHAIN);
            self.report(Diagnostic::error(span(&layer.source, &node.span), message));
            Err(Failed)
        };
        lock(&shared.open).pop();
        shared.pass.depth.fetch_sub(1, Ordering::Relaxed);
        let value = value.unwrap_or_else(|Failed| Value::from(template::reported()));
        if below.is_none() && self.touches() == touches {
            let secret = self.secrets() > secrets;
            lock(&shared.memo).insert(name.to_owned(), (value.clone(), secret));
        }
        Some(value)
    }

    fn circle(&self, name: &str, way: &str) -> Value {
        let place = self.shared.layers.iter().rev().find_map(|l| l.find(name).map(|n| (l, n)));
        if let Some((layer, node)) = place {
            self.report(
                Diagnostic::error(
                    span(&layer.source, &node.span),
                    format!("the variables {way} need one another"),
                )
                .help("a variable may refer to itself only to extend the one of lower precedence"),
            );
        }
        Value::from(template::reported())
    }

    /// Refuses a value that nests so deep that no other may be built around it.
    fn shallow(&self, layer: &Layer, node: &Node, value: Value) -> Result<Value, Failed> {
        let written = !matches!(node.value, TomlValue::String(_) | TomlValue::Array(_) | TomlValue::Table(_));
        if written || !limits::too_deep(&value) {
            return Ok(value);
        }
        let message = format!("the value nests deeper than {}, or is too large", limits::DEPTH);
        self.report(Diagnostic::error(span(&layer.source, &node.span), message));
        Err(Failed)
    }

    fn definition(&self, layer: &Layer, node: &Node) -> Result<Value, Failed> {
        if let Some(from) = secret::source(node) {
            if self.shared.pass.masked {
                return Ok(Value::from(MASK));
            }
            let rendered = self.render(&layer.source, node)?;
            let from = secret::source(&rendered).unwrap_or(from);
            return match self.shared.world.secrets.get(&from, &layer.folder) {
                Ok(secret) => {
                    self.shared.pass.secrets.fetch_add(1, Ordering::Relaxed);
                    Ok(Value::from(secret.expose()))
                }
                Err(unread) => {
                    let severity = self.shared.world.missing_secrets;
                    let mut diagnostic =
                        Diagnostic::error(span(&layer.source, &node.span), unread.message).help(unread.help);
                    diagnostic.severity = severity;
                    self.report(diagnostic);
                    match severity {
                        Severity::Error => Err(Failed),
                        // Something must stand there for the rest to be checked.
                        Severity::Warning => Ok(Value::from("secret-that-could-not-be-read")),
                    }
                }
            };
        }
        match &node.value {
            TomlValue::String(text) if template::is_template(text) => {
                self.value_of(&layer.source, node, text)
            }
            TomlValue::Array(items) => items.iter().map(|n| self.definition(layer, n)).collect(),
            TomlValue::Table(entries) => {
                let pairs: Result<Vec<_>, _> =
                    entries.iter().map(|(k, n)| Ok((k.name.clone(), self.definition(layer, n)?))).collect();
                Ok(Value::from_pairs(pairs?))
            }
            _ => Ok(Value::from(Serde(node.to_json()))),
        }
    }

    fn want_facts(&self) {
        self.shared.pass.facts_wanted.store(true, Ordering::Relaxed);
        self.shared.pass.touches.fetch_add(1, Ordering::Relaxed);
    }

    fn host_value(&self, host: HostIndex, own: bool) -> Value {
        Value::from_object(names::HostValue { scope: self.clone(), host, own })
    }
}

/// What is said of a name that leads nowhere.
fn not_defined(
    what: &str,
    range: Option<std::ops::Range<usize>>,
    absent: Option<Absent>,
) -> (String, Option<std::ops::Range<usize>>, Option<String>) {
    let why = absent.as_ref().and_then(|a| a.why.as_ref()).map_or_else(String::new, |why| format!(": {why}"));
    (format!("`{what}` is not defined{why}"), range, absent.map(|a| a.help))
}

impl Shared {
    fn find(&self, name: &str) -> Option<&Node> {
        self.layers.iter().rev().find_map(|l| l.find(name))
    }
}
