//! Where objects lie that the kernel links into its lists, and when their memory goes.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Callback, Event, Import, Kind, PoolEvent, Returned, WorkItemEvent};
use crate::family::place::{Place, Places, is_within};
use crate::family::running::Running;
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// Bytes of an `IO_WORKITEM`.
const WORK_ITEM_BYTES: u64 = 0x58;
/// `UserMode`.
const USER_MODE: u8 = 1;

/// Functions whose first argument is an object that must be resident.
const SYNCHRONIZATION: &[&str] = &[
    "KeInitializeEvent",
    "KeSetEvent",
    "KeWaitForSingleObject",
    "KeInitializeTimer",
    "KeInitializeTimerEx",
    "KeSetTimer",
    "KeSetTimerEx",
    "KeInitializeDpc",
    "KeInsertQueueDpc",
    "KeInitializeMutex",
    "KeInitializeSemaphore",
    "ExInitializeResourceLite",
    "ExAcquireFastMutex",
    "NdisInitializeEvent",
    "NdisSetEvent",
    "NdisWaitEvent",
];

/// Functions whose first argument is a spin lock.
const SPIN_LOCK: &[&str] = &[
    "KeInitializeSpinLock",
    "KeAcquireSpinLockRaiseToDpc",
    "KeAcquireSpinLockAtDpcLevel",
    "NdisAllocateSpinLock",
    "NdisAcquireSpinLock",
    "NdisDprAcquireSpinLock",
];

const LOOKASIDE_INITIALIZE: &[&str] = &[
    "ExInitializeLookasideListEx",
    "ExInitializeNPagedLookasideList",
    "ExInitializePagedLookasideList",
];

const LOOKASIDE_DELETE: &[&str] = &[
    "ExDeleteLookasideListEx",
    "ExDeleteNPagedLookasideList",
    "ExDeletePagedLookasideList",
];

/// Follows objects in the driver's memory.
#[derive(Debug, Default)]
pub(crate) struct StorageMonitor {
    places: Places,
    running: Running,
    /// Work items in storage of the driver's.
    initialized: BTreeSet<u64>,
    /// Work items of `IoAllocateWorkItem`.
    allocated: BTreeSet<u64>,
    /// Queued items that have not started, with their context.
    queued: BTreeMap<u64, u64>,
    lookaside: BTreeSet<u64>,
    /// Blocks that the unload routine has freed.
    unloaded: Vec<(u64, u64)>,
}

impl Monitor for StorageMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::MEM_SYNC_OBJECTS_RESIDENT,
            &rule::LOCK_INIT,
            &rule::EVENT_STACK_USERMODE,
            &rule::UNLOAD_LOCKS_OUTLIVE_DETACH,
            &rule::WI_INITIALIZE_STORAGE,
            &rule::WI_UNINITIALIZE_BEFORE_FREE,
            &rule::WI_MEMORY_FREED_ACTIVE,
            &rule::WI_CONTEXT_OUTLIVES,
            &rule::LOOKASIDE_DELETE,
            &rule::GETDATABUFFER_STORAGE_SIZE,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let finding = match &event.kind {
            Kind::Import(import) => self.check_call(event.thread, import),
            Kind::Returned(Returned {
                name: "IoAllocateWorkItem",
                result,
                ..
            }) => {
                self.allocated.insert(*result);
                None
            }
            Kind::Returned(Returned {
                name: "ExInitializeLookasideListEx",
                arguments,
                result,
            }) if is_failure(*result) => {
                self.lookaside.remove(&arguments.word(0));
                None
            }
            Kind::WorkItem(WorkItemEvent::Queued { item, context, .. }) => {
                self.queued.insert(*item, *context);
                None
            }
            Kind::WorkItem(WorkItemEvent::Started { item }) => {
                self.queued.remove(item);
                None
            }
            Kind::WorkItem(WorkItemEvent::Freed { item }) => {
                self.queued.remove(item);
                self.allocated.remove(item);
                None
            }
            Kind::Pool(PoolEvent::Freed { block, size, .. }) => {
                self.check_free(event.thread, *block, *size)
            }
            Kind::Left(_) => {
                let list = self.lookaside.first()?;
                let happened = format!("the lookaside list at {list:#x} is left after unload");
                let finding = Finding::new(&rule::LOOKASIDE_DELETE, happened);
                Some(finding.since(Origin::Allocated(*list)))
            }
            _ => None,
        };
        self.places.observe(event);
        self.running.observe(event);
        finding
    }
}

