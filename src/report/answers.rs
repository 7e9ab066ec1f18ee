//! What hosts answered to one question: each line with its host's name, or equal answers told once.

use std::collections::HashMap;

use super::log::{Line, Looks, Stream};
use super::style::{Detail, Look, Tone};
use super::{change, text};
use crate::event::{Body, Mode};
use crate::harmless;
use crate::model::{Failure, HostName};

/// What one host answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The host.
    pub host: HostName,
    /// The answer, or why there is none.
    pub said: Result<Said, Failure>,
}

/// What a command came to on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Text for standard output and for standard error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Streams {
    /// Data.
    pub out: String,
    /// Messages.
    pub err: String,
}

/// For pipes: `HOST | LINE`, in the order of the hosts; what came on standard error goes there again.
pub fn lines(replies: &[Reply], look: Look) -> Streams {
    let names = replies.iter().map(|r| text::width(r.host.as_str())).max().unwrap_or(0);
    lines_padded(replies, names, look)
}

/// With so many columns for the names of hosts.
fn lines_padded(replies: &[Reply], names: usize, look: Look) -> Streams {
    let mut streams = Streams::default();
    let put = |to: &mut String, host: &HostName, words: &str| {
        for line in words.lines() {
            // Tabs stay: the lines are data for other programs.
            to.extend([&text::pad(host.as_str(), names), " | ", &harmless::text(line), "\n"]);
        }
    };
    // What to do for several hosts is told once, at the end.
    let failures = || replies.iter().filter_map(|r| r.said.as_ref().err());
    let shared = |hint: &Option<String>| hint.is_some() && failures().filter(|f| f.hint == *hint).count() > 1;
    for reply in replies {
        match &reply.said {
            Ok(said) => {
                put(&mut streams.out, &reply.host, &said.stdout);
                put(&mut streams.err, &reply.host, &said.stderr);
                if said.code != 0 {
                    put(&mut streams.err, &reply.host, &format!("exit code {}", said.code));
                }
            }
            Err(failure) => {
                let plain = Look { width: None, color: false, ..look };
                let hint = failure.hint.clone().filter(|_| !shared(&failure.hint));
                let told = change::failure(&Failure { hint, ..failure.clone() }, 0, plain, Detail::default());
                put(&mut streams.err, &reply.host, &told.join("\n"));
            }
        }
    }
    for hint in text::unique(failures().filter(|f| shared(&f.hint)).filter_map(|f| f.hint.clone())) {
        streams.err.extend(["hint: ", &harmless::line(&hint), "\n"]);
    }
    streams
}

/// For people: hosts with the same answer share one block, blocks in the order of their first host.
pub fn blocks(replies: &[Reply], look: Look, detail: Detail) -> String {
    let mut said: Vec<(&Result<Said, Failure>, Vec<&HostName>)> = Vec::new();
    for reply in replies {
        match said.iter_mut().find(|(s, _)| **s == reply.said) {
            Some((_, hosts)) => hosts.push(&reply.host),
            None => said.push((&reply.said, vec![&reply.host])),
        }
    }
    let mut out: Vec<String> = Vec::new();
    for (said, hosts) in said {
        if !out.is_empty() {
            out.push(String::new());
        }
        let list = text::hosts(&hosts, usize::MAX);
        let count = if hosts.len() > 1 { format!(" ({} hosts)", hosts.len()) } else { String::new() };
        let head = text::wrap(&format!("{list}{count}"), look.width, "", "  ");
        out.extend(head.iter().map(|l| look.paint(Tone::Strong, l)));
        match said {
            Ok(said) => {
                out.extend(said.stdout.lines().map(|l| format!("  {}", text::clean(l))));
                out.extend(
                    said.stderr.lines().map(|l| format!("  {}", look.paint(Tone::Warn, &text::clean(l)))),
                );
                if said.code != 0 {
                    out.push(look.paint(Tone::Bad, &format!("  exit code {}", said.code)));
                } else if said.stdout.is_empty() && said.stderr.is_empty() {
                    out.push(look.paint(Tone::Dim, "  (no output)"));
                }
            }
            Err(failure) => out.extend(change::failure(failure, 2, look, detail)),
        }
    }
    if out.is_empty() { String::new() } else { out.join("\n") + "\n" }
}

/// Answers as they come. For people, several hosts are told of at the end, equal ones together; else lines are passed on
/// while the command runs.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// For people.
    blocks: bool,
    mode: Option<Mode>,
    /// In the order of the inventory.
    hosts: Vec<HostName>,
    /// Columns of their names.
    names: usize,
    replies: Vec<Reply>,
    /// How many lines of each stream have been passed on.
    passed: HashMap<HostName, [usize; 2]>,
}

impl Answers {
    /// Tells of them in blocks, where there are several.
    pub(super) fn in_blocks(&mut self) {
        self.blocks = true;
    }

