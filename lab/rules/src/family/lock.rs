//! Spin locks: balance, recursion, and what may not be called under them.

use crate::event::{Event, Kind, LockEvent};
use crate::family::irql::level_name;
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// A lock that is held.
#[derive(Clone, Copy, Debug)]
struct Held {
    thread: u32,
    lock: u64,
    dpr: bool,
    old_irql: u8,
    /// Callbacks that the thread was in when it took the lock.
    depth: usize,
}

/// Follows every spin lock.
#[derive(Debug, Default)]
pub(crate) struct LockMonitor {
    held: Vec<Held>,
    /// The threads of the callbacks that run, one entry per activation.
    running: Vec<u32>,
}

impl LockMonitor {
    fn depth(&self, thread: u32) -> usize {
        self.running
            .iter()
            .filter(|running| **running == thread)
            .count()
    }

    fn held_by(&self, thread: u32) -> Option<&Held> {
        self.held.iter().rfind(|held| held.thread == thread)
    }

    fn observe_lock(&mut self, thread: u32, irql: u8, lock: LockEvent) -> Option<Finding> {
        match lock {
            LockEvent::Acquired {
                lock,
                dpr,
                old_irql,
            } => {
                let depth = self.depth(thread);
                self.held.push(Held {
                    thread,
                    lock,
                    dpr,
                    old_irql,
                    depth,
                });
                None
            }
            LockEvent::Recursive { lock } => Some(
                Finding::new(
                    &rule::LOCK_RECURSIVE,
                    format!("the spin lock at {lock:#x} was asked for by the thread that holds it"),
                )
                .with(BugCheck::new(0xC4, &[0x1000, lock])),
            ),
            LockEvent::Released {
                lock,
                dpr,
                restored_irql,
            } => {
                // A shared lock has several holders: this thread's comes first.
                let mine = self
                    .held
                    .iter()
                    .rposition(|held| held.lock == lock && held.thread == thread);
                let Some(index) =
                    mine.or_else(|| self.held.iter().rposition(|held| held.lock == lock))
                else {
                    return Some(
                        Finding::new(
                            &rule::LOCK_RELEASE_HELD,
                            format!("the spin lock at {lock:#x} was released while free"),
                        )
                        .with(BugCheck::new(0xC4, &[0x32, irql.into(), lock])),
                    );
                };
                let held = self.held.remove(index);
                if held.thread != thread {
                    return Some(
                        Finding::new(
                            &rule::LOCK_RELEASE_HELD,
                            format!("the spin lock at {lock:#x} was released by a thread that does not hold it"),
                        )
                        .with(BugCheck::new(0xC4, &[0x1004, lock])),
                    );
                }
                if held.dpr != dpr {
                    let name = |dpr| {
                        if dpr {
                            "a DISPATCH_LEVEL variant"
                        } else {
                            "a variant that changes the IRQL"
                        }
                    };
                    return Some(Finding::new(
                        &rule::LOCK_VARIANT_MATCH,
                        format!(
                            "the spin lock at {lock:#x} was acquired by {}, released by {}",
                            name(held.dpr),
                            name(dpr)
                        ),
                    ));
                }
                (!dpr && held.old_irql != restored_irql).then(|| {
                    Finding::new(
                        &rule::LOCK_OLD_IRQL,
                        format!(
                            "the spin lock at {lock:#x} was acquired at {} and its release goes back to {}",
                            level_name(held.old_irql),
                            level_name(restored_irql)
                        ),
                    )
                    .with(BugCheck::new(0xC4, &[0x0002_0015]))
                })
            }
        }
    }

    fn observe_import(&self, thread: u32, name: &str) -> Option<Finding> {
        let held = self.held_by(thread)?;
        let happened = || {
            format!(
                "{name} was called while the spin lock at {:#x} is held",
                held.lock
            )
        };
        if name == "IofCompleteRequest" {
            return Some(Finding::new(&rule::IRP_COMPLETE_NO_LOCK, happened()));
        }
        let is_lock_function = name.contains("Lock");
        (name.starts_with("Ndis") && !is_lock_function)
            .then(|| Finding::new(&rule::LOCK_NOT_HELD_INTO_NDIS, happened()))
    }
}