/// Whether an `NTSTATUS` is that of a failure.
const fn is_failure(result: u64) -> bool {
    (result as u32).cast_signed() < 0
}

impl StorageMonitor {
    fn check_call(&mut self, thread: u32, import: &Import) -> Option<Finding> {
        let object = match import.name {
            // The object that the item is for comes first.
            "IoInitializeWorkItem" => import.arguments.word(1),
            _ => import.arguments.word(0),
        };
        let fail = |rule, why: &str, stop| {
            let happened = format!("{} was given {object:#x}, {why}", import.name);
            Some(Finding::new(rule, happened).with(BugCheck::new(0xC4, &[stop, object])))
        };
        let is_synchronization = SYNCHRONIZATION.contains(&import.name);
        let is_lock = SPIN_LOCK.contains(&import.name);
        if is_synchronization || is_lock {
            let is_gone = self
                .unloaded
                .iter()
                .any(|(block, size)| is_within(object, *block, *size));
            let detaches = |callback| callback == Callback::FilterDetach;
            if is_gone && self.running.inside(thread, detaches).is_some() {
                let happened = format!(
                    "FilterDetach uses the object at {object:#x}, which the unload routine freed before it deregistered"
                );
                return Some(Finding::new(&rule::UNLOAD_LOCKS_OUTLIVE_DETACH, happened));
            }
            let is_paged = self.places.of(object) == Place::Paged;
            if is_paged && is_lock {
                return fail(&rule::LOCK_INIT, "a spin lock in paged pool", 0xE1);
            }
            if is_paged {
                return fail(
                    &rule::MEM_SYNC_OBJECTS_RESIDENT,
                    "an object in paged pool",
                    0xE1,
                );
            }
        }
        match import.name {
            "KeWaitForSingleObject"
                if import.arguments.byte(2) == USER_MODE
                    && self.places.of(object) == Place::Stack =>
            {
                fail(
                    &rule::EVENT_STACK_USERMODE,
                    "on a kernel stack, with wait mode UserMode",
                    0x123,
                )
            }
            "IoInitializeWorkItem" => {
                let is_allocated = self.allocated.contains(&object);
                self.initialized.insert(object);
                match self.places.of(object) {
                    _ if is_allocated => fail(
                        &rule::WI_INITIALIZE_STORAGE,
                        "which IoAllocateWorkItem has initialized",
                        0x130,
                    ),
                    Place::Paged => fail(&rule::WI_INITIALIZE_STORAGE, "in paged pool", 0x130),
                    Place::NonPaged { end, .. } if end - object < WORK_ITEM_BYTES => fail(
                        &rule::WI_INITIALIZE_STORAGE,
                        "where fewer bytes than IoSizeofWorkItem are left",
                        0x131,
                    ),
                    _ => None,
                }
            }
            "NdisGetDataBuffer" => {
                let (bytes, storage) = (import.arguments.dword(1), import.arguments.word(2));
                let Place::NonPaged { end, .. } = self.places.of(storage) else {
                    return None;
                };
                (end - storage < bytes.into()).then(|| {
                    let happened = format!(
                        "NdisGetDataBuffer was asked for {bytes} bytes with storage for {}",
                        end - storage
                    );
                    Finding::new(&rule::GETDATABUFFER_STORAGE_SIZE, happened)
                })
            }
            "IoUninitializeWorkItem" => {
                self.initialized.remove(&object);
                None
            }
            name if LOOKASIDE_INITIALIZE.contains(&name) => {
                let is_new = self.lookaside.insert(object);
                (!is_new)
                    .then(|| {
                        fail(
                            &rule::LOOKASIDE_DELETE,
                            "a lookaside list that is initialized already",
                            0xCA,
                        )
                    })
                    .flatten()
            }
            name if LOOKASIDE_DELETE.contains(&name) => {
                self.lookaside.remove(&object);
                None
            }
            _ => None,
        }
    }

