//! Which steps a command is for: `--tags`, `--skip-tags`, `--step`, `--start-at`.

use super::options::Options;
use super::playbook::{Playbook, RawStep};
use super::table::suggest;
use crate::diagnostic::Diagnostic;

/// The steps that the options select.
#[derive(Debug)]
pub(super) struct Selection {
    tags: Vec<String>,
    skip_tags: Vec<String>,
    /// Playbook and step, by position; `None` for all.
    only: Option<Vec<(usize, usize)>>,
    start: Option<(usize, usize)>,
}

impl Selection {
    /// Reads the options; ids and tags that no step has are mistakes.
    pub(super) fn new(options: &Options, playbooks: &[Playbook], out: &mut Vec<Diagnostic>) -> Self {
        let mut find = |option: &str, wanted: &str| -> Vec<(usize, usize)> {
            let found: Vec<_> = all(playbooks)
                .filter(|(_, playbook, _, step)| {
                    step.id == wanted || wanted == format!("{}/{}", playbook.name, step.id)
                })
                .map(|(p, _, s, _)| (p, s))
                .collect();
            if found.is_empty() {
                let mut diagnostic =
                    Diagnostic::error(None, format!("{option} {wanted}: no step has this id"));
                diagnostic.help.extend(suggest(wanted, all(playbooks).map(|(.., step)| step.id.as_str())));
                out.push(diagnostic);
            }
            found
        };
        let only = (!options.step.is_empty())
            .then(|| options.step.iter().flat_map(|id| find("--step", id)).collect());
        let start = options.start_at.as_ref().and_then(|id| find("--start-at", id).first().copied());
        for (option, tags) in [("--tags", &options.tags), ("--skip-tags", &options.skip_tags)] {
            for tag in tags {
                let known = || {
                    all(playbooks).flat_map(|(_, playbook, _, step)| step.tags.iter().chain(&playbook.tags))
                };
                if !known().any(|t| t == tag) && !matches!(tag.as_str(), "always" | "never") {
                    let mut diagnostic =
                        Diagnostic::error(None, format!("{option} {tag}: no step has this tag"));
                    let mut tags: Vec<&str> = known().map(String::as_str).collect();
                    tags.sort_unstable();
                    tags.dedup();
                    diagnostic.help.extend(suggest(tag, tags));
                    out.push(diagnostic);
                }
            }
        }
        Self { tags: options.tags.clone(), skip_tags: options.skip_tags.clone(), only, start }
    }

    /// Whether the step at `(play, step)` is selected. Handlers run when a selected step notifies them.
    pub(super) fn selects(&self, play: usize, step: usize, playbook: &Playbook, raw: &RawStep) -> bool {
        if raw.handler {
            return true;
        }
        if self.only.as_ref().is_some_and(|only| !only.contains(&(play, step)))
            || self.start.is_some_and(|start| (play, step) < start)
        {
            return false;
        }
        let tagged = |tag: &str| raw.tags.iter().chain(&playbook.tags).any(|t| t == tag);
        if self.skip_tags.iter().any(|t| tagged(t)) {
            return false;
        }
        // As in Ansible: `always` is in every selection, `never` only where one of its tags is asked for.
        let asked = self.tags.iter().any(|t| tagged(t));
        asked || (!tagged("never") && (self.tags.is_empty() || tagged("always")))
    }
}

fn all(playbooks: &[Playbook]) -> impl Iterator<Item = (usize, &Playbook, usize, &RawStep)> {
    playbooks.iter().enumerate().flat_map(|(p, playbook)| {
        playbook.steps.iter().enumerate().map(move |(s, step)| (p, playbook, s, step))
    })
}
