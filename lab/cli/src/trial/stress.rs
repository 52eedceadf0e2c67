//! `lwf-lab stress`: one life per seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::life::{self, Life, Stage, Task};
use super::{jobs, last_seed, pool, tally};
use crate::argument::{RunArguments, StressArguments};
use crate::error::Error;
use crate::finding;
use crate::progress::CountLine;
use crate::quantity::{count, nanoseconds};
use crate::run;
use crate::summary::{Directions, Finding, Passages, Spread};
use crate::timeline;

/// What many seeds found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Summary {
    /// File name of the image.
    pub image: String,
    /// What a reader should know, such as why there are no symbols.
    pub notes: Vec<String>,
    /// The first seed.
    pub from: u64,
    /// Seeds asked for.
    pub seeds: u64,
    /// Seeds played: fewer when one failed.
    pub played: u64,
    /// Distinct interleavings, by their schedule digests.
    pub distinct: u64,
    /// Events per seed.
    pub events: Option<Spread>,
    /// Packets sent per seed: those given to the filter, and those that went past it because it was away or out of
    /// the datapath by its own wish.
    pub sent_per_seed: Option<Spread>,
    /// The same of packets received.
    pub received_per_seed: Option<Spread>,
    /// Packets given to the filter in all seeds.
    pub packets: Directions,
    /// Packets that went past it in all seeds.
    pub past: Directions,
    /// Control operations per seed.
    pub operations_per_seed: Option<Spread>,
    /// Control operations of all seeds, by name.
    pub operations: BTreeMap<String, u64>,
    /// What the filter kept of the packets that it was given.
    pub holds: Holds,
    /// What came of the packets that it was given, followed one by one; absent if nothing was demanded of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passage: Option<Passages>,
    /// Adapters of all seeds, by how the miniport below treated sends: `prompt`, `slow`, `refusing` or `stuck`.
    pub lower_edges: BTreeMap<String, u64>,
    /// What does not fail a seed: the first finding of each rule, with its seed.
    pub warnings: Vec<Seeded>,
    /// How long it took, in host time: not for programs, which compare.
    #[serde(skip)]
    pub elapsed: Duration,
    /// The failure with the lowest seed.
    pub failure: Option<Failure>,
}

/// What a filter kept of what it was given.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Holds {
    /// Seeds in which the driver counted packets that it had no room to judge; always 0 for one that does not count.
    pub overloaded: u64,
    /// Seeds in which a pause began while it held packets.
    pub paused_holding: u64,
    /// Seeds with both.
    pub both: u64,
    /// The most packets of one direction of an adapter that waited for their verdict, as the driver says.
    pub held_peak: u64,
    /// The longest virtual time that it held a packet.
    pub longest_virtual_ns: u64,
    /// The longest virtual time that a pause took.
    pub longest_pause_virtual_ns: u64,
}

impl Holds {
    fn take(&mut self, of: life::Holds) {
        let is_overloaded = of.overloaded.is_some_and(|packets| packets > 0);
        let is_holding = of.at_pause > 0;
        self.overloaded += u64::from(is_overloaded);
        self.paused_holding += u64::from(is_holding);
        self.both += u64::from(is_overloaded && is_holding);
        self.held_peak = self.held_peak.max(of.held_peak.unwrap_or_default());
        self.longest_virtual_ns = self.longest_virtual_ns.max(of.longest_ns);
        self.longest_pause_virtual_ns = self.longest_pause_virtual_ns.max(of.longest_pause_ns);
    }
}

/// A finding and where it came.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Seeded {
    /// The lowest of its seeds.
    pub seed: u64,
    /// How many seeds have it.
    pub seeds: u64,
    /// The finding.
    pub finding: Finding,
}

/// A seed that failed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
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