    /// Nothing that the kernel still uses may lie in a block that goes.
    fn check_free(&mut self, thread: u32, block: u64, size: u64) -> Option<Finding> {
        let unloads = |callback| callback == Callback::DriverUnload;
        if self.running.inside(thread, unloads).is_some() {
            self.unloaded.push((block, size));
        }
        let lies_there = |object: &&u64| is_within(**object, block, size);
        let freed = |rule, what: String| {
            let happened = format!("the block at {block:#x} was freed with {what}");
            Finding::new(rule, happened)
        };
        if let Some(item) = self.queued.keys().find(lies_there) {
            let what = format!("the queued work item {item:#x} in it");
            let bug_check = BugCheck::new(0xE4, &[0, *item, block, size]);
            let finding = freed(&rule::WI_MEMORY_FREED_ACTIVE, what).with(bug_check);
            return Some(finding.since(Origin::Queued(*item)));
        }
        if let Some(item) = self
            .initialized
            .iter()
            .copied()
            .find(|item| lies_there(&item))
        {
            self.initialized.remove(&item);
            let what = format!("work item {item:#x} in it, which was not uninitialized");
            return Some(freed(&rule::WI_UNINITIALIZE_BEFORE_FREE, what));
        }
        if let Some(list) = self
            .lookaside
            .iter()
            .copied()
            .find(|list| lies_there(&list))
        {
            self.lookaside.remove(&list);
            let what = format!("the lookaside list {list:#x} in it");
            let bug_check = BugCheck::new(0xC4, &[0xCD, list, block, size]);
            return Some(freed(&rule::LOOKASIDE_DELETE, what).with(bug_check));
        }
        let (item, _) = self
            .queued
            .iter()
            .find(|(_, context)| is_within(**context, block, size))?;
        let what = format!("the context of the queued work item {item:#x} in it");
        Some(freed(&rule::WI_CONTEXT_OUTLIVES, what).since(Origin::Queued(*item)))
    }
}

#[cfg(test)]
mod tests {
    use super::StorageMonitor;
    use crate::event::{Callback, Event, Kind, Left, Loaded, PoolEvent, WorkItemEvent};
    use crate::table::{at, check, enter, import, leave, returned};

    const BLOCK: u64 = 0x1000;

    fn pool(paged: bool) -> Event {
        at(Kind::Pool(PoolEvent::Allocated {
            block: BLOCK,
            size: 0x100,
            tag: 1,
            paged,
        }))
    }

    fn free() -> Event {
        at(Kind::Pool(PoolEvent::Freed {
            block: BLOCK,
            size: 0x100,
            tag: 1,
        }))
    }

    fn queue(item: u64, context: u64) -> Event {
        at(Kind::WorkItem(WorkItemEvent::Queued {
            item,
            routine: 1,
            routine_is_code: true,
            context,
        }))
    }

    fn start(item: u64) -> Event {
        at(Kind::WorkItem(WorkItemEvent::Started { item }))
    }

    fn first(name: &'static str) -> Event {
        import(name, &[BLOCK])
    }

