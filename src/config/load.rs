//! From options to a run: reads the files, selects hosts and steps, and checks offline all that can be.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::alike::Alike;
use super::environment::Environment;
use super::finding;
use super::fleet::Fleet;
use super::inventory;
use super::layer::Layer;
use super::lint;
use super::options::{MissingSecrets, Options};
use super::pattern;
use super::playbook::{self, Playbook, RawStep};
use super::resolve::{self, PlayScope, SourceStep};
use super::results::{PlaySteps, StepEntry, StepIndex};
use super::scope::{Scope, World};
use super::secret::{SecretStore, in_folder};
use super::select::Selection;
use super::table::span;
use super::{document, hints, offline};
use crate::diagnostic::{self, Diagnostic, Severity, Source};
use crate::model::value::{Key, Node, Value};
use crate::model::{Host, HostIndex, Hosts, Known, Login, PlayIndex, Redactor, StepId};
use crate::run::{Play, Run, StepSource};
use crate::shard::{self, Split, Tied};

/// Bytes that an inventory or a playbook may have. Reading one takes some fifty times as much memory.
const LARGEST: u64 = 8 << 20;

/// What loading came to.
#[derive(Debug)]
pub struct Loaded {
    /// The run; `None` if there is an error among the diagnostics.
    pub run: Option<Run>,
    /// All mistakes and warnings, by file and position.
    pub diagnostics: Vec<Diagnostic>,
    /// Knows every secret that was read. Clones learn of those that are read later, too.
    pub redactor: Redactor,
    /// How many hosts to work on at once, if the inventory says.
    pub forks: Option<usize>,
    /// How many hosts there are in all shards.
    pub of_hosts: usize,
    /// Groups of hosts that make a shard longer than the others.
    pub tied: Vec<Tied>,
    /// The files that were read as a whole: the inventory and the playbooks.
    pub sources: Vec<Arc<Source>>,
}

/// What all loading has in hand.
struct Loader<'a> {
    options: &'a Options,
    environment: &'a Arc<dyn Environment>,
    redactor: Redactor,
    out: Vec<Diagnostic>,
    sources: Vec<Arc<Source>>,
}

/// Loads inventory and playbooks, and checks them offline as far as that goes.
pub fn load(options: &Options, environment: &Arc<dyn Environment>) -> Loaded {
    let mut loader =
        Loader { options, environment, redactor: Redactor::default(), out: Vec::new(), sources: Vec::new() };
    let fleet = loader.fleet();
    let playbooks = loader.playbooks();
    let overrides = loader.overrides();
    let (Some(fleet), false) = (fleet, playbooks.is_empty()) else { return loader.finish(None, None) };
    let forks = fleet.forks;
    let world = loader.world(fleet, &playbooks);
    let run = loader.run(&world, playbooks, &overrides);
    let mut whole = loader.finish(Some(run), forks);
    if let (Some(shard), Some(run)) = (options.shard, &mut whole.run) {
        let Split { shards, tied } = shard::split(run, shard.of);
        whole.tied = tied;
        whole.of_hosts = run.hosts.len();
        *run = run.on(&shards[shard.number - 1]);
    }
    whole
}

/// Loads the inventory alone: a run without playbooks, on the hosts of [`Options::hosts_pattern`].
pub fn load_inventory(options: &Options, environment: &Arc<dyn Environment>) -> Loaded {
    let mut loader =
        Loader { options, environment, redactor: Redactor::default(), out: Vec::new(), sources: Vec::new() };
    let Some(fleet) = loader.fleet() else { return loader.finish(None, None) };
    let forks = fleet.forks;
    let mut selected: Vec<HostIndex> = fleet.hosts.indices().collect();
    for (option, pattern) in [("", &options.hosts_pattern), ("--limit", &options.limit)] {
        if let Some(pattern) = pattern {
            let found = loader.command_line_pattern(option, pattern, &fleet);
            selected.retain(|h| found.contains(h));
            if found.is_empty() && !loader.failed() {
                loader.out.push(Diagnostic::error(None, format!("no host matches `{pattern}`")));
            }
        }
    }
    loader.secrets(&fleet, &[]);
    let hosts = selected.iter().map(|h| Arc::clone(&fleet.hosts[*h])).collect();
    let run = Run { hosts, inventory: Arc::clone(&fleet.hosts), plays: Vec::new() };
    loader.finish(Some(run), forks)
}

