//! A report as one page for a browser, which loads nothing.
//!
//! What is in the report stands there once, compressed and in letters that are no markup; the page's script unpacks it and
//! makes every text of it a text node. The page's policy lets nothing run but that script, and nothing be loaded.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::files::{diff, value};
use super::{Comparison, HostLine, Mark, Report, StepLine, Time, Verdict};
use crate::event::ChangeView;
use crate::journal::Header;
use crate::model::Failure;
use crate::model::field::{Field, Value};

const SKELETON: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// What the script gets.
#[derive(Serialize)]
struct Data<'a> {
    made: &'a Header,
    /// When it was made, in words.
    when: String,
    conforming: usize,
    marks: Vec<Sign>,
    hosts: &'a [HostLine],
    steps: &'a [StepLine],
    verdicts: Vec<Shown<'a>>,
    cells: &'a [Vec<Option<usize>>],
    times: &'a [Vec<Time>],
    compared: Option<&'a Comparison>,
}

/// How a mark shows.
#[derive(Serialize)]
struct Sign {
    mark: Mark,
    letter: char,
    word: &'static str,
}

/// A verdict, its values in words.
#[derive(Serialize)]
struct Shown<'a> {
    mark: Mark,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    predicted: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<ShownChange<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<ShownFailure<'a>>,
}

#[derive(Serialize)]
struct ShownChange<'a> {
    summary: &'a str,
    fields: Vec<ShownField<'a>>,
    actions: &'a [String],
    programs: &'a [String],
    disrupts: Option<&'a str>,
    notes: &'a [String],
    always: bool,
}

#[derive(Serialize)]
struct ShownFailure<'a> {
    message: &'a str,
    causes: &'a [String],
    command: Option<&'a str>,
    program: Option<&'a str>,
    code: Option<i32>,
    output: &'a str,
    differs: Vec<ShownField<'a>>,
    hint: Option<&'a str>,
}

#[derive(Serialize)]
struct ShownField<'a> {
    name: &'a str,
    /// Whether it comes, goes or becomes other.
    sign: char,
    before: String,
    after: String,
    /// The lines that go and come, where it is a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

fn field(field: &Field) -> ShownField<'_> {
    let Field { name, before, after } = field;
    let sign = match (before, after) {
        (Value::Absent, _) => '+',
        (_, Value::Absent) => '-',
        _ => '~',
    };
    ShownField { name, sign, before: value(before), after: value(after), diff: diff(field) }
}

fn fields(fields: &[Field]) -> Vec<ShownField<'_>> {
    fields.iter().map(field).collect()
}

fn change(change: &ChangeView) -> ShownChange<'_> {
    let ChangeView { summary, fields: all, actions, programs, disrupts, notes, always } = change;
    let disrupts = disrupts.as_deref();
    ShownChange { summary, fields: fields(all), actions, programs, disrupts, notes, always: *always }
}

fn failure(failure: &Failure) -> ShownFailure<'_> {
    let Failure { message, causes, command, program, code, output, differs, hint, denied: _ } = failure;
    ShownFailure {
        message,
        causes,
        command: command.as_deref(),
        program: program.as_deref(),
        code: *code,
        output,
        differs: fields(differs),
        hint: hint.as_deref(),
    }
}

fn verdict(verdict: &Verdict) -> Shown<'_> {
    Shown {
        mark: verdict.mark,
        reason: &verdict.reason,
        predicted: &verdict.predicted,
        change: verdict.change.as_ref().map(change),
        failure: verdict.failure.as_ref().map(failure),
    }
}

fn sha256(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

/// Compressed, in base64.
fn packed(data: &Data<'_>) -> String {
    let json = serde_json::to_vec(data).expect("a report is made of strings and numbers");
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
    let bytes = packer.write_all(&json).and_then(|()| packer.finish());
    STANDARD.encode(bytes.expect("memory takes all"))
}

pub(super) fn render(report: &Report) -> String {
    let sign = |mark: Mark| Sign { mark, letter: mark.letter(), word: mark.word() };
    let data = packed(&Data {
        made: &report.made,
        when: report.made.started.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        conforming: report.conforming(),
        marks: Mark::ALL.map(sign).into(),
        hosts: &report.hosts,
        steps: &report.steps,
        verdicts: report.verdicts.iter().map(verdict).collect(),
        cells: &report.cells,
        times: &report.times,
        compared: report.compared.as_ref(),
    });
    // None of what is put in holds the name of a place behind it.
    SKELETON
        .replace("{style-sha256}", &sha256(STYLE))
        .replace("{script-sha256}", &sha256(SCRIPT))
        .replace("{style}", STYLE)
        .replace("{script}", SCRIPT)
        .replace("{data}", &data)
}
