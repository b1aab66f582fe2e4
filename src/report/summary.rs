//! The report without its looks: the content that every format presents in its own way.

use std::collections::BTreeSet;

use wirelab_clients::harness::cell::ANY_CERTIFICATE;
use wirelab_clients::harness::plan::{Size, Weight};
use wirelab_clients::harness::rows::RunRow;

use super::aggregate::Aggregate;
use super::figures::Figure;
use super::finding::{Sentence, finding};
use super::folder::Folder;
use super::links;
use super::sweep::Sweep;
use super::wording::{counted, grouped, list, meanings};

/// Most links among the facts: more do not fit on a line, and the finding tells them.
const NETWORKS_MAX: usize = 3;

/// Content that all formats share.
pub(super) struct Summary<'a> {
    pub(super) folder: &'a Folder,
    pub(super) aggregate: &'a Aggregate<'a>,
    pub(super) sweep: Option<Sweep<'a>>,
    pub(super) finding: Vec<Sentence>,
}

impl<'a> Summary<'a> {
    /// Returns the summary of a folder's groups.
    pub(super) fn of(folder: &'a Folder, aggregate: &'a Aggregate<'a>) -> Self {
        let sweep = Sweep::of(aggregate);
        let finding = finding(folder, aggregate, sweep.as_ref());
        Self { folder, aggregate, sweep, finding }
    }

    /// Returns the figures that some group has, in the order of the tables.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let has = |figure: &Figure| self.aggregate.groups.iter().any(|group| group.shown(*figure).is_some());
        Figure::ALL.into_iter().filter(has).collect()
    }

    /// Returns what the verdicts of the runs mean, besides `ok`.
    pub(super) fn meanings(&self) -> Vec<&'static str> {
        meanings(self.folder.rows.runs.iter().map(|run| run.verdict))
    }

    /// Returns facts that a reader needs before the numbers: name and value.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let manifest = &self.folder.manifest;
        let machine = &manifest.machine;
        let processors = machine.cores_count.map(|cores| format!("{cores} processors"));
        let machine =
            [machine.cpu_model.clone(), processors, Some(machine.os.clone()), machine.kernel.clone()];
        let size = match self.folder.plan.size {
            Size::Smoke => Some("smoke, not for citing".to_owned()),
            Size::Full => None,
        };
        let facts = [
            ("plan", Some(self.folder.plan.name.clone())),
            ("size", size),
            ("started", Some(manifest.started_utc.clone())),
            ("runs", Some(self.runs())),
            ("subscribers", self.subscribers()),
            ("network", self.network()),
            ("certificates", unchecked(self.folder).map(str::to_owned)),
            ("commit", manifest.commit.clone()),
            ("seed", Some(manifest.seed.to_string())),
            ("machine", Some(machine.into_iter().flatten().collect::<Vec<_>>().join(", "))),
        ];
        let some = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
        some.filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Returns the sentence that calls the plan a demonstration, if it is one. A smoke run says already that it shows
    /// nothing else.
    pub(super) const fn demonstration(&self) -> Option<&'static str> {
        match (self.folder.plan.size, self.folder.plan.weight) {
            (Size::Full, Weight::Demonstration) => Some(
                "the plan has too few repetitions for 95 % intervals. Its runs show what happens, and not how far their \
                 figures may be off.",
            ),
            (Size::Full, Weight::Experiment) | (Size::Smoke, _) => None,
        }
    }

    fn runs(&self) -> String {
        let groups = self.aggregate.groups.len();
        let runs = self.folder.rows.runs.len();
        if groups == runs {
            runs.to_string()
        } else {
            format!("{runs} of {}", counted(groups, "cell", "cells"))
        }
    }

    fn subscribers(&self) -> Option<String> {
        let counts: BTreeSet<u64> = self.folder.rows.runs.iter().map(|run| run.subscribers_count).collect();
        let told: Vec<String> = counts.into_iter().map(grouped).collect();
        (!told.is_empty()).then(|| list(&told))
    }

    /// Returns the links of the runs in a few words; `None` where there are too many for a line.
    fn network(&self) -> Option<String> {
        let links = links::links(self.folder, self.aggregate);
        let told: Vec<String> = links.iter().map(|link| links::in_short(&link.network)).collect();
        (told.len() <= NETWORKS_MAX).then(|| told.join("; "))
    }

    /// Returns the command that made the folder, as it was typed.
    pub(super) fn command(&self) -> Option<String> {
        let argv = &self.folder.manifest.argv;
        (!argv.is_empty()).then(|| argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
    }
}

/// Says that the server of some run was not checked, if that is so.
pub(super) fn unchecked(folder: &Folder) -> Option<&'static str> {
    let is_unchecked = |run: &RunRow| run.certificates.as_deref() == Some(ANY_CERTIFICATE);
    folder.rows.runs.iter().any(is_unchecked).then_some(
        "not checked (--insecure): another server may have answered, or somebody in between may have changed what was sent",
    )
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again() {
        assert_eq!(
            ["run", "--rate=5", "it's a plan", ""].map(quoted),
            ["run", "--rate=5", "'it'\\''s a plan'", "''"]
        );
    }
}
