//! `lwf-lab sweep`: every call that can fail fails once per call stack.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use super::life::{Life, SeenSite, Stage, Task};
use super::{jobs, last_seed, pool};
use crate::argument::{RunArguments, Site, Subject, SweepArguments};
use crate::error::Error;
use crate::finding;
use crate::progress::CountLine;
use crate::quantity::count;
use crate::run;
use crate::summary::{Finding, StackFrame};
use crate::table::{Align, Table};

/// What failing every call found.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Summary {
    /// File name of the image.
    pub image: String,
    /// What a reader should know, such as why there are no symbols.
    pub notes: Vec<String>,
    /// Seeds that were played without a failing call.
    pub seeds: u64,
    /// Lives played in all.
    pub lives: u64,
    /// Rounds until no call stack was new.
    pub rounds: u64,
    /// Per import that can fail and was called.
    pub imports: Vec<Row>,
    /// What does not fail a life: the first finding of each rule.
    pub warnings: Vec<Finding>,
    /// Lives that broke a rule or in which counts differ.
    pub failures: Vec<Failure>,
}

/// What became of the calls of one import.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The import.
    pub import: String,
    /// Whether it fails for want of memory.
    pub is_allocation: bool,
    /// Call stacks found.
    pub stacks: u64,
    /// Call stacks that failed.
    pub failed: u64,
    /// Lives in which the driver did not load then.
    pub refused: u64,
    /// Lives in which it attached, or restarted, on fewer adapters.
    pub detached: u64,
    /// Lives in which traffic passed all the same.
    pub passed: u64,
    /// Lives that broke a rule or in which counts differ.
    pub broken: u64,
}

/// A life that failed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The import that failed last.
    pub import: String,
    /// The driver's stack there.
    pub stack: Vec<StackFrame>,
    /// Calls that had to fail before.
    pub earlier: usize,
    /// The broken rule, if one is.
    pub violation: Option<Finding>,
    /// Counts that differ.
    pub disagreements: Vec<String>,
    /// Steps of the script that came to something else than expected, a line each.
    #[serde(default)]
    pub failed_steps: Vec<String>,
    /// The shell command that shows it again.
    pub replay: String,
}

/// Plays until no call stack is new: those that ask for memory first.
///
/// # Errors
///
/// When the image cannot be used, or the lab itself fails.
pub(crate) fn execute(arguments: &SweepArguments) -> Result<Summary, Error> {
    let SweepArguments { from, seeds, .. } = *arguments;
    // Bad input ends here, before a process is started for it.
    let notes = Stage::new(&arguments.subject)?.into_notes();
    let last = last_seed(from, seeds)?;
    let mut sweep = Sweep::default();
    let progress = CountLine::start("lives", 0);
    let mut tasks: Vec<Task> = (from..=last)
        .map(|seed| Task {
            seed,
            faults: Some(Vec::new()),
        })
        .collect();
    while !tasks.is_empty() {
        progress.extend(tasks.len() as u64);
        let mut lives = BTreeMap::new();
        let asked = tasks.iter().cloned();
        pool::play(
            &arguments.subject,
            jobs(arguments.jobs),
            asked,
            |number, life| {
                lives.insert(number, life);
                progress.advance(|| format!("{} call stacks", count(sweep.known.len() as u64)));
                true
            },
        )?;
        // In the order of the tasks, so that the outcome does not depend on which process was faster.
        for (number, life) in lives {
            sweep.take(&arguments.subject, &tasks[number], life);
        }
        tasks = sweep.next_round();
    }
    drop(progress);
    Ok(Summary {
        notes,
        ..sweep.summary(arguments)
    })
}

/// What came so far.
#[derive(Default)]
struct Sweep {
    known: BTreeSet<Site>,
    /// Found and not failed yet, for want of memory or for another reason.
    waiting: [Vec<Task>; 2],
    rows: BTreeMap<String, Row>,
    warnings: BTreeMap<String, Finding>,
    failures: Vec<Failure>,
    lives: u64,
    rounds: u64,
}

impl Sweep {
    /// Takes a life: judges what its failed call led to, and keeps the call stacks that are new.
    fn take(&mut self, subject: &Subject, task: &Task, life: Life) {
        self.lives += 1;
        self.judge(subject, task, &life);
        for finding in life.warnings {
            self.warnings.entry(finding.rule.clone()).or_insert(finding);
        }
        for seen in life.sites {
            if !self.known.insert(seen.site.clone()) {
                continue;
            }
            let row = self.rows.entry(seen.site.import.clone()).or_default();
            (row.import, row.is_allocation) = (seen.site.import.clone(), seen.is_allocation);
            row.stacks += 1;
            let mut faults = task.faults.clone().unwrap_or_default();
            faults.push(seen.site);
            self.waiting[usize::from(!seen.is_allocation)].push(Task {
                seed: task.seed,
                faults: Some(faults),
            });
        }
    }