    /// The lines that an event gives.
    pub(super) fn lines(&mut self, body: &Body, looks: Looks, detail: Detail) -> Vec<Line> {
        match body {
            Body::RunStarted { mode, hosts, .. } => {
                self.mode = Some(*mode);
                self.hosts.clone_from(hosts);
                self.names = hosts.iter().map(|h| text::width(h.as_str())).max().unwrap_or(0);
                Vec::new()
            }
            // One that was lost on its way is told of with the answer, and all behind it.
            Body::Said { host, stderr, number, line } if self.passes_on() => {
                let passed = &mut self.passed.entry(host.clone()).or_default()[usize::from(*stderr)];
                if *passed != *number {
                    return Vec::new();
                }
                *passed += 1;
                vec![self.line(host, *stderr, line)]
            }
            Body::Answered { host, code, stdout, stderr } => {
                let said = Said { code: *code, stdout: stdout.clone(), stderr: stderr.clone() };
                self.answered(Reply { host: host.clone(), said: Ok(said) })
            }
            Body::NotAnswered { host, failure } | Body::HostUnreachable { host, failure }
                if matches!(self.mode, Some(Mode::Run | Mode::Facts)) =>
            {
                self.answered(Reply { host: host.clone(), said: Err(failure.clone()) })
            }
            Body::RunFinished { .. } => self.finished(looks, detail),
            _ => Vec::new(),
        }
    }

    /// Whether lines are passed on while the command runs.
    fn passes_on(&self) -> bool {
        self.mode == Some(Mode::Run) && (!self.blocks || self.hosts.len() == 1)
    }

    fn line(&self, host: &HostName, stderr: bool, line: &str) -> Line {
        let to = if stderr { Stream::Err } else { Stream::Out };
        if self.blocks {
            return Line { to, text: text::clean(line).into_owned() };
        }
        // Tabs stay: the lines are data for other programs.
        Line { to, text: format!("{} | {}", text::pad(host.as_str(), self.names), harmless::text(line)) }
    }

    /// The rest of an answer that has been passed on so far.
    fn answered(&mut self, reply: Reply) -> Vec<Line> {
        let mut out = Vec::new();
        if let (true, Ok(said)) = (self.passes_on(), &reply.said) {
            let passed = self.passed.remove(&reply.host).unwrap_or_default();
            for (stderr, printed, passed) in
                [(false, &said.stdout, passed[0]), (true, &said.stderr, passed[1])]
            {
                let rest = printed.lines().skip(passed);
                out.extend(rest.map(|line| self.line(&reply.host, stderr, line)));
            }
            if said.code != 0 {
                out.push(self.line(&reply.host, true, &format!("exit code {}", said.code)));
            }
        } else {
            self.replies.push(reply);
        }
        out
    }

    /// All answers that have not been told of yet, hosts in the order of the inventory.
    fn finished(&mut self, looks: Looks, detail: Detail) -> Vec<Line> {
        let mut replies = std::mem::take(&mut self.replies);
        let order: HashMap<_, _> = self.hosts.iter().enumerate().map(|(n, host)| (host, n)).collect();
        replies.sort_by_key(|reply| order.get(&reply.host));
        let lines = |to: Stream, text: &str| -> Vec<Line> {
            text.lines().map(|line| Line { to, text: line.to_owned() }).collect()
        };
        if self.blocks {
            return lines(Stream::Out, &blocks(&replies, looks.out, detail));
        }
        let streams = lines_padded(&replies, self.names, looks.err);
        let mut out = lines(Stream::Err, &streams.err);
        out.extend(lines(Stream::Out, &streams.out));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(host: &str, code: i32, stdout: &str, stderr: &str) -> Reply {
        let said = Said { code, stdout: stdout.into(), stderr: stderr.into() };
        Reply { host: HostName::new(host).unwrap(), said: Ok(said) }
    }

    fn replies() -> Vec<Reply> {
        let lost = Failure::new("connection timed out").hint("is it up?");
        vec![
            reply("nfs-01", 0, "a\nb\n", ""),
            reply("w-1", 0, "x", ""),
            Reply { host: HostName::new("w-2").unwrap(), said: Err(lost) },
            reply("w-3", 3, "", "no such file\x1b[2J\n"),
            reply("w-4", 0, "a\nb\n", ""),
            reply("w-5", 0, "a\nb\n", ""),
            reply("w-6", 0, "a\nb\n", ""),
            reply("w-7", 0, "", ""),
        ]
    }

    #[test]
    fn each_line_has_its_host() {
        let streams = lines(&replies(), Look::PLAIN);
        assert_eq!(
            streams.out,
            "nfs-01 | a\nnfs-01 | b\nw-1    | x\nw-4    | a\nw-4    | b\nw-5    | a\nw-5    | b\nw-6    | a\nw-6    | b\n"
        );
        assert_eq!(
            streams.err,
            "w-2    | connection timed out\nw-2    | hint: is it up?\nw-3    | no such file\nw-3    | exit code 3\n"
        );
    }

    #[test]
    fn what_to_do_for_several_hosts_is_told_once() {
        let lost = |host: &str, hint: &str| Reply {
            host: HostName::new(host).unwrap(),
            said: Err(Failure::new("not known").hint(hint)),
        };
        let streams = lines(&[lost("a", "scan"), lost("b", "scan"), lost("c", "other")], Look::PLAIN);
        assert_eq!(streams.err, "a | not known\nb | not known\nc | not known\nc | hint: other\nhint: scan\n");
    }

    #[test]
    fn equal_answers_are_told_once() {
        let look = Look { color: false, unicode: true, width: Some(80) };
        let wanted = "\
nfs-01, w-[4:6] (4 hosts)
  a
  b

w-1
  x

w-2
  connection timed out
  hint: is it up?

w-3
  no such file
  exit code 3

w-7
  (no output)
";
        assert_eq!(blocks(&replies(), look, Detail::default()), wanted);
    }
}
