//! NDIS reader-writer locks.

use crate::event::{DISPATCH_LEVEL, Event, Import, Kind};
use crate::{Finding, Monitor, Rule, catalogue as rule};

/// One acquisition.
#[derive(Clone, Copy, Debug)]
struct Held {
    lock: u64,
    /// Its `LOCK_STATE_EX`.
    state: u64,
    thread: u32,
    processor: u8,
    is_write: bool,
}

/// Follows every acquisition of a reader-writer lock.
#[derive(Debug, Default)]
pub(crate) struct RwLockMonitor {
    held: Vec<Held>,
}

impl Monitor for RwLockMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::RWLOCK_NO_PROMOTION,
            &rule::RWLOCK_SAME_CPU,
            &rule::RWLOCK_FREE_RELEASED,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let Kind::Import(import) = &event.kind else {
            return None;
        };
        let (lock, state) = (import.arguments.word(0), import.arguments.word(1));
        match import.name {
            "NdisAcquireRWLockRead" => {
                self.take(event, lock, state, false);
                None
            }
            "NdisAcquireRWLockWrite" => {
                let reads = |held: &&Held| {
                    held.lock == lock && held.thread == event.thread && !held.is_write
                };
                let finding = self.held.iter().find(reads).map(|_| {
                    let happened =
                        format!("reader-writer lock {lock:#x} was asked for writing by its reader");
                    Finding::new(&rule::RWLOCK_NO_PROMOTION, happened)
                });
                self.take(event, lock, state, true);
                finding
            }
            "NdisReleaseRWLock" => self.give(event, import),
            "NdisFreeRWLock" => {
                self.held.iter().find(|held| held.lock == lock)?;
                let happened = format!("reader-writer lock {lock:#x} was freed while it is held");
                Some(Finding::new(&rule::RWLOCK_FREE_RELEASED, happened))
            }
            _ => None,
        }
    }
}

impl RwLockMonitor {
    fn take(&mut self, event: &Event, lock: u64, state: u64, is_write: bool) {
        self.held.push(Held {
            lock,
            state,
            thread: event.thread,
            processor: event.processor,
            is_write,
        });
    }

    fn give(&mut self, event: &Event, import: &Import) -> Option<Finding> {
        let (lock, state) = (import.arguments.word(0), import.arguments.word(1));
        let fail = |why: &str| {
            let happened = format!("reader-writer lock {lock:#x} was released {why}");
            Some(Finding::new(&rule::RWLOCK_SAME_CPU, happened))
        };
        let of = |held: &Held| held.lock == lock && held.state == state;
        let Some(index) = self.held.iter().rposition(of) else {
            let is_held = self.held.iter().any(|held| held.lock == lock);
            return is_held
                .then(|| fail("with a LOCK_STATE_EX that it was not acquired with"))
                .flatten();
        };
        let held = self.held.remove(index);
        if held.processor != event.processor {
            return fail("on another processor than the one that acquired it");
        }
        if event.irql < DISPATCH_LEVEL {
            return fail("below DISPATCH_LEVEL");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::RwLockMonitor;
    use crate::event::Event;
    use crate::table::{check, import};

    fn call(name: &'static str, state: u64) -> Event {
        Event {
            irql: 2,
            ..import(name, &[0x10, state])
        }
    }

    #[test]
    fn readers_and_writers_are_followed() {
        let read = || call("NdisAcquireRWLockRead", 1);
        let write = || call("NdisAcquireRWLockWrite", 2);
        let release = |state| call("NdisReleaseRWLock", state);
        let free = || import("NdisFreeRWLock", &[0x10]);
        let elsewhere = Event {
            processor: 1,
            ..release(1)
        };
        let low = Event {
            irql: 0,
            ..release(1)
        };
        let other = Event {
            thread: 2,
            processor: 1,
            ..write()
        };
        check::<RwLockMonitor>(vec![
            (
                "balanced",
                vec![read(), release(1), write(), release(2), free()],
                vec![],
            ),
            (
                "promoted",
                vec![read(), write()],
                vec!["rwlock-no-promotion"],
            ),
            ("another's write waits", vec![read(), other], vec![]),
            (
                "released elsewhere",
                vec![read(), elsewhere],
                vec!["rwlock-same-cpu"],
            ),
            ("released low", vec![read(), low], vec!["rwlock-same-cpu"]),
            (
                "another state",
                vec![read(), release(3)],
                vec!["rwlock-same-cpu"],
            ),
            ("freed", vec![read(), free()], vec!["rwlock-free-released"]),
        ]);
    }
}
