//! Deferred procedure calls: queued and running, and what they refer to.

use std::collections::BTreeMap;

use crate::event::{Callback, DpcEvent, Event, Kind, PoolEvent};
use crate::family::place::is_within;
use crate::family::running::Running;
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// One object.
#[derive(Clone, Copy, Debug, Default)]
struct Dpc {
    is_queued: bool,
    /// The adapter in whose callback it was initialized.
    adapter: Option<u32>,
}

/// A routine that has not returned. The object itself may be gone.
#[derive(Clone, Copy, Debug)]
struct Run {
    thread: u32,
    dpc: u64,
    context: u64,
    adapter: Option<u32>,
}

/// Follows every DPC.
#[derive(Debug, Default)]
pub(crate) struct DpcMonitor {
    running: Running,
    dpcs: BTreeMap<u64, Dpc>,
    runs: Vec<Run>,
}

impl Monitor for DpcMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::TIMER_FREE_IDLE,
            &rule::TIMER_ONESHOT_SYNC,
            &rule::DETACH_NO_TIMER,
            &rule::UNLOAD_NOTHING_PENDING,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let finding = match &event.kind {
            Kind::Dpc(dpc) => {
                self.follow(event.thread, *dpc);
                None
            }
            Kind::Pool(PoolEvent::Freed { block, size, .. }) => {
                self.check_free(event.thread, *block, *size)
            }
            Kind::Leave { call, .. } if call.callback == Callback::FilterDetach => {
                let adapter = call.adapter?;
                let (dpc, what) = self.busy(|of| of == Some(adapter))?;
                let happened = format!("FilterDetach returned with DPC {dpc:#x} {what}");
                Some(fail(&rule::DETACH_NO_TIMER, dpc, happened))
            }
            Kind::Left(_) => {
                let (dpc, what) = self.busy(|_| true)?;
                let happened = format!("the driver was unloaded with DPC {dpc:#x} {what}");
                Some(fail(&rule::UNLOAD_NOTHING_PENDING, dpc, happened))
            }
            _ => None,
        };
        self.running.observe(event);
        finding
    }
}

fn fail(rule: &'static Rule, dpc: u64, happened: String) -> Finding {
    let bug_check = BugCheck::new(0xC7, &[1, dpc]);
    let finding = Finding::new(rule, happened).with(bug_check);
    finding.since(Origin::Queued(dpc))
}

impl DpcMonitor {
    fn follow(&mut self, thread: u32, event: DpcEvent) {
        match event {
            DpcEvent::Initialized { dpc } => {
                let new = Dpc {
                    is_queued: false,
                    adapter: self.running.innermost(thread).and_then(|call| call.adapter),
                };
                self.dpcs.insert(dpc, new);
            }
            DpcEvent::Queued { dpc, .. } => self.dpcs.entry(dpc).or_default().is_queued = true,
            DpcEvent::Removed { dpc } => self.dpcs.entry(dpc).or_default().is_queued = false,
            DpcEvent::Started { dpc, context } => {
                let state = self.dpcs.entry(dpc).or_default();
                state.is_queued = false;
                self.runs.push(Run {
                    thread,
                    dpc,
                    context,
                    adapter: state.adapter,
                });
            }
            DpcEvent::Finished { dpc } => {
                let is_it = |run: &Run| (run.thread, run.dpc) == (thread, dpc);
                if let Some(index) = self.runs.iter().rposition(is_it) {
                    self.runs.remove(index);
                }
            }
        }
    }

    /// A DPC of such an adapter that is queued or whose routine runs.
    fn busy(&self, is: impl Fn(Option<u32>) -> bool) -> Option<(u64, &'static str)> {
        let mut dpcs = self.dpcs.iter();
        let queued = dpcs.find(|(_, dpc)| dpc.is_queued && is(dpc.adapter));
        let running = || self.runs.iter().find(|run| is(run.adapter));
        match queued {
            Some((dpc, _)) => Some((*dpc, "queued")),
            None => running().map(|run| (run.dpc, "running its routine")),
        }
    }