    fn judge(&mut self, subject: &Subject, task: &Task, life: &Life) {
        let faults = task.faults.as_deref().unwrap_or_default();
        let failed: Option<&SeenSite> = faults.last().and_then(|site| {
            life.sites
                .iter()
                .find(|seen| seen.site == *site && seen.has_failed)
        });
        if !life.is_clean() {
            self.failures.push(Failure {
                seed: life.seed,
                import: failed.map_or_else(String::new, |seen| seen.site.import.clone()),
                stack: failed.map_or_else(Vec::new, |seen| seen.frames.clone()),
                earlier: faults.len().saturating_sub(1),
                violation: life.violation.clone(),
                disagreements: life.disagreements.clone(),
                failed_steps: life.failed_steps.clone(),
                replay: RunArguments::hard(subject, life.seed, faults.to_vec()).replay(),
            });
        }
        if let Some(seen) = failed {
            let row = self.rows.entry(seen.site.import.clone()).or_default();
            row.failed += 1;
            if !life.is_clean() {
                row.broken += 1;
            } else if life.refusal.is_some() {
                row.refused += 1;
            } else if life.running < life.adapters || life.ended_detached {
                row.detached += 1;
            } else {
                row.passed += 1;
            }
        }
    }

    /// What is to be played next.
    fn next_round(&mut self) -> Vec<Task> {
        self.rounds += 1;
        let [allocations, others] = &mut self.waiting;
        std::mem::take(if allocations.is_empty() {
            others
        } else {
            allocations
        })
    }

    fn summary(self, arguments: &SweepArguments) -> Summary {
        let mut imports: Vec<Row> = self.rows.into_values().collect();
        imports.sort_by_key(|row| !row.is_allocation);
        Summary {
            image: run::file_name(&arguments.subject.image),
            notes: Vec::new(),
            seeds: arguments.seeds,
            lives: self.lives,
            rounds: self.rounds,
            imports,
            warnings: self.warnings.into_values().collect(),
            failures: self.failures,
        }
    }
}

impl Summary {
    /// The sum of a column.
    pub fn total(&self, column: impl Fn(&Row) -> u64) -> u64 {
        self.imports.iter().map(column).sum()
    }
}

/// Failures that the screen shows; the JSON object has all of them.
const SHOWN: usize = 3;

/// The screen that a person sees at the end.
pub fn render(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(summary, &mut out);
    out
}

fn write(summary: &Summary, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "{} - {} call stacks failed in {} lives, from {} seeds in {} rounds\n",
        summary.image,
        count(summary.total(|row| row.failed)),
        count(summary.lives),
        count(summary.seeds),
        count(summary.rounds)
    )?;
    for note in &summary.notes {
        writeln!(out, "{note}\n")?;
    }
    let mut table = Table::new(&[
        ("call that failed", Align::Left),
        ("stacks", Align::Right),
        ("failed", Align::Right),
        ("not loaded", Align::Right),
        ("detached", Align::Right),
        ("traffic passed", Align::Right),
        ("violation", Align::Right),
    ]);
    for row in &summary.imports {
        let mut cells = vec![row.import.clone()];
        let numbers = [
            row.stacks,
            row.failed,
            row.refused,
            row.detached,
            row.passed,
            row.broken,
        ];
        cells.extend(numbers.map(count));
        table.row(cells);
    }
    table.write(out);
    for warning in &summary.warnings {
        finding::write_short("WARNING", warning, out)?;
    }
    for failure in summary.failures.iter().take(SHOWN) {
        write_failure(failure, out)?;
    }
    match summary.failures.len() {
        0 => writeln!(
            out,
            "\nClean: no rule broken, whatever failed; {} rules warned of.",
            summary.warnings.len()
        ),
        number => writeln!(
            out,
            "\nFailed: {} lives; above are {}. --json tells all.",
            count(number as u64),
            number.min(SHOWN)
        ),
    }
}

fn write_failure(failure: &Failure, out: &mut String) -> fmt::Result {
    finding::write_failure(
        failure.seed,
        failure.violation.as_ref(),
        &failure.failed_steps,
        &failure.disagreements,
        out,
    )?;
    if failure.import.is_empty() {
        writeln!(out, "  failed    nothing yet")?;
    } else {
        let earlier = match failure.earlier {
            0 => String::new(),
            number => format!(", after {number} others"),
        };
        writeln!(out, "  failed    {}{earlier}", failure.import)?;
        finding::write_indented("there", failure.stack.iter().map(finding::frame_line), out)?;
    }
    writeln!(out, "  again     {}", failure.replay)
}
