//! A playbook as written: its head and its steps with their common keys, templates unrendered.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ansible::{self, At};
use super::becomes::{Becomes, becomes};
use super::layer::Layer;
use super::table::{Silence, Table, mismatch, silence, span, suggest_beside};
use crate::diagnostic::{Diagnostic, MANY, Source, nearest};
use crate::model::value::{Key, Node, Value};
use crate::run::Batch;
use crate::step::{self, KindInfo};

/// A playbook.
#[derive(Debug)]
pub(super) struct Playbook {
    /// The text.
    pub source: Arc<Source>,
    /// The folder it lies in.
    pub folder: PathBuf,
    /// Its file name without folder and ending.
    pub name: Arc<str>,
    /// Its title, unrendered.
    pub title: Option<Node>,
    /// The pattern of its hosts.
    pub hosts: Option<Node>,
    /// As whom its steps act.
    pub becomes: Option<Becomes>,
    /// Whether its hosts wait until all are done with the playbooks before.
    pub barrier: bool,
    /// Rolling batches.
    pub serial: Vec<Batch>,
    /// How many hosts of a batch may fail.
    pub max_failures: Option<Batch>,
    /// Whether nothing is applied when one of its hosts is left out.
    pub all_or_nothing: bool,
    /// Tags of all its steps.
    pub tags: Vec<String>,
    /// Its variables.
    pub vars: Arc<Layer>,
    /// Lints not to report on it and its steps.
    pub silence: Vec<Silence>,
    /// Its steps in order.
    pub steps: Vec<RawStep>,
}

/// A step as written.
#[derive(Debug)]
pub(super) struct RawStep {
    /// Range of the whole table, for messages that fit nowhere else.
    pub head: Range<usize>,
    /// Its id: given, or made from its name or position.
    pub id: String,
    /// The id as given.
    pub given_id: Option<(String, Range<usize>)>,
    /// Its name.
    pub name: Option<Node>,
    /// The patterns that narrow the playbook's hosts: its own, and those of the groups that it is in.
    pub hosts: Vec<Node>,
    /// Its conditions, all of which must hold.
    pub when: Vec<Node>,
    /// Its loop.
    pub each: Option<Node>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The name under which templates may ask for its result, beside its id.
    pub register: Option<(String, Range<usize>)>,
    /// Handlers to notify.
    pub notify: Vec<(String, Range<usize>)>,
    /// Whether it is a handler.
    pub handler: bool,
    /// An expression over `result`.
    pub until: Option<Node>,
    /// Lints not to report on it, those of the playbook included.
    pub silence: Vec<Silence>,
    /// The remaining common keys, as a table to be rendered and read for each host.
    pub common: Node,
    /// The kind.
    pub kind: &'static KindInfo,
    /// Where the kind is written.
    pub kind_span: Range<usize>,
    /// The kind's table, the short form made long.
    pub body: Node,
}

/// The keys of a playbook.
pub(crate) const PLAYBOOK_KEYS: [&str; 12] = [
    "title",
    "hosts",
    "when",
    "become",
    "barrier",
    "serial",
    "max_failures",
    "all_or_nothing",
    "tags",
    "vars",
    "silence",
    "step",
];

/// The common keys of a step.
pub(crate) const STEP_KEYS: [&str; 20] = [
    "name",
    "id",
    "hosts",
    "when",
    "each",
    "tags",
    "register",
    "notify",
    "handler",
    "until",
    "silence",
    "become",
    "timeout",
    "retries",
    "retry_delay",
    "on_failure",
    "disruptive",
    "provides",
    "needs",
    "step",
];

/// The common keys that a group of steps may have, for all of them.
const GROUP_KEYS: [&str; 15] = [
    "name",
    "hosts",
    "when",
    "tags",
    "notify",
    "silence",
    "become",
    "timeout",
    "retries",
    "retry_delay",
    "on_failure",
    "disruptive",
    "provides",
    "needs",
    "step",
];

/// Keys of a step that are rendered for each host.
pub(super) const RENDERED: [&str; 8] =
    ["become", "timeout", "retries", "retry_delay", "on_failure", "disruptive", "provides", "needs"];

