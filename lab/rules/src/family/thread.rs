//! What a callback leaves on its thread: APCs disabled, another identity, another silo.

use std::collections::BTreeMap;

use crate::event::{Call, Event, Kind};
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// What is different about a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Thread {
    /// Regions that were entered and not left.
    regions: i32,
    impersonations: i32,
    silos: i32,
}

/// Follows threads through the driver's routines.
#[derive(Debug, Default)]
pub(crate) struct ThreadMonitor {
    threads: BTreeMap<u32, Thread>,
    /// Threads as they were when a routine began.
    entered: Vec<(u32, Thread)>,
}

impl Monitor for ThreadMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::CALLBACK_APC_BALANCED,
            &rule::WI_ROUTINE_APC,
            &rule::WI_ROUTINE_IMPERSONATION,
            &rule::WI_ROUTINE_SILO,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let thread = event.thread;
        match &event.kind {
            Kind::Import(import) => {
                let (slot, step): (fn(&mut Thread) -> &mut i32, i32) = match import.name {
                    "KeEnterCriticalRegion" | "KeEnterGuardedRegion" => {
                        (|thread| &mut thread.regions, 1)
                    }
                    "KeLeaveCriticalRegion" | "KeLeaveGuardedRegion" => {
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
    } else {
        return None;
    };
    let happened = format!("{} returned with {what}", call.callback.name());
    Some(Finding::new(rule, happened).with(stop))
}

#[cfg(test)]
mod tests {
    use super::ThreadMonitor;
    use crate::event::{Callback, Event};
    use crate::table::{check, enter, import, leave};

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
}
