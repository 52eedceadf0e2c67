//! What a callback leaves on its thread: APCs disabled, another identity, another silo, an affinity. And what it leaves of the driver's
//! own threads.

use std::collections::BTreeMap;

use crate::event::{Call, Callback, Event, Kind, PoolEvent};
use crate::family::place::is_within;
use crate::family::running::Running;
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// What is different about a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Thread {
    /// Regions that were entered and not left.
    regions: i32,
    impersonations: i32,
    silos: i32,
    /// Processors of its system affinity; 0 without.
    affinity: u64,
}

/// Follows threads through the driver's routines.
#[derive(Debug, Default)]
pub(crate) struct ThreadMonitor {
    threads: BTreeMap<u32, Thread>,
    /// Threads as they were when a routine began.
    entered: Vec<(u32, Thread)>,
    running: Running,
    /// The driver's own threads that run, by object: what the routine of each was given.
    own: BTreeMap<u64, u64>,
    /// Blocks that a FilterDetach has freed which still runs: its thread, address, size.
    freed: Vec<(u32, u64, u64)>,
}

impl Monitor for ThreadMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::CALLBACK_APC_BALANCED,
            &rule::CALLBACK_AFFINITY_RESTORED,
            &rule::WI_ROUTINE_APC,
            &rule::WI_ROUTINE_IMPERSONATION,
            &rule::WI_ROUTINE_SILO,
            &rule::DETACH_FREES_EVERYTHING,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let left = self.check_own(event);
        let finding = self.check_state(event);
        self.running.observe(event);
        finding.or(left)
    }
}

impl ThreadMonitor {
    /// The driver's own threads: none outlives the module whose memory it was given.
    fn check_own(&mut self, event: &Event) -> Option<Finding> {
        let detaches = |callback| callback == Callback::FilterDetach;
        match event.kind {
            Kind::ThreadStarted { thread, context } => {
                self.own.insert(thread, context);
                None
            }
            Kind::ThreadEnded { thread } => {
                self.own.remove(&thread);
                None
            }
            Kind::Pool(PoolEvent::Freed { block, size, .. })
                if self.running.inside(event.thread, detaches).is_some() =>
            {
                self.freed.push((event.thread, block, size));
                None
            }
            Kind::Leave { call, .. } if detaches(call.callback) => {
                let of_this = |freed: &mut (u32, u64, u64)| freed.0 == event.thread;
                let freed: Vec<_> = self.freed.extract_if(.., of_this).collect();
                let (thread, context) = self.own.iter().find(|(_, context)| {
                    let mut blocks = freed.iter();
                    blocks.any(|(_, block, size)| is_within(**context, *block, *size))
                })?;
                let happened = format!(
                    "FilterDetach freed {context:#x} and returned; system thread {thread:#x}, which was given that, still runs"
                );
                let finding = Finding::new(&rule::DETACH_FREES_EVERYTHING, happened);
                Some(finding.since(Origin::Started(*thread)))
            }
            _ => None,
        }
    }

    /// What a routine leaves on the thread that it was called on.
    fn check_state(&mut self, event: &Event) -> Option<Finding> {
        let thread = event.thread;
        match &event.kind {
            Kind::Import(import) => {
                let (slot, step): (fn(&mut Thread) -> &mut i32, i32) = match import.name {
                    "KeEnterCriticalRegion"
                    | "KeEnterGuardedRegion"
                    | "ExEnterCriticalRegionAndAcquireResourceExclusive"
                    | "ExEnterCriticalRegionAndAcquireResourceShared" => {
                        (|thread| &mut thread.regions, 1)
                    }
                    "KeLeaveCriticalRegion"
                    | "KeLeaveGuardedRegion"
                    | "ExReleaseResourceAndLeaveCriticalRegion" => {
                        (|thread| &mut thread.regions, -1)
                    }
                    "SeImpersonateClientEx" | "PsImpersonateClient" => {
                        (|thread| &mut thread.impersonations, 1)
                    }
                    "PsRevertToSelf" | "PsRevertThreadToSelf" => {
                        (|thread| &mut thread.impersonations, -1)
                    }
                    "PsAttachSiloToCurrentThread" => (|thread| &mut thread.silos, 1),
                    "PsDetachSiloFromCurrentThread" => (|thread| &mut thread.silos, -1),
                    _ => return None,
                };
                *slot(self.threads.entry(thread).or_default()) += step;
                None
            }
            Kind::Affinity { mask } => {
                self.threads.entry(thread).or_default().affinity = *mask;
                None
            }
            Kind::Enter(_) => {
                let now = self.threads.get(&thread).copied().unwrap_or_default();
                self.entered.push((thread, now));
                None
            }
            Kind::Leave { call, .. } => {
                let index = self
                    .entered
                    .iter()
                    .rposition(|(entered, _)| *entered == thread)?;
                let (_, before) = self.entered.remove(index);
                let now = self.threads.get(&thread).copied().unwrap_or_default();
                judge(*call, before, now)
            }
            _ => None,
        }
    }
}