impl Loader<'_> {
    fn finish(mut self, run: Option<Run>, forks: Option<usize>) -> Loaded {
        diagnostic::distinct(&mut self.out);
        diagnostic::sort(&mut self.out);
        let failed = self.failed();
        for diagnostic in &mut self.out {
            diagnostic.message = self.redactor.redact(&diagnostic.message);
            diagnostic.label = self.redactor.redact(&diagnostic.label);
            for help in &mut diagnostic.help {
                *help = self.redactor.redact(help);
            }
        }
        Loaded {
            run: run.filter(|_| !failed),
            diagnostics: self.out,
            redactor: self.redactor,
            forks,
            of_hosts: 0,
            tied: Vec::new(),
            sources: self.sources,
        }
    }

    fn failed(&self) -> bool {
        self.out.iter().any(|d| d.severity == Severity::Error)
    }

    /// Reads a TOML file and reports what is malformed in it.
    fn document(&mut self, path: &Path, what: &str) -> Option<(Arc<Source>, Node)> {
        let name = path.display().to_string();
        let mut encoding = None;
        let read = self.environment.read_at_most(path, LARGEST).and_then(|bytes| {
            // UTF-16 without its mark may well be UTF-8 with NUL bytes.
            let text = String::from_utf8(bytes).map_err(std::string::FromUtf8Error::into_bytes);
            let text = text.and_then(|t| if t.contains('\0') { Err(t.into_bytes()) } else { Ok(t) });
            text.map_err(|bytes| {
                let (why, help) = hints::not_utf8(&bytes);
                encoding = help;
                why
            })
        });
        let text = match read {
            Ok(text) => text,
            Err(why) => {
                let message = format!("cannot read the {what} {name}: {why}");
                let mut diagnostic = Diagnostic::error(None, message);
                diagnostic.help.extend(match encoding {
                    Some(help) => Some(help.to_owned()),
                    None if what == "inventory" => {
                        Some("name it with `-i FILE` or HOSTWRIGHT_INVENTORY".to_owned())
                    }
                    None => None,
                });
                self.out.push(diagnostic);
                return None;
            }
        };
        let source = Source::new(&name, text);
        self.sources.push(Arc::clone(&source));
        let (root, malformed) = document::parse(&source.text);
        // What stands in a malformed file may not be what was written: its other mistakes may be none.
        let found = !malformed.is_empty();
        finding::merge(&mut self.out, hints::malformed(&source, what, malformed));
        (!found).then_some((source, root))
    }

    fn fleet(&mut self) -> Option<Fleet> {
        let path = self.options.inventory.clone();
        let (source, root) = self.document(&path, "inventory")?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut fleet = inventory::parse(&source, folder, &root, &**self.environment, &mut self.out);
        lint::known(&source, &fleet.silenced, &mut self.out);
        if let Some(config) = &self.options.ssh_config {
            let config = in_folder(Path::new(""), &config.display().to_string(), &**self.environment);
            let with = |host: &Arc<Host>| {
                let login = Login { ssh_config: Some(config.clone()), ..host.login.clone() };
                Arc::new(Host { login, ..(**host).clone() })
            };
            fleet.hosts = Arc::new(Hosts::new(fleet.hosts.iter().map(with).collect()));
        }
        Some(fleet)
    }

    fn playbooks(&mut self) -> Vec<Playbook> {
        let mut files = Vec::new();
        for path in &self.options.playbooks {
            match self.environment.list(path) {
                Ok(Some(mut names)) => {
                    names.retain(|n| {
                        Path::new(n).extension().is_some_and(|e| e == "toml") && !n.starts_with('.')
                    });
                    names.sort();
                    if names.is_empty() {
                        let message = format!("the folder {} has no playbooks", path.display());
                        self.out.push(
                            Diagnostic::error(None, message).help("playbooks are files that end in `.toml`"),
                        );
                    }
                    files.extend(names.into_iter().map(|n| path.join(n)));
                }
                // What is not there is reported when it is read.
                Ok(None) | Err(_) => files.push(path.clone()),
            }
        }
        let mut playbooks = Vec::new();
        for file in files {
            if let Some((source, root)) = self.document(&file, "playbook") {
                playbooks.extend(playbook::parse(&source, &file, &root, &mut self.out));
            }
        }
        playbooks
    }

    /// `--var NAME=VALUE`.
    fn overrides(&mut self) -> Arc<Layer> {
        // All of them make one text, so that messages can point into it.
        let mut text = String::new();
        let mut vars: Vec<(Key, Node)> = Vec::new();
        for var in &self.options.vars {
            let start = text.len();
            text.push_str(var);
            text.push('\n');
            let Some((name, value)) = var.split_once('=') else {
                self.out.push(
                    Diagnostic::error(None, format!("`--var {var}` has no `=`"))
                        .help("write `--var NAME=VALUE`"),
                );
                continue;
            };
            let at = start + name.len() + 1;
            let range = at..at + value.len();
            // Read at its place within the whole, so that ranges fit.
            let padded = format!("{}v = {value}", " ".repeat(at.saturating_sub(4)));
            let shift = at.abs_diff(at.max(4));
            let (root, malformed) = document::parse(&padded);
            let node = match root.entry("v") {
                Some((_, node)) if malformed.is_empty() && shift == 0 && entries(&root) == 1 => node.clone(),
                Some((_, node)) if malformed.is_empty() && entries(&root) == 1 => respan(node, &range),
                _ => Node { span: range, value: Value::String(value.to_owned()) },
            };
            vars.retain(|(k, _)| k.name != name);
            vars.push((Key { name: name.trim().to_owned(), span: start..start + name.len() }, node));
        }
        let source = Source::new("--var", text);
        let table = Node { span: 0..source.text.len(), value: Value::Table(vars) };
        Arc::new(Layer::new(&source, Path::new(""), &table, &mut self.out))
    }

    fn world(&mut self, fleet: Fleet, playbooks: &[Playbook]) -> Arc<World> {
        let secrets = self.secrets(&fleet, playbooks);
        let missing = match self.options.missing_secrets {
            MissingSecrets::Error => Severity::Error,
            MissingSecrets::Warning => Severity::Warning,
        };
        Arc::new(World::new(fleet, Arc::clone(self.environment), secrets, missing))
    }

    /// The secrets of a run. Those that are at hand are read at once, so that they are masked also where a host prints
    /// one that no step uses.
    fn secrets(&self, fleet: &Fleet, playbooks: &[Playbook]) -> SecretStore {
        // Without playbooks no secret is used, and a check is to run where nobody can be asked.
        let may_ask = !playbooks.is_empty() && self.options.missing_secrets == MissingSecrets::Error;
        let secrets = SecretStore::new(Arc::clone(self.environment), self.redactor.clone(), may_ask);
        let written = fleet.layers.0.iter().flatten().chain(playbooks.iter().map(|p| &p.vars));
        let mut seen = HashSet::new();
        for layer in written.filter(|layer| seen.insert(Arc::as_ptr(layer))) {
            layer.vars.iter().for_each(|(_, node)| secrets.foresee(node, &layer.folder));
        }
        secrets
    }

    fn command_line_pattern(&mut self, option: &str, pattern: &str, fleet: &Fleet) -> BTreeSet<HostIndex> {
        match pattern::select(pattern, fleet, self.out.len()) {
            Ok(hosts) => hosts.into_iter().collect(),
            Err(wrongs) => {
                for wrong in wrongs {
                    let message = if option.is_empty() {
                        wrong.message
                    } else {
                        format!("{option} {pattern}: {}", wrong.message)
                    };
                    let mut diagnostic = Diagnostic::error(None, message);
                    diagnostic.help.extend(wrong.help);
                    self.out.push(diagnostic);
                }
                BTreeSet::new()
            }
        }
    }

    /// The hosts that a pattern in a playbook selects.
    fn pattern(&mut self, source: &Arc<Source>, node: &Node, fleet: &Fleet) -> BTreeSet<HostIndex> {
        let Value::String(text) = &node.value else { return BTreeSet::new() };
        match pattern::select(text, fleet, self.out.len()) {
            Ok(hosts) => hosts.into_iter().collect(),
            Err(wrongs) => {
                for wrong in wrongs {
                    let at = document::within(source, node, &wrong.range);
                    let mut diagnostic = Diagnostic::error(span(source, &at), wrong.message);
                    diagnostic.help.extend(wrong.help);
                    self.out.push(diagnostic);
                }
                BTreeSet::new()
            }
        }
    }

    fn run(&mut self, world: &Arc<World>, mut playbooks: Vec<Playbook>, overrides: &Arc<Layer>) -> Run {
        let fleet = &world.fleet;
        let limit =
            self.options.limit.clone().map(|limit| self.command_line_pattern("--limit", &limit, fleet));
        lint::written(&playbooks, &mut self.out);
        let selection = Selection::new(self.options, &playbooks, &mut self.out);

        let mut plays: Vec<(BTreeSet<HostIndex>, Arc<PlayScope>, Vec<SourceStep>)> = Vec::new();
        let mut index = StepIndex::default();
        for (number, playbook) in playbooks.iter_mut().enumerate() {
            let source = Arc::clone(&playbook.source);
            let mut hosts = match &playbook.hosts {
                Some(node) => {
                    let hosts = self.pattern(&source, node, fleet);
                    let silenced = playbook.silence.iter().any(|s| s.lint == lint::NO_HOSTS.name);
                    if hosts.is_empty() && !silenced && !self.failed() {
                        let diagnostic =
                            lint::NO_HOSTS.at(&source, &node.span, "no host matches this pattern");
                        self.out.push(diagnostic.label("the playbook does nothing"));
                    }
                    hosts
                }
                None => BTreeSet::new(),
            };
            if let Some(limit) = &limit {
                hosts.retain(|h| limit.contains(h));
            }
            let scope = Arc::new(PlayScope {
                world: Arc::clone(world),
                number: PlayIndex::new(number),
                source: Arc::clone(&source),
                folder: playbook.folder.clone(),
                becomes: playbook.becomes.clone(),
                layers: vec![Arc::clone(&playbook.vars), Arc::clone(overrides)],
            });
            let whole = Arc::new(hosts.clone());
            let raws = std::mem::take(&mut playbook.steps);
            let mut steps = Vec::new();
            let mut names = BTreeMap::new();
            for (position, mut raw) in raws.into_iter().enumerate() {
                let mut narrowed = Arc::clone(&whole);
                for node in &raw.hosts {
                    let own = self.pattern(&source, node, fleet);
                    narrowed = Arc::new(narrowed.intersection(&own).copied().collect());
                }
                let selected = selection.selects(number, position, playbook, &raw);
                let step_hosts = if selected { Arc::clone(&narrowed) } else { Arc::default() };
                raw.tags.extend(playbook.tags.iter().cloned());
                let step = source_step(&scope, position, raw, step_hosts);
                let entry = StepEntry {
                    id: step.id.clone(),
                    index: position,
                    handler: step.raw.handler,
                    meant: narrowed,
                    hosts: Arc::clone(&step.hosts),
                };
                names.insert(step.id.to_string(), entry.clone());
                if let Some((name, _)) = &step.raw.register {
                    names.insert(name.clone(), entry);
                }
                steps.push(step);
            }
            index.plays.push(PlaySteps { name: Arc::clone(&playbook.name), names });
            plays.push((hosts, scope, steps));
        }
        world.steps.set(index).expect("set once, here");

        let resolved = offline::check(world, &mut plays, &lint::looks_at, &mut self.out);
        lint::resolved(&resolved, &mut self.out);

        let used: BTreeSet<HostIndex> = plays.iter().flat_map(|(hosts, ..)| hosts.iter().copied()).collect();
        let hosts: Vec<HostIndex> = used.into_iter().collect();
        if hosts.is_empty() && !self.failed() {
            let what =
                self.options.limit.as_ref().map_or_else(String::new, |l| format!(" within `--limit {l}`"));
            self.out.push(Diagnostic::error(None, format!("no playbook has a host{what}")));
        }
        let plays = plays
            .into_iter()
            .zip(&playbooks)
            .map(|((on, scope, steps), playbook)| Play {
                name: Arc::clone(&playbook.name),
                title: self.title(world, playbook, &on, &scope),
                file: Arc::clone(&playbook.source.name),
                hosts: on.iter().filter_map(|h| hosts.binary_search(h).ok()).map(HostIndex::new).collect(),
                barrier: playbook.barrier,
                serial: playbook.serial.clone(),
                max_failures: playbook.max_failures,
                all_or_nothing: playbook.all_or_nothing,
                steps: steps.into_iter().map(|s| Arc::new(s) as Arc<dyn StepSource>).collect(),
            })
            .collect();
        Run {
            hosts: hosts.iter().map(|h| Arc::clone(&fleet.hosts[*h])).collect(),
            inventory: Arc::clone(&fleet.hosts),
            plays,
        }
    }

    /// The title is one for all hosts; its templates are rendered for the first one.
    fn title(
        &mut self,
        world: &Arc<World>,
        playbook: &Playbook,
        on: &BTreeSet<HostIndex>,
        play: &PlayScope,
    ) -> String {
        let Some(node) = &playbook.title else { return playbook.name.to_string() };
        let as_written = match &node.value {
            Value::String(text) => text.clone(),
            _ => String::new(),
        };
        let Some(&host) = on.first() else { return as_written };
        let scope = Scope::new(world, host, &play.layers, &Known::default(), None);
        let rendered = scope.render(&playbook.source, node);
        let mut diagnostics = scope.take_diagnostics();
        if rendered.is_err() && diagnostics.is_empty() {
            diagnostics.push(Diagnostic::error(
                span(&playbook.source, &node.span),
                "the title cannot use facts or results: it is one for all hosts",
            ));
        }
        finding::merge(&mut self.out, diagnostics);
        match rendered.map(|n| n.value) {
            Ok(Value::String(text)) => text,
            Ok(_) | Err(_) => as_written,
        }
    }
}

fn entries(node: &Node) -> usize {
    match &node.value {
        Value::Table(entries) => entries.len(),
        _ => 0,
    }
}

fn respan(node: &Node, range: &std::ops::Range<usize>) -> Node {
    super::template::json_node(&node.to_json(), range)
        .unwrap_or_else(|| Node { span: range.clone(), value: node.value.clone() })
}

fn source_step(
    play: &Arc<PlayScope>,
    index: usize,
    raw: RawStep,
    hosts: Arc<BTreeSet<HostIndex>>,
) -> SourceStep {
    let name = match raw.name.as_ref().map(|n| &n.value) {
        Some(Value::String(name)) => name.clone(),
        _ => resolve::name_of(raw.kind, &raw.body, &raw.body),
    };
    SourceStep {
        index,
        id: StepId::new(&raw.id),
        place: play.source.place(raw.head.start),
        name,
        hosts,
        needs_facts: false,
        needs_results: Vec::new(),
        alike: Alike::default(),
        play: Arc::clone(play),
        raw,
    }
}
