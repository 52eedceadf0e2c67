//! Spin locks: balance, recursion, and what may not be called under them.

use std::collections::BTreeSet;

use crate::event::{Callback, Event, Kind, LockEvent, PoolEvent};
use crate::family::irql::level_name;
use crate::family::place::is_within;
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// A lock that is held.
#[derive(Clone, Copy, Debug)]
struct Held {
    thread: u32,
    lock: u64,
    dpr: bool,
    shared: bool,
    old_irql: u8,
    /// What its processor had spent when it took the lock, in ns.
    since_ns: u64,
    /// Callbacks that the thread was in when it took the lock.
    depth: usize,
}

/// Follows every spin lock.
#[derive(Debug, Default)]
pub(crate) struct LockMonitor {
    held: Vec<Held>,
    /// The threads of the callbacks that run, one entry per activation.
    running: Vec<u32>,
    /// Orders in which two locks were taken: the outer and the inner one.
    orders: BTreeSet<(u64, u64)>,
}

/// The longest documented stay under a spin lock, in ns.
const HOLD_NS: u64 = 25_000;

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

    fn observe_lock(&mut self, event: &Event, lock: LockEvent) -> Option<Finding> {
        let (thread, irql) = (event.thread, event.irql);
        match lock {
            LockEvent::Acquired {
                lock,
                dpr,
                shared,
                old_irql,
                processor_ns,
            } => {
                let depth = self.depth(thread);
                let finding = self.check_order(thread, lock, shared);
                self.held.push(Held {
                    thread,
                    lock,
                    dpr,
                    shared,
                    old_irql,
                    since_ns: processor_ns,
                    depth,
                });
                finding
            }
            LockEvent::Recursive { lock, dpr } => {
                let happened =
                    format!("the spin lock at {lock:#x} was asked for by the thread that holds it");
                Some(if dpr {
                    Finding::new(&rule::LOCK_DPR, happened).with(BugCheck::new(0xC4, &[0x40, lock]))
                } else {
                    Finding::new(&rule::LOCK_RECURSIVE, happened)
                        .with(BugCheck::new(0xC4, &[0x1000, lock]))
                })
            }
            LockEvent::Uninitialized { lock } => {
                let happened =
                    format!("the spin lock at {lock:#x} was asked for and never initialized");
                Some(
                    Finding::new(&rule::LOCK_INIT, happened)
                        .with(BugCheck::new(0xC4, &[0x1002, lock])),
                )
            }
            LockEvent::Released {
                lock,
                dpr,
                restored_irql,
                processor_ns,
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
                // Going down with an inner lock held leaves that one at a level it must not have.
                let inner =
                    self.held.iter().skip(index).find(|inner| {
                        inner.thread == thread && !dpr && held.old_irql < inner.old_irql
                    });
                if let Some(inner) = inner {
                    let happened = format!(
                        "the spin lock at {lock:#x} was released before the one at {:#x}, which was acquired after it",
                        inner.lock
                    );
                    let bug_check = BugCheck::new(0xC4, &[0x1003, lock]);
                    return Some(Finding::new(&rule::LOCK_LIFO, happened).with(bug_check));
                }
                if dpr || held.old_irql == restored_irql {
                    return check_hold(&held, processor_ns);
                }
                Some(
                    Finding::new(
                        &rule::LOCK_OLD_IRQL,
                        format!(
                            "the spin lock at {lock:#x} was acquired at {} and its release goes back to {}",
                            level_name(held.old_irql),
                            level_name(restored_irql)
                        ),
                    )
                    .with(BugCheck::new(0xC4, &[0x0002_0015])),
                )
            }
        }
    }

    /// Whether a lock is taken inside another that was once taken inside it.
    fn check_order(&mut self, thread: u32, lock: u64, shared: bool) -> Option<Finding> {
        if shared {
            return None;
        }
        let outer: Vec<u64> = self
            .held
            .iter()
            .filter(|held| held.thread == thread && !held.shared)
            .map(|held| held.lock)
            .collect();
        let mut finding = None;
        for held in outer {
            if self.leads_to(lock, held) {
                let happened = format!(
                    "the spin lock at {lock:#x} was acquired under the one at {held:#x}; elsewhere it is the other way round"
                );
                let bug_check = BugCheck::new(0xC4, &[0x1001, lock]);
                finding = Some(Finding::new(&rule::LOCK_ORDER, happened).with(bug_check));
            }
            self.orders.insert((held, lock));
        }
        finding
    }

    /// Whether some order of locks leads from one to another.
    fn leads_to(&self, from: u64, to: u64) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(lock) = open.pop() {
            if lock == to {
                return true;
            }
            if seen.insert(lock) {
                let inner = self.orders.range((lock, 0)..=(lock, u64::MAX));
                open.extend(inner.map(|(_, inner)| *inner));
            }
        }
        false
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
            &rule::LOCK_ACQUIRE_UNLOCKED,
            &rule::LOCK_WDM_SPINLOCK,
            &rule::LOCK_DPR,
            &rule::LOCK_DPR_RELEASE,
            &rule::LOCK_INIT,
            &rule::LOCK_LIFO,
            &rule::LOCK_ORDER,
            &rule::LOCK_HOLD_TIME,
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
            Kind::Lock(lock) => self.observe_lock(event, *lock),
            Kind::Pool(PoolEvent::Freed { block, size, .. }) => {
                // Another lock may come to lie there.
                self.orders.retain(|(outer, inner)| {
                    !is_within(*outer, *block, *size) && !is_within(*inner, *block, *size)
                });
                None
            }
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
                let rule = match call.callback {
                    callback if callback.is_work_item() => &rule::WI_ROUTINE_NO_LOCK,
                    Callback::Dispatch => &rule::LOCK_WDM_SPINLOCK,
                    callback if !callback.name().starts_with("Filter") => &rule::LOCK_BALANCED,
                    _ if held.dpr => &rule::LOCK_DPR_RELEASE,
                    _ => &rule::LOCK_ACQUIRE_UNLOCKED,
                };
                let happened = format!(
                    "{} returned with the spin lock at {:#x} held",
                    call.callback.name(),
                    held.lock
                );
                let finding = Finding::new(rule, happened);
                // What is published for the variants at DISPATCH_LEVEL does not say which of several codes it is.
                let is_plain = rule == &rule::LOCK_WDM_SPINLOCK && !held.dpr;
                Some(if is_plain {
                    finding.with(BugCheck::new(0xC4, &[0x0004_0009]))
                } else {
                    finding
                })
            }
            _ => None,
        }
    }
}