fn judge(call: Call, before: Thread, now: Thread) -> Option<Finding> {
    let is_work_item = call.callback.is_work_item();
    let (rule, what, stop) = if now.regions != before.regions {
        let (rule, kind) = if is_work_item {
            (&rule::WI_ROUTINE_APC, 1)
        } else {
            (&rule::CALLBACK_APC_BALANCED, 0)
        };
        (
            rule,
            "another APC disable count",
            BugCheck::new(1, &[0, 0, 0, kind]),
        )
    } else if is_work_item && now.impersonations > before.impersonations {
        let stop = BugCheck::new(0xDF, &[]);
        (&rule::WI_ROUTINE_IMPERSONATION, "another identity", stop)
    } else if is_work_item && now.silos > before.silos {
        let stop = BugCheck::new(0x19A, &[]);
        (&rule::WI_ROUTINE_SILO, "its thread in a silo", stop)
    } else if call.callback != Callback::SystemThread && now.affinity != before.affinity {
        let happened = format!(
            "{} returned with a thread that may run on the processors {:#x} only",
            call.callback.name(),
            now.affinity
        );
        return Some(Finding::new(&rule::CALLBACK_AFFINITY_RESTORED, happened));
    } else {
        return None;
    };
    let happened = format!("{} returned with {what}", call.callback.name());
    Some(Finding::new(rule, happened).with(stop))
}

#[cfg(test)]
mod tests {
    use super::ThreadMonitor;
    use crate::event::{Callback, Event, Kind, PoolEvent};
    use crate::table::{at, broken, check, enter, import, leave};

    #[test]
    fn no_thread_outlives_its_module() {
        let started = |context| {
            at(Kind::ThreadStarted {
                thread: 0x100,
                context,
            })
        };
        let ended = || at(Kind::ThreadEnded { thread: 0x100 });
        let freed = || {
            at(Kind::Pool(PoolEvent::Freed {
                block: 0x1000,
                size: 64,
                tag: 1,
            }))
        };
        let detach = |inside: Vec<Event>| {
            let mut events = vec![enter(Callback::FilterDetach, Some(0))];
            events.extend(inside);
            events.push(leave(Callback::FilterDetach, Some(0), None));
            events
        };
        check::<ThreadMonitor>(vec![
            (
                "it ended",
                [vec![started(0x1010)], detach(vec![ended(), freed()])].concat(),
                vec![],
            ),
            (
                "it runs",
                [vec![started(0x1010)], detach(vec![freed()])].concat(),
                vec!["detach-frees-everything"],
            ),
            (
                "it is not the module's",
                [vec![started(0x2000)], detach(vec![freed()])].concat(),
                vec![],
            ),
            (
                "its memory is there",
                [vec![started(0x1010)], detach(vec![])].concat(),
                vec![],
            ),
            (
                "its memory is freed elsewhere",
                [vec![started(0x1010), freed()], detach(vec![])].concat(),
                vec![],
            ),
        ]);
    }

    #[test]
    fn threads_are_left_as_they_were() {
        let item = Callback::NdisIoWorkItemRoutine;
        let pause = Callback::FilterPause;
        let run = |callback, names: &[&'static str]| {
            let mut events: Vec<Event> = vec![enter(callback, None)];
            events.extend(names.iter().map(|name| import(name, &[])));
            events.push(leave(callback, None, None));
            events
        };
        check::<ThreadMonitor>(vec![
            (
                "balanced",
                run(item, &["KeEnterCriticalRegion", "KeLeaveCriticalRegion"]),
                vec![],
            ),
            (
                "disabled",
                run(pause, &["KeEnterCriticalRegion"]),
                vec!["callback-apc-balanced"],
            ),
            (
                "enabled",
                run(pause, &["KeLeaveGuardedRegion"]),
                vec!["callback-apc-balanced"],
            ),
            (
                "by an item",
                run(item, &["KeEnterCriticalRegion"]),
                vec!["wi-routine-apc"],
            ),
            (
                "impersonating",
                run(item, &["SeImpersonateClientEx"]),
                vec!["wi-routine-impersonation"],
            ),
            (
                "itself again",
                run(item, &["SeImpersonateClientEx", "PsRevertToSelf"]),
                vec![],
            ),
            (
                "in a silo",
                run(item, &["PsAttachSiloToCurrentThread"]),
                vec!["wi-routine-silo"],
            ),
            (
                "out of it",
                run(
                    item,
                    &[
                        "PsAttachSiloToCurrentThread",
                        "PsDetachSiloFromCurrentThread",
                    ],
                ),
                vec![],
            ),
        ]);
    }

    #[test]
    fn an_affinity_is_taken_back() {
        let bound = |mask| at(Kind::Affinity { mask });
        let within = |callback, masks: &[u64]| {
            let mut events = vec![enter(callback, None)];
            events.extend(masks.iter().map(|mask| bound(*mask)));
            events.push(leave(callback, None, None));
            broken::<ThreadMonitor>(events)
        };
        let work = Callback::NdisIoWorkItemRoutine;
        assert_eq!(within(work, &[2, 0]), [""; 0]);
        assert_eq!(within(work, &[2]), ["callback-affinity-restored"]);
        // A thread of the driver's own ends with its routine.
        assert_eq!(within(Callback::SystemThread, &[1]), [""; 0]);
    }
}