/// Plays the seeds until all are played or one has failed.
///
/// # Errors
///
/// When the image cannot be used, or the lab itself fails.
pub(crate) fn execute(arguments: &StressArguments) -> Result<Summary, Error> {
    let StressArguments { from, seeds, .. } = *arguments;
    // Bad input ends here, before a process is started for it.
    let notes = Stage::new(&arguments.subject)?.into_notes();
    let last = last_seed(from, seeds)?;
    if let Some(path) = &arguments.timeline {
        timeline::create(path)?;
    }
    let mut gathered = Gathered::default();
    let begun = Instant::now();
    let progress = CountLine::start("seeds", seeds);
    let tasks = (from..=last).map(|seed| Task { seed, faults: None });
    pool::play(
        &arguments.subject,
        jobs(arguments.jobs),
        tasks,
        |number, life| {
            let goes_on = gathered.take(number, life);
            progress.advance(|| gathered.note(from));
            goes_on
        },
    )?;
    drop(progress);
    let summary = Summary {
        elapsed: begun.elapsed(),
        notes,
        ..gathered.summary(arguments)
    };
    if arguments.timeline.is_some() {
        let seed = summary
            .failure
            .as_ref()
            .map_or(from, |failure| failure.seed);
        run::execute(&RunArguments {
            timeline: arguments.timeline.clone(),
            ..RunArguments::hard(&arguments.subject, seed, Vec::new())
        })?;
    }
    Ok(summary)
}

/// What came so far.
#[derive(Default)]
struct Gathered {
    /// All tasks below this one are done, and so are these.
    next: usize,
    ahead: BTreeSet<usize>,
    digests: BTreeSet<String>,
    events: Vec<u64>,
    sent: Vec<u64>,
    received: Vec<u64>,
    packets: Directions,
    past: Directions,
    operations_each: Vec<u64>,
    operations: BTreeMap<String, u64>,
    holds: Holds,
    passage: Option<Passages>,
    lower_edges: BTreeMap<String, u64>,
    warnings: BTreeMap<String, Seeded>,
    failed: BTreeMap<u64, Life>,
}

impl Gathered {
    /// Takes a life; tells whether to go on.
    fn take(&mut self, number: usize, life: Life) -> bool {
        self.ahead.insert(number);
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
        self.digests.insert(life.schedule_digest.clone());
        self.events.push(life.events);
        let all = life.packets.plus(life.past);
        self.sent.push(all.send);
        self.received.push(all.receive);
        self.past = self.past.plus(life.past);
        self.packets = self.packets.plus(life.packets);
        self.holds.take(life.holds);
        let passages = self.passage.into_iter().chain(life.passage);
        self.passage = passages.reduce(Passages::plus);
        self.operations_each.push(life.operations.values().sum());
        for (name, number) in &life.operations {
            *self.operations.entry(name.clone()).or_default() += number;
        }
        for edge in &life.lower_edges {
            *self.lower_edges.entry(edge.clone()).or_default() += 1;
        }
        for finding in &life.warnings {
            let new = || Seeded {
                seed: life.seed,
                seeds: 0,
                finding: finding.clone(),
            };
            let known = self.warnings.entry(finding.rule.clone());
            let known = known.or_insert_with(new);
            if life.seed < known.seed {
                (known.seed, known.finding) = (life.seed, finding.clone());
            }
            known.seeds += 1;
        }
        let is_clean = life.is_clean();
        if !is_clean {
            self.failed.insert(life.seed, life);
        }
        is_clean
    }

    /// What a person who waits may want to know.
    fn note(&self, from: u64) -> String {
        format!(
            "{} distinct, {} rules warned of; to go on later: --from {}",
            count(self.digests.len() as u64),
            self.warnings.len(),
            from + self.next as u64
        )
    }

    fn summary(mut self, arguments: &StressArguments) -> Summary {
        let failure = self.failed.pop_first().map(|(seed, life)| Failure {
            seed,
            violation: life.violation,
            disagreements: life.disagreements,
            failed_steps: life.failed_steps,
            replay: RunArguments::hard(&arguments.subject, seed, Vec::new()).replay(),
        });
        Summary {
            image: run::file_name(&arguments.subject.image),
            notes: Vec::new(),
            from: arguments.from,
            seeds: arguments.seeds,
            played: self.events.len() as u64,
            distinct: self.digests.len() as u64,
            events: Spread::of(&self.events),
            sent_per_seed: Spread::of(&self.sent),
            received_per_seed: Spread::of(&self.received),
            packets: self.packets,
            past: self.past,
            operations_per_seed: Spread::of(&self.operations_each),
            operations: self.operations,
            holds: self.holds,
            passage: self.passage,
            lower_edges: self.lower_edges,
            warnings: self.warnings.into_values().collect(),
            elapsed: Duration::default(),
            failure,
        }
    }
}

