//! MiniJinja as configured for playbooks: strict, without escaping, with the filters that sysadmins need.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::OnceLock;

use base64::Engine as _;
use minijinja::value::{Kwargs, Serde, ValueKind};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Expression, Template, UndefinedBehavior, Value,
    syntax::SyntaxConfig,
};

use super::address::Network;
use super::limits::{self, Excess, Part};
use crate::model::digest::sha256;
use crate::model::value::{Key, Node, Value as TomlValue};
use crate::model::{MASK, StepResult};
use crate::step::Condition;

/// Macros that call themselves deeper than this are taken for ones that never end.
const RECURSION: usize = 64;

/// Makes the environment that all templates of a run share.
pub(super) fn environment(part: Part) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_debug(true);
    env.set_recursion_limit(RECURSION);
    env.set_fuel(Some(limits::FUEL));
    // It would print all variables, secrets among them.
    env.add_function("debug", || -> Result<String, Error> {
        Err(invalid("`debug()` is not here: it would show all variables, and the secrets among them".into()))
    });
    // As Ansible: a block tag takes its line break with it, and a file keeps its last one.
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).keep_trailing_newline(true);
    if part == Part::Text {
        syntax.comment_delimiters("{##", "##}");
    }
    env.set_syntax(syntax.build().expect("the delimiters differ"));
    // `True` and `None` are Python's; no configuration file wants them.
    env.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }).map_err(Error::from),
        ValueKind::None => Err(invalid("the value is none and cannot stand in a text".into())),
        _ => minijinja::escape_formatter(out, state, value),
    });
    env.add_filter("quote", |value: &Value| text(value).map(|t| crate::shell::quote(&t)));
    env.add_filter("b64encode", |value: &Value| {
        of_text(value, |t| base64::engine::general_purpose::STANDARD.encode(t.as_bytes()))
    });
    env.add_filter("b64decode", b64decode);
    env.add_filter("sha256", |value: &Value| of_text(value, |t| sha256(t.as_bytes())));
    env.add_filter("network", network);
    env.add_filter("to_json", to_json);
    env.add_filter("basename", |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned());
    env.add_filter("dirname", |path: &str| match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) => "/".to_owned(),
        Some((folder, _)) => folder.to_owned(),
        None => ".".to_owned(),
    });
    env
}

fn text(value: &Value) -> Result<String, Error> {
    limits::weigh(value)?;
    Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// What a filter makes of a text. What it would make of a mask tells nobody anything: that stays.
fn of_text(value: &Value, make: impl Fn(&str) -> String) -> Result<String, Error> {
    let text = text(value)?;
    Ok(if text == MASK { text } else { make(&text) })
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn b64decode(value: &str) -> Result<String, Error> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.trim());
    let bytes = bytes.map_err(|e| invalid(format!("not base64: {e}")))?;
    String::from_utf8(bytes).map_err(|_| invalid("what the base64 stands for is not text".into()))
}

/// `"192.168.158.143" | network(24)` is `192.168.158.0/24`; without a prefix the value must have one.
fn network(value: &str, prefix: Option<u8>) -> Result<String, Error> {
    let text = match prefix {
        Some(prefix) => format!("{}/{prefix}", value.split('/').next().unwrap_or_default()),
        None => value.to_owned(),
    };
    match Network::parse(&text) {
        Some(network) => Ok(network.canonical().to_string()),
        None => Err(invalid(format!("{text:?} is not an address with a prefix"))),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that filters must have")]
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    limits::weigh(value)?;
    let json =
        if indent.is_some() { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    json.map_err(|e| invalid(format!("cannot be written as JSON: {e}")))
}

/// The environment of strings in playbooks. It never changes, so that what is compiled in it can be kept.
pub(super) fn texts() -> &'static Environment<'static> {
    static TEXTS: OnceLock<Environment<'static>> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let mut env = environment(Part::Text);
        // A template is its own name: `get_template` then compiles each text once.
        env.set_loader(|text| Ok(Some(text.to_owned())));
        env
    })
}