/// A note for the driver's author: virtual time is not the machine's. What other processors did
/// meanwhile does not count.
fn check_hold(held: &Held, now_ns: u64) -> Option<Finding> {
    let stay_ns = now_ns.saturating_sub(held.since_ns);
    (stay_ns > HOLD_NS).then(|| {
        let happened = format!(
            "the spin lock at {:#x} was held for {} microseconds",
            held.lock,
            stay_ns / 1000
        );
        Finding::new(&rule::LOCK_HOLD_TIME, happened)
    })
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
            shared: false,
            old_irql: 0,
            processor_ns: 0,
        }))
    }

    fn take(lock: u64, dpr: bool, old_irql: u8) -> Event {
        at(Kind::Lock(LockEvent::Acquired {
            lock,
            dpr,
            shared: false,
            old_irql,
            processor_ns: 0,
        }))
    }

    fn give(lock: u64, dpr: bool, restored_irql: u8) -> Event {
        at(Kind::Lock(LockEvent::Released {
            lock,
            dpr,
            restored_irql,
            processor_ns: 0,
        }))
    }

    fn release() -> Event {
        release_after(0)
    }

    fn release_after(processor_ns: u64) -> Event {
        at(Kind::Lock(LockEvent::Released {
            lock: LOCK,
            dpr: false,
            restored_irql: 0,
            processor_ns,
        }))
    }

    fn import(name: &'static str) -> Event {
        at(Kind::Import(Import {
            module: "ndis.sys",
            name,
            irql_min: 0,
            irql_max: 2,
            adapter: None,
            arguments: Default::default(),
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
                vec!["lock-acquire-unlocked"],
            ),
            (
                "kept by a thread",
                vec![
                    enter(Callback::SystemThread, None),
                    acquire(),
                    leave(Callback::SystemThread, None, None),
                ],
                vec!["lock-balanced"],
            ),
            (
                "kept by a dispatch routine",
                vec![
                    enter(Callback::Dispatch, None),
                    acquire(),
                    leave(Callback::Dispatch, None, Some(0)),
                ],
                vec!["lock-wdm-spinlock"],
            ),
            (
                "kept, taken at DISPATCH_LEVEL",
                vec![
                    enter(send, None),
                    take(LOCK, true, 2),
                    leave(send, None, None),
                ],
                vec!["lock-dpr-release"],
            ),
            (
                "recursive at DISPATCH_LEVEL",
                vec![at(Kind::Lock(LockEvent::Recursive {
                    lock: LOCK,
                    dpr: true,
                }))],
                vec!["lock-dpr"],
            ),
            (
                "never initialized",
                vec![at(Kind::Lock(LockEvent::Uninitialized { lock: LOCK }))],
                vec!["lock-init"],
            ),
            (
                "nested",
                vec![
                    take(1, false, 0),
                    take(2, false, 2),
                    give(2, false, 2),
                    give(1, false, 0),
                ],
                vec![],
            ),
            (
                "outer first",
                vec![take(1, false, 0), take(2, false, 2), give(1, false, 0)],
                vec!["lock-lifo"],
            ),
            (
                "the order inverted",
                vec![
                    take(1, false, 0),
                    take(2, true, 2),
                    give(2, true, 2),
                    give(1, false, 0),
                    take(2, false, 0),
                    take(1, true, 2),
                ],
                vec!["lock-order"],
            ),
            (
                "the order kept",
                vec![
                    take(1, false, 0),
                    take(2, true, 2),
                    give(2, true, 2),
                    give(1, false, 0),
                    take(1, false, 0),
                    take(2, true, 2),
                ],
                vec![],
            ),
            (
                "held long",
                vec![acquire(), release_after(25_001)],
                vec!["lock-hold-time"],
            ),
            (
                "held for as long as is allowed",
                vec![acquire(), release_after(25_000)],
                vec![],
            ),
            (
                "another processor worked meanwhile",
                vec![
                    acquire(),
                    Event {
                        time_ns: 1_000_000,
                        ..release()
                    },
                ],
                vec![],
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
                    at(Kind::Lock(LockEvent::Recursive {
                        lock: LOCK,
                        dpr: false,
                    })),
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
                            processor_ns: 0,
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
                        processor_ns: 0,
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
                        processor_ns: 0,
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
