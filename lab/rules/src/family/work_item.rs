//! I/O work items: queued once, freed when idle, gone at the end.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Callback, Event, Import, Kind, WorkItemEvent, WorkItemOwner};
use crate::family::count_text;
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// One work item.
#[derive(Clone, Copy, Debug, Default)]
struct Item {
    queued: bool,
    running: u32,
    /// The adapter whose callback allocated it.
    adapter: Option<u32>,
    /// Whether it was allocated for the driver, not for a device.
    is_drivers: bool,
}

/// Follows every work item, of both families.
#[derive(Debug, Default)]
pub(crate) struct WorkItemMonitor {
    items: BTreeMap<u64, Item>,
    /// Freed items, and how many of their routines still run. These may end after detach: a routine
    /// that has told its driver that it is done still has to return, the I/O manager keeps the image
    /// until it has, and the pool watches what it touches. Not after unload.
    orphans: BTreeMap<u64, u32>,
    freed: BTreeSet<u64>,
    /// Callbacks that run: thread and adapter.
    running: Vec<(u32, Option<u32>)>,
}

impl WorkItemMonitor {
    fn observe_item(&mut self, thread: u32, event: WorkItemEvent) -> Option<Finding> {
        match event {
            WorkItemEvent::Allocated { item, owner } => {
                let adapter = self
                    .running
                    .iter()
                    .rev()
                    .find(|(running, _)| *running == thread)?
                    .1;
                self.freed.remove(&item);
                self.items.insert(
                    item,
                    Item {
                        adapter,
                        is_drivers: owner == WorkItemOwner::Driver,
                        ..Item::default()
                    },
                );
                match owner {
                    WorkItemOwner::Driver | WorkItemOwner::Device => None,
                    WorkItemOwner::Module => Some(
                        Finding::new(
                            &rule::WI_ALLOC_HANDLE_KIND,
                            "a work item was allocated with a filter module handle",
                        )
                        .contradicted(),
                    ),
                    WorkItemOwner::Unknown(handle) => Some(
                        Finding::new(
                            &rule::WI_ALLOC_HANDLE_KIND,
                            format!("a work item was allocated with {handle:#x}"),
                        )
                        .with(BugCheck::new(0xE4, &[3, item, handle])),
                    ),
                }
            }
            WorkItemEvent::Queued {
                item,
                routine,
                routine_is_code,
                ..
            } => {
                let Some(state) = self.items.get_mut(&item) else {
                    return Some(self.unknown(item, "queued"));
                };
                if state.queued {
                    let happened =
                        format!("work item {item:#x} was queued while it was still queued");
                    let bug_check = BugCheck::new(0xE4, &[1, item]);
                    return Some(
                        Finding::new(&rule::WI_QUEUE_WHILE_QUEUED, happened).with(bug_check),
                    );
                }
                state.queued = true;
                (!routine_is_code).then(|| {
                    let happened = format!(
                        "work item {item:#x} was queued with {routine:#x}, which is no code"
                    );
                    Finding::new(&rule::WI_VALID_ROUTINE, happened)
                        .with(BugCheck::new(0xE4, &[7, item]))
                })
            }
            WorkItemEvent::Started { item } => {
                if let Some(state) = self.items.get_mut(&item) {
                    state.queued = false;
                    state.running += 1;
                }
                None
            }
            WorkItemEvent::Finished { item, .. } => {
                // A run that began before the item was freed belongs to the freed one.
                let running = match self.orphans.get_mut(&item) {
                    Some(running) => running,
                    None => &mut self.items.get_mut(&item)?.running,
                };
                *running = running.saturating_sub(1);
                self.orphans.retain(|_, running| *running > 0);
                None
            }
            WorkItemEvent::Freed { item } => {
                let Some(state) = self.items.remove(&item) else {
                    return Some(self.unknown(item, "freed"));
                };
                self.freed.insert(item);
                if state.running > 0 {
                    self.orphans.insert(item, state.running);
                }
                state.queued.then(|| {
                    let happened = format!("work item {item:#x} was freed while it was queued");
                    Finding::new(&rule::WI_FREE_WHILE_QUEUED, happened)
                        .with(BugCheck::new(0xE4, &[2, item]))
                })
            }
        }
    }

    fn unknown(&self, item: u64, verb: &str) -> Finding {
        let was_freed = self.freed.contains(&item);
        let rule = if verb == "freed" {
            &rule::WI_FREE_ONCE
        } else {
            &rule::WI_NO_USE_AFTER_FREE
        };
        let why = if was_freed {
            "after it was freed"
        } else {
            "and was never allocated"
        };
        Finding::new(rule, format!("work item {item:#x} was {verb} {why}"))
    }