/// The environment of a text that has a `namespace`: with less to spend.
fn with_namespace(part: Part) -> &'static Environment<'static> {
    static BOTH: OnceLock<[Environment<'static>; 2]> = OnceLock::new();
    let [texts, files] = BOTH.get_or_init(|| {
        [Part::Text, Part::File].map(|part| {
            let mut env = environment(part);
            env.set_fuel(Some(limits::NAMESPACE_FUEL));
            // An error would keep the variables, and with them what is too deep to be dropped elsewhere.
            env.set_debug(false);
            env.set_loader(|text| Ok(Some(text.to_owned())));
            env
        })
    });
    if part == Part::Text { texts } else { files }
}

/// Refuses what the engine could not bear.
pub(super) fn bounded(text: &str, expression: bool, part: Part) -> Result<(), Error> {
    limits::check(text, expression, part).map_err(|Excess { at, message }| {
        match text.get(at).map(str::trim).unwrap_or_default() {
            "" => invalid(message),
            at => invalid(format!("{message}, at `{}`", at.chars().take(20).collect::<String>())),
        }
    })
}

/// Renders a template in a file.
pub(super) fn render_file(env: &Environment<'static>, text: &str, root: Value) -> Result<String, Error> {
    bounded(text, false, Part::File)?;
    let env = if limits::has_namespace(text) { with_namespace(Part::File) } else { env };
    render(&env.template_from_str(text)?, root)
}

/// Renders a template, within bounds.
pub(super) fn render(template: &Template<'_, '_>, root: Value) -> Result<String, Error> {
    let text = if limits::has_namespace(template.source()) {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(limits::NAMESPACE_STACK);
            let rendered = thread.spawn_scoped(scope, || template.render(root));
            let rendered = rendered.map_err(|e| invalid(format!("no thread to render it: {e}")))?;
            rendered.join().unwrap_or_else(|_| Err(invalid("the template cannot be rendered".into())))
        })
    } else {
        template.render(root)
    }?;
    if text.len() > limits::TEXT {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    Ok(text)
}

/// A string of a playbook, ready to be rendered for one host after the other.
pub(super) enum Compiled {
    /// One expression, which starts at this byte.
    Expression(usize, String, Expression<'static, 'static>),
    /// One expression with blanks or line breaks around it, and the same as text. A list or a table has no text form
    /// that a playbook could want, so it is taken as such; everything else keeps what stands around it.
    Surrounded(usize, String, Expression<'static, 'static>, Template<'static, 'static>),
    /// Text with expressions in it.
    Text(Template<'static, 'static>),
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Expression(_, code, _) | Self::Surrounded(_, code, ..) => write!(f, "Expression({code:?})"),
            Self::Text(template) => write!(f, "Text({:?})", template.source()),
        }
    }
}

impl Compiled {
    /// Compiles a string.
    pub(super) fn text(text: &str) -> Result<Self, Error> {
        bounded(text, false, Part::Text)?;
        match sole_expression(texts(), text) {
            Some((at, code)) => {
                let expression = texts().compile_expression_owned(code.to_owned())?;
                if text.trim() == text {
                    return Ok(Self::Expression(at, code.to_owned(), expression));
                }
                Ok(Self::Surrounded(at, code.to_owned(), expression, texts().get_template(text)?))
            }
            None if limits::has_namespace(text) => {
                with_namespace(Part::Text).get_template(text).map(Self::Text)
            }
            None => texts().get_template(text).map(Self::Text),
        }
    }

    /// Compiles an expression written without braces.
    pub(super) fn expression(text: &str) -> Result<Self, Error> {
        bounded(text, !is_template(text), Part::Text)?;
        let (at, code) = sole_expression(texts(), text).unwrap_or((0, text));
        Ok(Self::Expression(at, code.to_owned(), texts().compile_expression_owned(code.to_owned())?))
    }
}

/// The `until` of a step: an expression over the `result` of its last try.
#[derive(Debug)]
pub(super) struct Until(String);

impl Until {
    pub(super) fn new(expression: String) -> Self {
        Self(expression)
    }
}

impl Condition for Until {
    fn text(&self) -> &str {
        &self.0
    }

