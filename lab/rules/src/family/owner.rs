//! Objects by the routine that made them, and what that routine owes.

use std::collections::BTreeMap;

use crate::event::{
    Call, Callback, Event, Import, Kind, ModuleEvent, PoolEvent, Registration, Returned,
    WorkItemEvent,
};
use crate::family::running::Running;
use crate::family::state::SUCCESS;
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// More work items at a time than anybody needs.
const MANY_ITEMS: usize = 1024;

/// An object's maker.
#[derive(Clone, Copy, Debug)]
struct Made {
    thread: u32,
    call: Option<Call>,
}

/// Follows objects by their maker.
#[derive(Debug, Default)]
pub(crate) struct OwnerMonitor {
    running: Running,
    blocks: BTreeMap<u64, Made>,
    items: BTreeMap<u64, Made>,
    /// Threads that read or write a configuration: thread and handle.
    configuring: Vec<(u32, u64)>,
    generic: BTreeMap<u64, ()>,
    /// A version that was refused for being too new.
    refused_version: Option<u8>,
}

impl Monitor for OwnerMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::WI_INIT_ALLOC_SDV,
            &rule::WI_NO_FLOOD,
            &rule::REG_SETOPTIONS_UNDO,
            &rule::SETMODULE_UNDO_AT_DETACH,
            &rule::PAUSE_KEEP_ATTACH_RESOURCES,
            &rule::CONFIG_SERIALIZED,
            &rule::KERNEL_HANDLE_VALID,
            &rule::MEM_GENERIC_OBJECT,
            &rule::UNLOAD_PRESENT,
            &rule::REG_VERSION_NOT_ABOVE_RUNTIME,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let thread = event.thread;
        let made = Made {
            thread,
            call: self.running.innermost(thread),
        };
        let finding = match &event.kind {
            Kind::Pool(PoolEvent::Allocated { block, .. }) => {
                self.blocks.insert(*block, made);
                None
            }
            Kind::Pool(PoolEvent::Freed { block, .. }) => self.check_free(thread, *block),
            Kind::WorkItem(WorkItemEvent::Allocated { item, .. }) => {
                self.items.insert(*item, made);
                (self.items.len() == MANY_ITEMS).then(|| {
                    let happened = format!("{MANY_ITEMS} work items are allocated at a time");
                    Finding::new(&rule::WI_NO_FLOOD, happened)
                })
            }
            Kind::WorkItem(WorkItemEvent::Freed { item }) => {
                self.items.remove(item);
                None
            }
            Kind::Leave { call, status } => self.check_leave(thread, *call, *status),
            Kind::Import(import) => self.check_call(thread, import),
            Kind::Returned(returned) => self.check_result(thread, returned),
            Kind::Registration(Registration {
                minor,
                offered_minor,
                accepted,
                ..
            }) => {
                self.refused_version = (!accepted && minor > offered_minor).then_some(*minor);
                None
            }
            Kind::Module(ModuleEvent::Loaded {
                has_unload_routine: false,
            }) => {
                let happened = "DriverEntry succeeded without setting DriverUnload";
                Some(Finding::new(&rule::UNLOAD_PRESENT, happened))
            }
            Kind::Left(_) => {
                let (object, ()) = self.generic.first_key_value()?;
                let happened = format!("generic object {object:#x} is left after unload");
                let finding = Finding::new(&rule::MEM_GENERIC_OBJECT, happened);
                Some(finding.since(Origin::Allocated(*object)))
            }
            _ => None,
        };
        self.running.observe(event);
        finding
    }
}

impl OwnerMonitor {
    fn check_free(&mut self, thread: u32, block: u64) -> Option<Finding> {
        let made = self.blocks.remove(&block)?.call?;
        let pauses = |callback| callback == Callback::FilterPause;
        let pause = self.running.inside(thread, pauses)?;
        let is_of_attach = made.callback == Callback::FilterAttach && made.adapter == pause.adapter;
        is_of_attach.then(|| {
            let happened =
                format!("FilterPause freed the block at {block:#x}, which FilterAttach allocated");
            Finding::new(&rule::PAUSE_KEEP_ATTACH_RESOURCES, happened)
        })
    }