    fn busy(&self) -> impl Iterator<Item = (u64, Item)> {
        self.items
            .iter()
            .map(|(item, state)| (*item, *state))
            .filter(|(_, state)| state.queued || state.running > 0)
    }

    fn check_detach(&self, adapter: u32) -> Option<Finding> {
        let (item, state) = self
            .busy()
            .find(|(_, state)| state.adapter == Some(adapter))?;
        let what = if state.queued { "queued" } else { "running" };
        let happened = format!("FilterDetach returned with work item {item:#x} {what}");
        Some(Finding::new(&rule::DETACH_NO_WORKITEM, happened).since(Origin::Queued(item)))
    }

    fn check_unload(&self) -> Option<Finding> {
        let orphans = self.orphans.keys().map(|item| (*item, "running"));
        let mut busy = self.busy().map(|(item, state)| {
            let what = if state.queued { "queued" } else { "running" };
            (item, what)
        });
        if let Some((item, what)) = busy.next().or(orphans.min()) {
            let happened = format!("the driver was unloaded with work item {item:#x} {what}");
            return Some(
                Finding::new(&rule::WI_COMPLETE_BEFORE_UNLOAD, happened)
                    .with(BugCheck::new(0xCE, &[item]))
                    .since(Origin::Queued(item)),
            );
        }
        let item = self.items.keys().next()?;
        let happened = format!(
            "{} left after unload, first the one at {item:#x}",
            count_text(self.items.len(), "work item")
        );
        let finding = Finding::new(&rule::WI_FREED_BEFORE_UNLOAD, happened);
        Some(
            finding
                .with(BugCheck::new(0xCE, &[*item]))
                .since(Origin::Allocated(*item)),
        )
    }
}