/// The screen that a person sees at the end.
pub fn render(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(summary, &mut out);
    out
}

/// Of a filter that held no packet beyond its handler there is nothing to tell.
fn write_holds(summary: &Summary, out: &mut String) -> fmt::Result {
    let holds = &summary.holds;
    if holds.overloaded > 0 {
        writeln!(
            out,
            "Overload        in {} of {} seeds the driver had no room to judge a packet",
            count(holds.overloaded),
            count(summary.played)
        )?;
    }
    if holds.paused_holding > 0 {
        writeln!(
            out,
            "Pauses          in {} of {} seeds one began while packets were held; the longest took {} (virtual)",
            count(holds.paused_holding),
            count(summary.played),
            nanoseconds(holds.longest_pause_virtual_ns)
        )?;
        writeln!(
            out,
            "Held            at most for {} (virtual)",
            nanoseconds(holds.longest_virtual_ns)
        )?;
    }
    if let Some(Passages { send, receive }) = &summary.passage {
        writeln!(
            out,
            "Followed        {} of {} sends left, {} of {} receives; at most {} and {} waited, the longest for {} (virtual)",
            count(send.left),
            count(send.given),
            count(receive.left),
            count(receive.given),
            count(send.most_waiting),
            count(receive.most_waiting),
            nanoseconds(send.longest_virtual_ns.max(receive.longest_virtual_ns))
        )?;
    }
    Ok(())
}

fn write(summary: &Summary, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "{} - {} of {} seeds from {} in {:.1} s, {:.1} a second",
        summary.image,
        count(summary.played),
        count(summary.seeds),
        summary.from,
        summary.elapsed.as_secs_f64(),
        summary.played as f64 / summary.elapsed.as_secs_f64()
    )?;
    for note in &summary.notes {
        writeln!(out, "Note            {note}")?;
    }
    writeln!(out, "Interleavings   {} distinct", count(summary.distinct))?;
    for (label, spread, unit) in [
        ("Events", &summary.events, "per seed"),
        ("Sent", &summary.sent_per_seed, "packets per seed"),
        ("Received", &summary.received_per_seed, "packets per seed"),
        ("Operations", &summary.operations_per_seed, "per seed"),
    ] {
        if let Some(spread) = spread {
            writeln!(
                out,
                "{label:<15} {} to {} {unit}, median {}",
                count(spread.min),
                count(spread.max),
                count(spread.median)
            )?;
        }
    }
    writeln!(
        out,
        "In all          {} packets sent, {} received; {} and {} more past the filter",
        count(summary.packets.send),
        count(summary.packets.receive),
        count(summary.past.send),
        count(summary.past.receive)
    )?;
    writeln!(out, "                {}", tally(&summary.operations))?;
    writeln!(out, "Lower edges     {}", tally(&summary.lower_edges))?;
    write_holds(summary, out)?;
    for Seeded {
        seed,
        seeds,
        finding,
    } in &summary.warnings
    {
        let title = format!("WARNING in {} seeds, first in {seed}", count(*seeds));
        finding::write_short(&title, finding, out)?;
    }
    let Some(failure) = &summary.failure else {
        return writeln!(
            out,
            "\nClean: no rule broken in any seed, {} rules warned of.",
            summary.warnings.len()
        );
    };
    finding::write_failure(
        failure.seed,
        failure.violation.as_ref(),
        &failure.failed_steps,
        &failure.disagreements,
        out,
    )?;
    writeln!(out, "\nFailed. To see it again:\n  {}", failure.replay)
}