    fn check_leave(&mut self, thread: u32, call: Call, status: Option<u32>) -> Option<Finding> {
        let has_failed = status != Some(SUCCESS);
        let by = |wanted: Call| move |made: &Made| made.call == Some(wanted);
        let is_here = |made: &Made| made.thread == thread && made.call == Some(call);
        match call.callback {
            Callback::FilterAttach if has_failed => {
                let (item, _) = self.items.iter().find(|(_, made)| is_here(made))?;
                let happened = format!("FilterAttach failed and left work item {item:#x}");
                let finding = Finding::new(&rule::WI_INIT_ALLOC_SDV, happened);
                Some(finding.since(Origin::Allocated(*item)))
            }
            Callback::FilterSetOptions if has_failed => {
                let (block, _) = self.blocks.iter().find(|(_, made)| is_here(made))?;
                let happened = format!("FilterSetOptions failed and left the block at {block:#x}");
                let finding = Finding::new(&rule::REG_SETOPTIONS_UNDO, happened);
                Some(finding.since(Origin::Allocated(*block)))
            }
            Callback::FilterDetach => {
                let of_options = by(Call {
                    callback: Callback::FilterSetModuleOptions,
                    ..call
                });
                let (block, _) = self.blocks.iter().find(|(_, made)| of_options(made))?;
                let happened = format!(
                    "FilterDetach returned and left the block at {block:#x}, which FilterSetModuleOptions allocated"
                );
                let finding = Finding::new(&rule::SETMODULE_UNDO_AT_DETACH, happened);
                Some(finding.since(Origin::Allocated(*block)))
            }
            Callback::DriverEntry if has_failed => {
                let minor = self.refused_version?;
                let happened = format!(
                    "DriverEntry failed because NDIS 6.{minor} is not there, and tried no lower version"
                );
                Some(Finding::new(&rule::REG_VERSION_NOT_ABOVE_RUNTIME, happened))
            }
            _ => None,
        }
    }

    fn check_call(&mut self, thread: u32, import: &Import) -> Option<Finding> {
        let given = &import.arguments;
        match import.name {
            "NdisReadConfiguration" | "NdisWriteConfiguration" => {
                let handle = if import.name == "NdisReadConfiguration" {
                    given.word(2)
                } else {
                    given.word(1)
                };
                let is_other = |(other, used): &(u32, u64)| *other != thread && *used == handle;
                let is_used = self.configuring.iter().any(is_other);
                self.configuring.push((thread, handle));
                is_used.then(|| {
                    let happened = format!(
                        "{} was called while another thread uses configuration {handle:#x}",
                        import.name
                    );
                    Finding::new(&rule::CONFIG_SERIALIZED, happened)
                })
            }
            "NdisFreeGenericObject" => {
                self.generic.remove(&given.word(0));
                None
            }
            _ => None,
        }
    }