impl Monitor for WorkItemMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::WI_ALLOC_HANDLE_KIND,
            &rule::WI_QUEUE_WHILE_QUEUED,
            &rule::WI_FREE_WHILE_QUEUED,
            &rule::WI_FREE_ONCE,
            &rule::WI_NO_USE_AFTER_FREE,
            &rule::WI_FREED_BEFORE_UNLOAD,
            &rule::WI_COMPLETE_BEFORE_UNLOAD,
            &rule::WI_VALID_ROUTINE,
            &rule::WI_DEVICE_OBJECT_FOR_IOQUEUE,
            &rule::DETACH_NO_WORKITEM,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::WorkItem(item) => self.observe_item(event.thread, *item),
            Kind::Enter(call) => {
                self.running.push((event.thread, call.adapter));
                None
            }
            Kind::Leave { call, .. } => {
                let index = self
                    .running
                    .iter()
                    .rposition(|(thread, _)| *thread == event.thread)?;
                self.running.remove(index);
                match (call.callback, call.adapter) {
                    (Callback::FilterDetach, Some(adapter)) => self.check_detach(adapter),
                    _ => None,
                }
            }
            Kind::Import(Import {
                name: "IoQueueWorkItem",
                arguments,
                ..
            }) => {
                let item = arguments.word(0);
                self.items.get(&item).filter(|item| item.is_drivers)?;
                let happened = format!(
                    "IoQueueWorkItem was given work item {item:#x}, which was allocated for a driver object"
                );
                let bug_check = BugCheck::new(0xE4, &[3, item]);
                Some(Finding::new(&rule::WI_DEVICE_OBJECT_FOR_IOQUEUE, happened).with(bug_check))
            }
            Kind::Left(_) => self.check_unload(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WorkItemMonitor;
    use crate::event::{Callback, Event, Kind, Left, WorkItemEvent, WorkItemOwner};
    use crate::table::{at, broken, enter, leave};

    const ITEM: u64 = 0x1000;

    fn item(event: WorkItemEvent) -> Event {
        at(Kind::WorkItem(event))
    }

    fn allocate() -> Event {
        item(WorkItemEvent::Allocated {
            item: ITEM,
            owner: WorkItemOwner::Driver,
        })
    }

    fn queue() -> Event {
        item(WorkItemEvent::Queued {
            item: ITEM,
            routine: 1,
            routine_is_code: true,
            context: 0,
        })
    }

    fn start() -> Event {
        item(WorkItemEvent::Started { item: ITEM })
    }

    fn finish() -> Event {
        item(WorkItemEvent::Finished {
            item: ITEM,
            routine: 1,
            context: 0,
        })
    }

    fn free() -> Event {
        item(WorkItemEvent::Freed { item: ITEM })
    }

    fn check(name: &str, events: &[Event], expected: &[&str]) {
        let attach = [enter(Callback::FilterAttach, Some(0))];
        assert_eq!(
            broken::<WorkItemMonitor>([&attach[..], events].concat()),
            expected,
            "{name}"
        );
    }

    #[test]
    fn wdm_items_need_a_device() {
        use crate::table::import;
        let wdm = || import("IoQueueWorkItem", &[ITEM, 1, 1]);
        let with = |owner| item(WorkItemEvent::Allocated { item: ITEM, owner });
        let attach = || enter(Callback::FilterAttach, Some(0));
        for (events, expected) in [
            (vec![attach(), with(WorkItemOwner::Device), wdm()], None),
            (
                vec![attach(), with(WorkItemOwner::Driver), wdm()],
                Some("wi-device-object-for-ioqueue"),
            ),
            (
                vec![
                    attach(),
                    with(WorkItemOwner::Driver),
                    import("NdisQueueIoWorkItem", &[ITEM]),
                ],
                None,
            ),
        ] {
            assert_eq!(broken::<WorkItemMonitor>(events), Vec::from_iter(expected));
        }
    }

    #[test]
    fn items_are_queued_once_and_freed_idle() {
        check(
            "life",
            &[
                allocate(),
                queue(),
                start(),
                finish(),
                queue(),
                start(),
                finish(),
                free(),
            ],
            &[],
        );
        check(
            "queued twice",
            &[allocate(), queue(), queue()],
            &["wi-queue-while-queued"],
        );
        check(
            "queued again while running",
            &[allocate(), queue(), start(), queue(), finish()],
            &[],
        );
        check(
            "freed while queued",
            &[allocate(), queue(), free()],
            &["wi-free-while-queued"],
        );
        check(
            "freed while running",
            &[allocate(), queue(), start(), free(), finish()],
            &[],
        );
        check(
            "freed twice",
            &[allocate(), free(), free()],
            &["wi-free-once"],
        );
        check(
            "queued after free",
            &[allocate(), free(), queue()],
            &["wi-no-use-after-free"],
        );
        check("never allocated", &[queue()], &["wi-no-use-after-free"]);
        let no_code = WorkItemEvent::Queued {
            item: ITEM,
            routine: 0,
            routine_is_code: false,
            context: 0,
        };
        check(
            "no routine",
            &[allocate(), item(no_code)],
            &["wi-valid-routine"],
        );
    }

    #[test]
    fn handles_have_a_kind() {
        for (owner, expected) in [
            (WorkItemOwner::Driver, None),
            (WorkItemOwner::Device, None),
            (WorkItemOwner::Module, Some("wi-alloc-handle-kind")),
            (WorkItemOwner::Unknown(5), Some("wi-alloc-handle-kind")),
        ] {
            check(
                "owner",
                &[item(WorkItemEvent::Allocated { item: ITEM, owner })],
                &Vec::from_iter(expected),
            );
        }
    }

    #[test]
    fn nothing_is_left_at_detach_or_unload() {
        let attached = || leave(Callback::FilterAttach, Some(0), Some(0));
        let detach = |adapter| {
            [
                enter(Callback::FilterDetach, Some(adapter)),
                leave(Callback::FilterDetach, Some(adapter), None),
            ]
        };
        let left = || at(Kind::Left(Left::default()));
        check(
            "idle at detach",
            &[&[allocate(), attached()], &detach(0)[..]].concat(),
            &[],
        );
        check(
            "queued at detach",
            &[&[allocate(), attached(), queue()], &detach(0)[..]].concat(),
            &["detach-no-workitem"],
        );
        let running = [allocate(), attached(), queue(), start()];
        check(
            "running at detach",
            &[&running, &detach(0)[..]].concat(),
            &["detach-no-workitem"],
        );
        let freed = [allocate(), attached(), queue(), start(), free()];
        check(
            "freed and past its last touch",
            &[&freed, &detach(0)[..]].concat(),
            &[],
        );
        check(
            "freed and running at unload",
            &[&freed[..], &[left()]].concat(),
            &["wi-complete-before-unload"],
        );
        check(
            "another adapter's",
            &[&running, &detach(1)[..]].concat(),
            &[],
        );
        check(
            "allocated at unload",
            &[allocate(), left()],
            &["wi-freed-before-unload"],
        );
        check(
            "queued at unload",
            &[allocate(), queue(), left()],
            &["wi-complete-before-unload"],
        );
        check("freed before unload", &[allocate(), free(), left()], &[]);
    }
}