/// Reads a playbook.
pub(super) fn parse(
    source: &Arc<Source>,
    path: &Path,
    root: &Node,
    out: &mut Vec<Diagnostic>,
) -> Option<Playbook> {
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut table = Table::new(source, root, out)?;
    let title = table.text("title").map(|(_, node)| node.clone());
    let hosts_given = root.entry("hosts").is_some();
    let hosts = pattern_of_hosts(source, &mut table);
    let when = conditions(source, &mut table);
    let becomes = becomes(source, &mut table);
    let serial = batches(source, &mut table);
    let barrier_span = table.rest().iter().find(|(k, _)| k.name == "barrier").map(|(k, _)| k.span.clone());
    let barrier = table.flag("barrier").unwrap_or(true);
    let max_failures = match table.take("max_failures") {
        Some((_, node)) => batch(source, node, 0, table.out()),
        None => None,
    };
    let all_or_nothing = table.flag("all_or_nothing").unwrap_or_default();
    if let (false, Some(at)) =
        (barrier, barrier_span.filter(|_| !serial.is_empty() || max_failures.is_some()))
    {
        table.out().push(
            Diagnostic::error(span(source, &at), "a playbook whose hosts are counted has a barrier")
                .help("leave out `barrier`, or `serial` and `max_failures`"),
        );
    }
    let tags = table.texts("tags").into_iter().map(|(t, _)| t.to_owned()).collect();
    let vars = match table.take("vars") {
        Some((_, node)) => Arc::new(Layer::new(source, &folder, node, table.out())),
        None => Arc::default(),
    };
    let silence = silence(source, &mut table);
    let step_node = table.take("step").map(|(_, n)| n.clone());
    table.reads(&PLAYBOOK_KEYS);
    let steps_meant = report_unknown(source, table);
    if !hosts_given {
        out.push(
            Diagnostic::error(span(source, &(0..0)), "the playbook does not say for which hosts it is")
                .help("write `hosts = \"GROUP\"`; `hosts = \"all\"` means every host"),
        );
    }
    let mut steps = Vec::new();
    match step_node.as_ref().map(|n| &n.value) {
        Some(Value::Array(tables)) => {
            for node in tables {
                steps.extend(step_or_group(source, node, out));
            }
            for step in &mut steps {
                step.silence.extend(silence.iter().cloned());
                step.when.splice(0..0, when.iter().cloned());
            }
        }
        Some(_) => {
            let node = step_node.as_ref().expect("matched above");
            out.push(
                mismatch(source, node, "an array of tables").help("write `[[step]]` with double brackets"),
            );
        }
        None if steps_meant => {}
        None => out.push(
            Diagnostic::error(span(source, &(0..0)), "the playbook has no steps").help("write `[[step]]`"),
        ),
    }
    name_steps(&mut steps);
    let name = path.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into_owned()).into();
    Some(Playbook {
        source: Arc::clone(source),
        folder,
        name,
        title,
        hosts,
        becomes,
        barrier,
        serial,
        max_failures,
        all_or_nothing,
        tags,
        vars,
        silence,
        steps,
    })
}

/// Takes `hosts`, a pattern.
fn pattern_of_hosts(source: &Arc<Source>, table: &mut Table<'_, '_>) -> Option<Node> {
    let (_, node) = table.take("hosts")?;
    match &node.value {
        Value::String(_) => return Some(node.clone()),
        Value::Array(items) => {
            let names: Vec<&str> = items
                .iter()
                .filter_map(|n| if let Value::String(name) = &n.value { Some(name.as_str()) } else { None })
                .collect();
            let help = format!("write the names as one text: \"{}\"", names.join(","));
            table.out().push(mismatch(source, node, "a string").help(help));
        }
        _ => table.out().push(mismatch(source, node, "a string")),
    }
    None
}