    /// A block goes: no queued DPC may be in it, and nothing that a running routine uses.
    fn check_free(&mut self, thread: u32, block: u64, size: u64) -> Option<Finding> {
        let mut queued = None;
        self.dpcs.retain(|dpc, state| {
            let goes = is_within(*dpc, block, size);
            if goes && state.is_queued {
                queued = Some(*dpc);
            }
            !goes
        });
        if let Some(dpc) = queued {
            let happened = format!(
                "the block at {block:#x} was freed with DPC {dpc:#x} in it, which is queued"
            );
            let bug_check = BugCheck::new(0xC7, &[1, dpc, block, size]);
            return Some(Finding::new(&rule::TIMER_FREE_IDLE, happened).with(bug_check));
        }
        let uses = |run: &&Run| run.thread != thread && is_within(run.context, block, size);
        let run = self.runs.iter().find(uses)?;
        let happened = format!(
            "the block at {block:#x} was freed while the routine of DPC {:#x} runs, whose context it is",
            run.dpc
        );
        Some(Finding::new(&rule::TIMER_ONESHOT_SYNC, happened))
    }
}

#[cfg(test)]
mod tests {
    use super::DpcMonitor;
    use crate::event::{Callback, DpcEvent, Event, Kind, Left, PoolEvent};
    use crate::table::{at, check, enter, leave, on};

    const DPC: u64 = 0x110;
    const CONTEXT: u64 = 0x2010;

    fn dpc(event: DpcEvent) -> Event {
        at(Kind::Dpc(event))
    }

    fn initialize() -> Event {
        dpc(DpcEvent::Initialized { dpc: DPC })
    }

    fn queue() -> Event {
        dpc(DpcEvent::Queued {
            dpc: DPC,
            context: CONTEXT,
        })
    }

    fn start() -> Event {
        let started = DpcEvent::Started {
            dpc: DPC,
            context: CONTEXT,
        };
        on(2, Kind::Dpc(started))
    }

    fn finish() -> Event {
        on(2, Kind::Dpc(DpcEvent::Finished { dpc: DPC }))
    }

    fn free(block: u64) -> Kind {
        Kind::Pool(PoolEvent::Freed {
            block,
            size: 0x40,
            tag: 1,
        })
    }

    #[test]
    fn dpcs_are_followed() {
        let attach = || enter(Callback::FilterAttach, Some(0));
        let detach = || enter(Callback::FilterDetach, Some(0));
        let detached = || leave(Callback::FilterDetach, Some(0), None);
        let left = || at(Kind::Left(Left::default()));
        let run = || vec![initialize(), queue(), start(), finish()];
        let after = |events: Vec<Event>| [vec![attach()], run(), events].concat();
        check::<DpcMonitor>(vec![
            ("done", after(vec![detach(), detached(), left()]), vec![]),
            (
                "removed",
                vec![
                    attach(),
                    initialize(),
                    queue(),
                    dpc(DpcEvent::Removed { dpc: DPC }),
                    at(free(0x100)),
                    left(),
                ],
                vec![],
            ),
            (
                "queued at detach",
                vec![attach(), initialize(), queue(), detach(), detached()],
                vec!["detach-no-timer"],
            ),
            (
                "running at detach",
                vec![
                    attach(),
                    initialize(),
                    queue(),
                    start(),
                    detach(),
                    detached(),
                ],
                vec!["detach-no-timer"],
            ),
            (
                "another module's",
                vec![
                    attach(),
                    initialize(),
                    queue(),
                    enter(Callback::FilterDetach, Some(1)),
                    leave(Callback::FilterDetach, Some(1), None),
                ],
                vec![],
            ),
            (
                "queued at unload",
                vec![initialize(), queue(), left()],
                vec!["unload-nothing-pending"],
            ),
            (
                "freed while queued",
                vec![initialize(), queue(), at(free(0x100))],
                vec!["timer-free-idle"],
            ),
            ("freed when done", after(vec![at(free(0x100))]), vec![]),
            (
                "freed by its routine",
                vec![initialize(), queue(), start(), on(2, free(0x100)), finish()],
                vec![],
            ),
            (
                "context freed under it",
                vec![initialize(), queue(), start(), at(free(0x2000))],
                vec!["timer-oneshot-sync"],
            ),
            (
                "context freed by it",
                vec![initialize(), queue(), start(), on(2, free(0x2000))],
                vec![],
            ),
        ]);
    }
}