    #[test]
    fn objects_have_their_place() {
        let wait = |mode| import("KeWaitForSingleObject", &[BLOCK, 0, mode]);
        let stacks = || {
            at(Kind::Loaded(Loaded {
                stacks: (BLOCK, BLOCK + 0x1000),
                ..Loaded::default()
            }))
        };
        check::<StorageMonitor>(vec![
            (
                "resident",
                vec![pool(false), first("KeInitializeEvent")],
                vec![],
            ),
            (
                "paged",
                vec![pool(true), first("KeInitializeEvent")],
                vec!["mem-sync-objects-resident"],
            ),
            (
                "lock",
                vec![pool(false), first("KeAcquireSpinLockRaiseToDpc")],
                vec![],
            ),
            (
                "paged lock",
                vec![pool(true), first("KeAcquireSpinLockRaiseToDpc")],
                vec!["lock-init"],
            ),
            (
                "storage",
                vec![
                    pool(false),
                    import("NdisGetDataBuffer", &[1, 0x100, BLOCK, 1]),
                ],
                vec![],
            ),
            (
                "small storage",
                vec![
                    pool(false),
                    import("NdisGetDataBuffer", &[1, 0x101, BLOCK, 1]),
                ],
                vec!["getdatabuffer-storage-size"],
            ),
            ("kernel wait", vec![stacks(), wait(0)], vec![]),
            (
                "user wait",
                vec![stacks(), wait(1)],
                vec!["event-stack-usermode"],
            ),
            ("user wait elsewhere", vec![pool(false), wait(1)], vec![]),
        ]);
    }

    #[test]
    fn work_items_in_storage_are_followed() {
        let uninitialize = || first("IoUninitializeWorkItem");
        let initialize = || import("IoInitializeWorkItem", &[1, BLOCK]);
        let late = import("IoInitializeWorkItem", &[1, BLOCK + 0xB0]);
        check::<StorageMonitor>(vec![
            (
                "whole",
                vec![pool(false), initialize(), uninitialize(), free()],
                vec![],
            ),
            (
                "paged",
                vec![pool(true), initialize()],
                vec!["wi-initialize-storage"],
            ),
            (
                "short",
                vec![pool(false), late],
                vec!["wi-initialize-storage"],
            ),
            (
                "an allocated one",
                vec![returned("IoAllocateWorkItem", &[1], BLOCK), initialize()],
                vec!["wi-initialize-storage"],
            ),
            (
                "kept",
                vec![pool(false), initialize(), free()],
                vec!["wi-uninitialize-before-free"],
            ),
            (
                "queued",
                vec![pool(false), initialize(), queue(BLOCK, 0), free()],
                vec!["wi-memory-freed-active"],
            ),
            (
                "context",
                vec![pool(false), queue(1, BLOCK + 8), free()],
                vec!["wi-context-outlives"],
            ),
            (
                "context of a run",
                vec![pool(false), queue(1, BLOCK + 8), start(1), free()],
                vec![],
            ),
        ]);
    }

    #[test]
    fn lookaside_lists_are_deleted() {
        let left = || at(Kind::Left(Left::default()));
        let make = || first("ExInitializeLookasideListEx");
        let delete = || first("ExDeleteLookasideListEx");
        let refused = |status| returned("ExInitializeLookasideListEx", &[BLOCK], status);
        check::<StorageMonitor>(vec![
            (
                "whole",
                vec![pool(false), make(), delete(), free(), left()],
                vec![],
            ),
            (
                "freed",
                vec![pool(false), make(), free()],
                vec!["lookaside-delete"],
            ),
            (
                "refused",
                vec![pool(false), make(), refused(0xC000_009A), free(), left()],
                vec![],
            ),
            (
                "made",
                vec![pool(false), make(), refused(0), free()],
                vec!["lookaside-delete"],
            ),
            ("twice", vec![make(), make()], vec!["lookaside-delete"]),
            ("left", vec![make(), left()], vec!["lookaside-delete"]),
        ]);
    }

    #[test]
    fn what_detach_needs_outlives_it() {
        let unload = || enter(Callback::DriverUnload, None);
        let detach = || enter(Callback::FilterDetach, Some(0));
        let detached = || leave(Callback::FilterDetach, Some(0), None);
        let lock = || first("KeAcquireSpinLockRaiseToDpc");
        check::<StorageMonitor>(vec![
            (
                "too early",
                vec![pool(false), unload(), free(), detach(), lock()],
                vec!["unload-locks-outlive-detach"],
            ),
            (
                "afterwards",
                vec![pool(false), unload(), detach(), lock(), detached(), free()],
                vec![],
            ),
        ]);
    }
}