/// A kind written at the top of a playbook, or `[step]`-less keys, deserve a better hint than a near name. Returns
/// whether steps are there under another name.
fn report_unknown(source: &Arc<Source>, mut table: Table<'_, '_>) -> bool {
    let rest: Vec<_> = table.rest().into_iter().map(|(k, _)| k.clone()).collect();
    let known = table.known().to_vec();
    let mut steps_meant = false;
    for key in rest {
        let mut diagnostic =
            Diagnostic::error(span(source, &key.span), format!("unknown key `{}` in a playbook", key.name))
                .label("not known here");
        let theirs = ansible::word(At::Play, &key.name);
        let steps = ["steps", "Step", "Steps", "task", "play", "plays"].contains(&key.name.as_str());
        steps_meant |= steps || ["tasks", "pre_tasks", "roles"].contains(&key.name.as_str());
        diagnostic.help.extend(if steps {
            Some("each step begins with `[[step]]`".to_owned())
        } else if theirs.is_some() {
            theirs
        } else if step::kind(&key.name).is_some() {
            Some(format!("`{}` is a kind of step: write it below `[[step]]`", key.name))
        } else if STEP_KEYS.contains(&key.name.as_str()) {
            Some(format!("`{}` belongs to a step: write it below `[[step]]`", key.name))
        } else {
            suggest_beside(table.out(), &key.name, known.iter().copied())
        });
        table.out().push(diagnostic);
    }
    steps_meant
}

fn batches(source: &Arc<Source>, table: &mut Table<'_, '_>) -> Vec<Batch> {
    let Some((_, node)) = table.take("serial") else { return Vec::new() };
    match &node.value {
        Value::Array(items) => items.iter().filter_map(|n| batch(source, n, 1, table.out())).collect(),
        _ => batch(source, node, 1, table.out()).into_iter().collect(),
    }
}

/// `3` or `"30%"`.
fn batch(source: &Arc<Source>, node: &Node, min: i64, out: &mut Vec<Diagnostic>) -> Option<Batch> {
    let batch = match &node.value {
        Value::Integer(n) if *n >= min => usize::try_from(*n).ok().map(Batch::Hosts),
        Value::String(text) => text
            .strip_suffix('%')
            .and_then(|n| n.trim().parse::<u8>().ok())
            .filter(|n| (1..=100).contains(n))
            .map(Batch::Percent),
        _ => None,
    };
    if batch.is_none() {
        let wanted = format!("a number from {min} up, or a share such as \"30%\"");
        let mut diagnostic = mismatch(source, node, &wanted);
        diagnostic.message = format!("this is not {wanted}");
        out.push(diagnostic);
    }
    batch
}

/// A step, or the steps of a group, in which there may be groups: what the group says holds for each of them.
fn step_or_group(source: &Arc<Source>, node: &Node, out: &mut Vec<Diagnostic>) -> Vec<RawStep> {
    let Some((_, inner)) = node.entry("step") else {
        return step(source, node, out).into_iter().collect();
    };
    let Value::Array(nodes) = &inner.value else {
        out.push(
            mismatch(source, inner, "an array of tables")
                .help("write `[[step.step]]` with double brackets before each step of the group"),
        );
        return Vec::new();
    };
    let Some(mut table) = Table::new(source, node, out) else { return Vec::new() };
    let _ = table.text("name");
    let hosts = pattern_of_hosts(source, &mut table);
    let when = conditions(source, &mut table);
    let tags: Vec<String> = table.texts("tags").into_iter().map(|(t, _)| t.to_owned()).collect();
    let notify: Vec<_> =
        table.texts("notify").into_iter().map(|(t, n)| (t.to_owned(), n.span.clone())).collect();
    let silence = silence(source, &mut table);
    let common: Vec<(Key, Node)> = RENDERED.iter().filter_map(|k| table.take(k)).cloned().collect();
    let _ = table.take("step");
    table.reads(&GROUP_KEYS);
    for (key, _) in table.rest() {
        let help = if step::kind(&key.name).is_some() {
            format!("a group of steps has no kind: write `{}` below a `[[step.step]]`", key.name)
        } else if STEP_KEYS.contains(&key.name.as_str()) {
            format!("`{}` is for a single step", key.name)
        } else {
            format!("a group of steps may have {}", GROUP_KEYS.join(", "))
        };
        let what = format!("unknown key `{}` in a group of steps", key.name);
        out.push(Diagnostic::error(span(source, &key.span), what).label("not known here").help(help));
    }
    let mut steps: Vec<RawStep> = nodes.iter().flat_map(|node| step_or_group(source, node, out)).collect();
    for step in &mut steps {
        step.hosts.extend(hosts.iter().cloned());
        step.when.splice(0..0, when.iter().cloned());
        step.tags.extend(tags.iter().cloned());
        step.notify.extend(notify.iter().cloned());
        step.silence.extend(silence.iter().cloned());
        if let Value::Table(own) = &mut step.common.value {
            let missing: Vec<_> = common
                .iter()
                .filter(|(key, _)| own.iter().all(|(k, _)| k.name != key.name))
                .cloned()
                .collect();
            own.extend(missing);
        }
    }
    steps
}