    fn holds(&self, result: &StepResult) -> Result<bool, String> {
        let scope = Value::from_pairs([("result", Value::from(Serde(result)))]);
        let compiled = bounded(&self.0, true, Part::Text).and_then(|()| texts().compile_expression(&self.0));
        match compiled.map_err(|e| message(&e))?.eval(scope) {
            Ok(value) if value.is_undefined() => Err(format!("`{}` is not defined", self.0)),
            Ok(value) => Ok(value.is_true()),
            Err(error) => Err(message(&error)),
        }
    }
}

/// Whether a string is a template.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// The expression, and where it starts, if `text` is nothing but one `{{ expression }}`.
pub(super) fn sole_expression<'a>(env: &Environment<'_>, text: &'a str) -> Option<(usize, &'a str)> {
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    // `{{ a }} and {{ b }}` starts and ends alike; it does not compile as one expression.
    env.compile_expression(inner).ok()?;
    let start = inner.as_ptr() as usize - text.as_ptr() as usize;
    Some((start, inner))
}

/// What a text uses of its scope, as far as it can be told without rendering it.
#[derive(Debug, Default, Clone)]
pub(super) struct Uses {
    /// Dotted paths, `vars.redis.port`.
    pub paths: BTreeSet<String>,
    /// Results: the playbook, where it is named, and the step.
    pub results: BTreeSet<(Option<String>, String)>,
}

impl Uses {
    /// Adds what a template (or, with `expression`, an expression) uses. Text that cannot be read adds nothing.
    pub(super) fn add(&mut self, env: &Environment<'_>, text: &str, expression: bool) {
        if bounded(text, expression, Part::Text).is_err() {
            return;
        }
        let found = if expression {
            env.compile_expression(text).map(|e| e.undeclared_variables(true)).ok()
        } else if is_template(text) {
            env.template_from_str(text).map(|t| t.undeclared_variables(true)).ok()
        } else {
            None
        };
        self.paths.extend(found.into_iter().flatten());
        if expression || is_template(text) {
            for code in codes(text, expression) {
                self.results.extend(
                    chains(code, "steps")
                        .into_iter()
                        .filter_map(|chain| Some((None, chain.into_iter().next()?))),
                );
                self.results.extend(chains(code, "playbooks").into_iter().filter_map(|chain| {
                    let mut chain = chain.into_iter();
                    let playbook = chain.next()?;
                    (chain.next()? == "steps").then_some(())?;
                    Some((Some(playbook), chain.next()?))
                }));
            }
        }
    }

    /// Whether `root` or anything below it is used.
    pub(super) fn uses(&self, root: &str) -> bool {
        self.paths.iter().any(|p| p.split('.').next() == Some(root))
    }
}

/// The parts of a text that are code: all of an expression, what stands in braces of a template.
fn codes(text: &str, expression: bool) -> Vec<&str> {
    if expression {
        return vec![text];
    }
    let mut codes = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let inside = &rest[start + 2..];
        let close = if rest[start..].starts_with("{{") { "}}" } else { "%}" };
        let end = inside.find(close).unwrap_or(inside.len());
        codes.push(&inside[..end]);
        rest = &inside[end..];
    }
    codes
}

/// What is looked up below the name `root`: `steps.a.stdout` and `steps["a"].stdout` give `a`, `stdout`.
fn chains(code: &str, root: &str) -> Vec<Vec<String>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut chains = Vec::new();
    for (at, _) in code.match_indices(root) {
        if code[..at].ends_with(|c: char| is_word(c) || c == '.') {
            continue;
        }
        let (mut chain, mut rest) = (Vec::new(), &code[at + root.len()..]);
        loop {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(|c| !is_word(c)).unwrap_or(after.len());
                if end == 0 {
                    break;
                }
                chain.push(after[..end].to_owned());
                rest = &after[end..];
            } else if let Some(after) = rest.strip_prefix('[').map(str::trim_start)
                && let Some(quote) = after.chars().next().filter(|c| matches!(c, '"' | '\''))
                && let Some((key, after)) = after[1..].split_once(quote)
                && let Some(after) = after.trim_start().strip_prefix(']')
            {
                chain.push(key.to_owned());
                rest = after;
            } else {
                break;
            }
        }
        chains.push(chain);
    }
    chains
}