impl Monitor for LockMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::LOCK_BALANCED,
            &rule::LOCK_RECURSIVE,
            &rule::LOCK_RELEASE_HELD,
            &rule::LOCK_VARIANT_MATCH,
            &rule::LOCK_OLD_IRQL,
            &rule::LOCK_NOT_HELD_INTO_NDIS,
            &rule::IRP_COMPLETE_NO_LOCK,
            &rule::WI_ROUTINE_NO_LOCK,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Lock(lock) => self.observe_lock(event.thread, event.irql, *lock),
            Kind::Import(import) => self.observe_import(event.thread, import.name),
            Kind::Enter(_) => {
                self.running.push(event.thread);
                None
            }
            Kind::Leave { call, .. } => {
                let depth = self.depth(event.thread);
                let index = self
                    .running
                    .iter()
                    .rposition(|thread| *thread == event.thread)?;
                self.running.remove(index);
                let held = *self.held_by(event.thread)?;
                if held.depth < depth {
                    return None;
                }
                let rule = if call.callback.is_work_item() {
                    &rule::WI_ROUTINE_NO_LOCK
                } else {
                    &rule::LOCK_BALANCED
                };
                let happened = format!(
                    "{} returned with the spin lock at {:#x} held",
                    call.callback.name(),
                    held.lock
                );
                Some(Finding::new(rule, happened))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LockMonitor;
    use crate::event::{Callback, Event, Import, Kind, LockEvent};
    use crate::table::{at, broken, enter, leave, on};

    const LOCK: u64 = 0x1000;

    fn acquire() -> Event {
        at(Kind::Lock(LockEvent::Acquired {
            lock: LOCK,
            dpr: false,
            old_irql: 0,
        }))
    }

    fn release() -> Event {
        at(Kind::Lock(LockEvent::Released {
            lock: LOCK,
            dpr: false,
            restored_irql: 0,
        }))
    }

    fn import(name: &'static str) -> Event {
        at(Kind::Import(Import {
            module: "ndis.sys",
            name,
            irql_min: 0,
            irql_max: 2,
        }))
    }

    #[test]
    fn locks_are_followed() {
        let work_item = Callback::NdisIoWorkItemRoutine;
        let send = Callback::FilterSendNetBufferLists;
        let table: Vec<(&str, Vec<Event>, Vec<&str>)> = vec![
            (
                "balanced",
                vec![
                    enter(send, None),
                    acquire(),
                    release(),
                    leave(send, None, None),
                ],
                vec![],
            ),
            (
                "kept",
                vec![enter(send, None), acquire(), leave(send, None, None)],
                vec!["lock-balanced"],
            ),
            (
                "kept by a work item",
                vec![
                    enter(work_item, None),
                    acquire(),
                    leave(work_item, None, None),
                ],
                vec!["wi-routine-no-lock"],
            ),
            (
                "outer callback's lock",
                vec![
                    acquire(),
                    enter(send, None),
                    leave(send, None, None),
                    release(),
                ],
                vec![],
            ),
            (
                "recursive",
                vec![
                    acquire(),
                    at(Kind::Lock(LockEvent::Recursive { lock: LOCK })),
                ],
                vec!["lock-recursive"],
            ),
            ("free", vec![release()], vec!["lock-release-held"]),
            (
                "another thread",
                vec![
                    acquire(),
                    on(
                        2,
                        Kind::Lock(LockEvent::Released {
                            lock: LOCK,
                            dpr: false,
                            restored_irql: 0,
                        }),
                    ),
                ],
                vec!["lock-release-held"],
            ),
            (
                "variants mixed",
                vec![
                    acquire(),
                    at(Kind::Lock(LockEvent::Released {
                        lock: LOCK,
                        dpr: true,
                        restored_irql: 0,
                    })),
                ],
                vec!["lock-variant-match"],
            ),
            (
                "wrong level",
                vec![
                    acquire(),
                    at(Kind::Lock(LockEvent::Released {
                        lock: LOCK,
                        dpr: false,
                        restored_irql: 2,
                    })),
                ],
                vec!["lock-old-irql"],
            ),
            (
                "NDIS under a lock",
                vec![acquire(), import("NdisFSendNetBufferLists"), release()],
                vec!["lock-not-held-into-ndis"],
            ),
            (
                "lock functions are fine",
                vec![acquire(), import("NdisDprAcquireSpinLock"), release()],
                vec![],
            ),
            (
                "NT is fine",
                vec![acquire(), import("KeSetEvent"), release()],
                vec![],
            ),
            (
                "completion under a lock",
                vec![acquire(), import("IofCompleteRequest"), release()],
                vec!["irp-complete-no-lock"],
            ),
            (
                "NDIS after the lock",
                vec![acquire(), release(), import("NdisFSendNetBufferLists")],
                vec![],
            ),
        ];
        for (name, events, expected) in table {
            assert_eq!(broken::<LockMonitor>(events), expected, "{name}");
        }
    }
}