fn step(source: &Arc<Source>, node: &Node, out: &mut Vec<Diagnostic>) -> Option<RawStep> {
    let mut table = Table::new(source, node, out)?;
    let name = table.text("name").map(|(_, n)| n.clone());
    let given_id = table.text("id").map(|(text, n)| (text.to_owned(), n.span.clone()));
    let hosts = pattern_of_hosts(source, &mut table).into_iter().collect();
    let when = conditions(source, &mut table);
    let each = table.take("each").map(|(_, n)| n.clone());
    let tags = table.texts("tags").into_iter().map(|(t, _)| t.to_owned()).collect();
    let register = table.text("register").map(|(text, n)| (text.to_owned(), n.span.clone()));
    let notify = table.texts("notify").into_iter().map(|(t, n)| (t.to_owned(), n.span.clone())).collect();
    let handler = table.flag("handler").unwrap_or_default();
    let until = table.text("until").map(|(_, n)| n.clone());
    let silence = silence(source, &mut table);
    let common: Vec<(Key, Node)> = RENDERED.iter().filter_map(|k| table.take(k)).cloned().collect();
    // With that it is a group, which is read elsewhere.
    let _ = table.take("step");
    for (text, range) in given_id.iter().chain(&register) {
        if !is_id(text) {
            let message = format!("{text:?} is not an id");
            table.out().push(
                Diagnostic::error(span(source, range), message)
                    .help("use small letters, digits, `-` and `_`"),
            );
        }
    }

    table.reads(&STEP_KEYS);
    let rest = table.rest();
    let known = table.known().to_vec();
    let kinds: Vec<_> = rest.iter().filter_map(|(k, n)| step::kind(&k.name).map(|i| (k, n, i))).collect();
    let others: Vec<_> = rest.iter().filter(|(k, _)| step::kind(&k.name).is_none()).collect();
    let out = table.out();
    let head = head(source, node);
    for (key, value) in &others {
        let found = unknown(
            out.len(),
            key,
            value,
            &known,
            kinds.first().map(|(k, ..)| k.name.as_str()),
            others.len(),
        );
        out.push(Diagnostic { span: span(source, &key.span), ..found });
    }
    let &(key, value, kind) = match kinds.as_slice() {
        [one] => one,
        [] => {
            if others.is_empty() {
                out.push(
                    Diagnostic::error(span(source, &head), "the step does not say what to do")
                        .help("add the key of a kind, for example `package = \"nfs-utils\"`; `hostwright explain` lists them"),
                );
            }
            return None;
        }
        [(first, ..), (second, ..), ..] => {
            out.push(
                Diagnostic::error(span(source, &second.span), "a step has one kind, this one has several")
                    .label(format!("`{}` as well", second.name))
                    .related(span(source, &first.span), format!("it is `{}` already", first.name))
                    .help("make a step of each"),
            );
            return None;
        }
    };
    if let Value::Array(_) = value.value
        && source.text.get(value.span.clone()).is_some_and(|t| t.starts_with("[["))
    {
        let help = format!("write `[step.{}]`, with single brackets", kind.name);
        out.push(mismatch(source, value, "a table").help(help));
        return None;
    }
    let body = match (&value.value, kind.shorthand) {
        (Value::Table(_), _) => (*value).clone(),
        (_, Some(short)) => Node::wrapped(short, (*value).clone()),
        (_, None) => {
            let help = ansible::word(At::Task, kind.name).filter(|_| matches!(value.value, Value::Array(_)));
            let help = help.unwrap_or_else(|| format!("see `hostwright explain {}`", kind.name));
            out.push(mismatch(source, value, "a table").help(help));
            return None;
        }
    };
    // A step whose common keys are wrong is still read, so that its other mistakes show as well.
    Some(RawStep {
        head,
        id: given_id.as_ref().map_or_else(String::new, |(id, _)| id.clone()),
        given_id,
        name,
        hosts,
        when,
        each,
        tags,
        register,
        notify,
        handler,
        until,
        silence,
        common: Node { span: node.span.clone(), value: Value::Table(common) },
        kind,
        kind_span: key.span.clone(),
        body,
    })
}