/// A template value as a node; every part of it gets the range of the string it came from. `None` for
/// undefined and none, which leave a key out.
pub(super) fn to_node(value: &Value, span: &Range<usize>) -> Result<Option<Node>, String> {
    if value.is_undefined() || value.is_none() {
        return Ok(None);
    }
    limits::weigh(value).map_err(|e| message(&e))?;
    let json = serde_json::to_value(value).map_err(|e| e.to_string())?;
    Ok(json_node(&json, span))
}

/// JSON as a node; null gives none.
pub(super) fn json_node(json: &serde_json::Value, span: &Range<usize>) -> Option<Node> {
    let value = match json {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(b) => TomlValue::Boolean(*b),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => TomlValue::Integer(i),
            (None, Some(f)) => TomlValue::Float(f),
            (None, None) => return None,
        },
        serde_json::Value::String(s) => TomlValue::String(s.clone()),
        serde_json::Value::Array(items) => {
            TomlValue::Array(items.iter().filter_map(|v| json_node(v, span)).collect())
        }
        serde_json::Value::Object(map) => TomlValue::Table(
            map.iter()
                .filter_map(|(k, v)| Some((Key { name: k.clone(), span: span.clone() }, json_node(v, span)?)))
                .collect(),
        ),
    };
    Some(Node { span: span.clone(), value })
}

/// The message of a template error with its causes, on one line.
pub(super) fn message(error: &Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return format!(
            "the template is too much: it does not come to an end, or makes more than {} MB of text",
            limits::TEXT >> 20
        );
    }
    let own = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    let mut message = own;
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source.filter(|cause| !cause.is::<Reported>()) {
        let text = cause.downcast_ref::<Error>().map_or_else(
            || cause.to_string(),
            |e| e.detail().map_or_else(|| e.kind().to_string(), str::to_owned),
        );
        message = format!("{message}: {text}");
        source = cause.source();
    }
    message
}

/// The cause of an error whose reason was told at the place where it belongs.
#[derive(Debug, thiserror::Error)]
#[error("reported")]
struct Reported;

/// An error of which nothing more is to be told.
pub(super) fn reported() -> Error {
    Error::new(ErrorKind::InvalidOperation, "a variable that it uses is wrong").with_source(Reported)
}

/// Whether the reason of an error was told already.
pub(super) fn is_reported(error: &Error) -> bool {
    let own = std::error::Error::source(error);
    std::iter::successors(own, |cause| cause.source()).any(<dyn std::error::Error>::is::<Reported>)
}

/// Filters to suggest in place of one that is not known: ours, and what playbooks use of the built-in ones.
pub(crate) const FILTERS: [&str; 32] = [
    "abs",
    "b64decode",
    "b64encode",
    "basename",
    "capitalize",
    "default",
    "dictsort",
    "dirname",
    "first",
    "float",
    "groupby",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "network",
    "quote",
    "reject",
    "replace",
    "select",
    "selectattr",
    "sha256",
    "sort",
    "to_json",
    "trim",
    "upper",
];

/// The filters, tests and functions that there are, as the engine itself lists them.
#[cfg(test)]
pub(crate) fn vocabulary() -> [Vec<String>; 3] {
    let env = environment(Part::Text);
    let listed = format!("{env:?}");
    let names = |part: &str| -> Vec<String> {
        let (_, rest) = listed.split_once(&format!("{part}: ")).expect("the engine shows its names");
        let end = rest.find([']', '}']).unwrap_or(rest.len());
        rest[..end].split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let functions = env.globals().map(|(name, _)| name.to_owned()).collect();
    [names("filters"), names("tests"), functions]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_looks_at_the_result_alone() {
        let stdout = Some("node is ready".into());
        let result = StepResult { code: Some(0), stdout, ..StepResult::default() };
        let holds = |expression: &str| Until::new(expression.into()).holds(&result);
        assert_eq!(holds("result.code == 0 and 'ready' in result.stdout"), Ok(true));
        assert_eq!(holds("'failed' in result.stdout"), Ok(false));
        assert!(holds("result.cod == 0").is_err());
        assert!(holds("vars.x").is_err());
    }
}