    fn check_result(&mut self, thread: u32, returned: &Returned) -> Option<Finding> {
        match returned.name {
            "NdisReadConfiguration" | "NdisWriteConfiguration" => {
                self.configuring.retain(|(user, _)| *user != thread);
                None
            }
            "NdisAllocateGenericObject" if returned.result != 0 => {
                self.generic.insert(returned.result, ());
                None
            }
            "ZwClose" if returned.result & 0xFFFF_FFFF != 0 => {
                let handle = returned.arguments.word(0);
                let happened = format!("ZwClose was given {handle:#x}, which is no open handle");
                let bug_check = BugCheck::new(0x93, &[handle]);
                Some(Finding::new(&rule::KERNEL_HANDLE_VALID, happened).with(bug_check))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::OwnerMonitor;
    use crate::event::{
        Callback, Event, HandlerSet, Header, Kind, Left, ModuleEvent, PoolEvent, Registration,
        WorkItemEvent, WorkItemOwner,
    };
    use crate::table::{at, check, enter, import, leave, on, returned};

    fn block() -> Event {
        at(Kind::Pool(PoolEvent::Allocated {
            block: 0x1000,
            size: 16,
            tag: 1,
            paged: false,
        }))
    }

    fn free() -> Event {
        at(Kind::Pool(PoolEvent::Freed {
            block: 0x1000,
            size: 16,
            tag: 1,
        }))
    }

    fn item(item: u64) -> Event {
        at(Kind::WorkItem(WorkItemEvent::Allocated {
            item,
            owner: WorkItemOwner::Driver,
        }))
    }

    fn free_item() -> Event {
        at(Kind::WorkItem(WorkItemEvent::Freed { item: 1 }))
    }

    fn run(callback: Callback, status: u32, events: Vec<Event>) -> Vec<Event> {
        let mut all = vec![enter(callback, Some(0))];
        all.extend(events);
        all.push(leave(callback, Some(0), Some(status)));
        all
    }

    fn then(mut first: Vec<Event>, second: Vec<Event>) -> Vec<Event> {
        first.extend(second);
        first
    }

    const FAILURE: u32 = 0xC000_0001;

    #[test]
    fn routines_clean_up() {
        use Callback::{
            FilterAttach, FilterDetach, FilterPause, FilterSetModuleOptions, FilterSetOptions,
        };
        let flood = (1..=1024).map(item).collect();
        check::<OwnerMonitor>(vec![
            (
                "fails clean",
                run(FilterAttach, FAILURE, vec![item(1), free_item()]),
                vec![],
            ),
            (
                "fails",
                run(FilterAttach, FAILURE, vec![item(1)]),
                vec!["wi-init-alloc-sdv"],
            ),
            (
                "kept until unload",
                then(
                    run(FilterAttach, 0, vec![item(1)]),
                    run(FilterDetach, 0, vec![]),
                ),
                vec![],
            ),
            ("options", run(FilterSetOptions, 0, vec![block()]), vec![]),
            (
                "options fail",
                run(FilterSetOptions, FAILURE, vec![block()]),
                vec!["reg-setoptions-undo"],
            ),
            (
                "module options",
                then(
                    run(FilterSetModuleOptions, 0, vec![block()]),
                    run(FilterDetach, 0, vec![free()]),
                ),
                vec![],
            ),
            (
                "module options kept",
                then(
                    run(FilterSetModuleOptions, 0, vec![block()]),
                    run(FilterDetach, 0, vec![]),
                ),
                vec!["setmodule-undo-at-detach"],
            ),
            (
                "attach's block freed in pause",
                then(
                    run(FilterAttach, 0, vec![block()]),
                    run(FilterPause, 0, vec![free()]),
                ),
                vec!["pause-keep-attach-resources"],
            ),
            (
                "pause's own block",
                run(FilterPause, 0, vec![block(), free()]),
                vec![],
            ),
            ("flood", flood, vec!["wi-no-flood"]),
        ]);
    }

    #[test]
    fn objects_are_balanced() {
        let left = || at(Kind::Left(Left::default()));
        let read = || import("NdisReadConfiguration", &[1, 2, 3]);
        let done = || returned("NdisReadConfiguration", &[1, 2, 3], 0);
        let generic = || returned("NdisAllocateGenericObject", &[1], 5);
        let free_generic = || import("NdisFreeGenericObject", &[5]);
        check::<OwnerMonitor>(vec![
            (
                "one reader",
                vec![read(), done(), on(2, read().kind)],
                vec![],
            ),
            (
                "two readers",
                vec![read(), on(2, read().kind)],
                vec!["config-serialized"],
            ),
            ("closed", vec![returned("ZwClose", &[4], 0)], vec![]),
            (
                "closed twice",
                vec![returned("ZwClose", &[4], 0xC000_0008)],
                vec!["kernel-handle-valid"],
            ),
            ("generic", vec![generic(), free_generic(), left()], vec![]),
            (
                "generic left",
                vec![generic(), left()],
                vec!["mem-generic-object"],
            ),
        ]);
    }

    #[test]
    fn entries_are_sound() {
        let loaded =
            |has_unload_routine| at(Kind::Module(ModuleEvent::Loaded { has_unload_routine }));
        let registration = |minor, accepted| {
            at(Kind::Registration(Registration {
                major: 6,
                minor,
                offered_minor: 84,
                header: Header {
                    structure: "NDIS_FILTER_DRIVER_CHARACTERISTICS",
                    address: 1,
                    object_type: 0x8B,
                    revision: 3,
                    size: 256,
                    expected_type: 0x8B,
                    expected_revision: 3,
                    expected_size: 256,
                },
                handlers: HandlerSet::default(),
                in_driver_entry: true,
                unique_name: String::new(),
                accepted,
            }))
        };
        let entry = Callback::DriverEntry;
        check::<OwnerMonitor>(vec![
            ("unload", vec![loaded(true)], vec![]),
            ("no unload", vec![loaded(false)], vec!["unload-present"]),
            (
                "too new",
                run(entry, FAILURE, vec![registration(89, false)]),
                vec!["reg-version-not-above-runtime"],
            ),
            (
                "a lower one",
                run(
                    entry,
                    0,
                    vec![registration(89, false), registration(84, true)],
                ),
                vec![],
            ),
        ]);
    }
}