/// The mistake of a key that no step has.
fn unknown(
    told: usize,
    key: &Key,
    value: &Node,
    known: &[&'static str],
    kind: Option<&str>,
    others: usize,
) -> Diagnostic {
    // `ansible.builtin.copy = { ... }` is a table in a table in a table.
    let (mut name, mut inner) = (key.name.clone(), value);
    while ["ansible", "community"].contains(&key.name.as_str())
        && name.matches('.').count() < 2
        && let Value::Table(entries) = &inner.value
        && let [(next, below)] = entries.as_slice()
    {
        name = format!("{name}.{}", next.name);
        inner = below;
    }
    let theirs = ansible::word(At::Task, &name);
    let module = ansible::word(At::Module, &name);
    let message = match kind {
        _ if module.is_some() && theirs.is_none() => format!("unknown kind of step `{name}`"),
        None if others == 1 => format!("unknown kind of step `{name}`"),
        _ => format!("unknown key `{name}` in a step"),
    };
    let near = || {
        let all = step::KINDS.iter().map(|k| k.name).chain(known.iter().copied());
        if told > MANY { None } else { nearest(&name, all) }
    };
    let help = theirs.or(module).unwrap_or_else(|| match (near(), kind) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, None) => {
            format!("kinds of step: {}", step::KINDS.iter().map(|k| k.name).collect::<Vec<_>>().join(", "))
        }
        (None, Some(kind)) => format!("parameters of `{kind}` go into its own table"),
    });
    Diagnostic::error(None, message).label("not known here").help(help)
}

fn conditions(source: &Arc<Source>, table: &mut Table<'_, '_>) -> Vec<Node> {
    let Some((_, node)) = table.take("when") else { return Vec::new() };
    let nodes: Vec<&Node> = match &node.value {
        Value::Array(items) => items.iter().collect(),
        _ => vec![node],
    };
    let (good, bad): (Vec<&Node>, Vec<&Node>) =
        nodes.into_iter().partition(|n| matches!(n.value, Value::String(_) | Value::Boolean(_)));
    for node in bad {
        table.out().push(mismatch(source, node, "an expression, as a string"));
    }
    good.into_iter().cloned().collect()
}

/// Whether `text` may be the id of a step.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// Where a step starts: its first key, or its header where it has none.
fn head(source: &Source, node: &Node) -> Range<usize> {
    match &node.value {
        Value::Table(entries) => entries.first().map_or_else(|| node.span.clone(), |(k, _)| k.span.clone()),
        _ => node.span.start..node.span.end.min(source.text.len()),
    }
}

/// Gives every step without an id one made from its name, or from its position; none of them twice.
fn name_steps(steps: &mut [RawStep]) {
    let mut taken: std::collections::BTreeSet<String> =
        steps.iter().filter_map(|s| s.given_id.as_ref().map(|(id, _)| id.clone())).collect();
    // The number that a name last had, so that a thousand steps of one name are not counted through each time.
    let mut last: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for (position, step) in steps.iter_mut().enumerate() {
        if step.given_id.is_some() {
            continue;
        }
        let slug = step.name.as_ref().map(|n| match &n.value {
            Value::String(text) => slug(text),
            _ => String::new(),
        });
        let base = slug.filter(|s| !s.is_empty()).unwrap_or_else(|| format!("step-{}", position + 1));
        let mut id = base.clone();
        let n = last.entry(base.clone()).or_insert(1);
        while !taken.insert(id.clone()) {
            *n += 1;
            id = format!("{base}-{n}");
        }
        step.id = id;
    }
}

/// Small letters and digits with single dashes between, templates left out.
fn slug(name: &str) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(before);
        text.push(' ');
        rest = after.split_once("}}").map_or("", |(_, r)| r);
    }
    text.push_str(rest);
    let words: Vec<String> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let mut slug = words.join("-");
    if slug.len() > 60 {
        slug.truncate(60);
        slug.truncate(slug.rfind('-').unwrap_or(60));
    }
    slug
}
