//! Handles of objects: whose they are, and whether they are open.

use std::collections::BTreeMap;

use crate::event::{Event, HandleEvent, Kind};
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// Looks at handles as they are opened and used, and counts references.
#[derive(Debug, Default)]
pub(crate) struct HandleMonitor {
    /// References that the driver has, by object.
    references: BTreeMap<u64, u32>,
}

impl HandleMonitor {
    fn give_up(&mut self, object: u64) -> Option<Finding> {
        let Some(count) = self.references.get_mut(&object) else {
            let happened =
                format!("object {object:#x} was dereferenced more often than referenced");
            let finding = Finding::new(&rule::OBJECT_REFCOUNT, happened);
            return Some(finding.with(BugCheck::new(0x18, &[0, object])));
        };
        *count -= 1;
        if *count == 0 {
            self.references.remove(&object);
        }
        None
    }
}

impl Monitor for HandleMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::KERNEL_HANDLE_PRIVATE,
            &rule::KERNEL_HANDLE_VALID,
            &rule::MEM_USER_ADDRESS,
            &rule::OBJECT_REFCOUNT,
            &rule::OBJECT_REFERENCE_LEFT,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        if let Kind::Left(_) = &event.kind {
            let (object, _) = self.references.first_key_value()?;
            let happened = format!("object {object:#x} is referenced still after unload");
            let finding = Finding::new(&rule::OBJECT_REFERENCE_LEFT, happened);
            return Some(finding.since(Origin::Allocated(*object)));
        }
        let Kind::Handle(event) = &event.kind else {
            return None;
        };
        match *event {
            HandleEvent::Referenced { object } => {
                *self.references.entry(object).or_default() += 1;
                None
            }
            HandleEvent::Dereferenced { object } => self.give_up(object),
            HandleEvent::Opened {
                handle,
                is_kernel: false,
                in_user_process: true,
            } => {
                let happened = format!(
                    "handle {handle:#x} was opened in a process of user mode, which can use and close it"
                );
                Some(Finding::new(&rule::KERNEL_HANDLE_PRIVATE, happened))
            }
            HandleEvent::Opened { .. } => None,
            HandleEvent::Invalid { handle, function } => {
                let happened = format!(
                    "{function} was given handle {handle:#x}, which is not open, or another process's"
                );
                let finding = Finding::new(&rule::KERNEL_HANDLE_VALID, happened);
                Some(finding.with(BugCheck::new(0x93, &[handle])))
            }
            HandleEvent::UserAddress { function, address } => {
                let happened =
                    format!("{function} was given {address:#x}, which is an address of user mode");
                let finding = Finding::new(&rule::MEM_USER_ADDRESS, happened);
                Some(finding.with(BugCheck::new(0xC4, &[0xE3, 0, address])))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HandleMonitor;
    use crate::event::{Event, HandleEvent, Kind, Left};
    use crate::table::{at, broken};

    #[test]
    fn handles_are_the_kernels_and_open() {
        let opened = |is_kernel, in_user_process| HandleEvent::Opened {
            handle: 4,
            is_kernel,
            in_user_process,
        };
        let (handle, function, address) = (4, "ZwReadFile", 0x1000);
        for (event, expected) in [
            (opened(true, true), None),
            (opened(false, false), None),
            (opened(false, true), Some("kernel-handle-private")),
            (
                HandleEvent::Invalid { handle, function },
                Some("kernel-handle-valid"),
            ),
            (
                HandleEvent::UserAddress { function, address },
                Some("mem-user-address"),
            ),
        ] {
            let found = broken::<HandleMonitor>([at(Kind::Handle(event))]);
            assert_eq!(found, Vec::from_iter(expected));
        }
    }

    #[test]
    fn references_are_counted() {
        let taken = || at(Kind::Handle(HandleEvent::Referenced { object: 16 }));
        let given_up = || at(Kind::Handle(HandleEvent::Dereferenced { object: 16 }));
        let left = || at(Kind::Left(Left::default()));
        let table: [(Vec<Event>, Vec<&str>); 4] = [
            (
                vec![taken(), taken(), given_up(), given_up(), left()],
                vec![],
            ),
            (vec![given_up()], vec!["object-refcount"]),
            (
                vec![taken(), given_up(), given_up()],
                vec!["object-refcount"],
            ),
            (vec![taken(), left()], vec!["object-reference-left"]),
        ];
        for (events, expected) in table {
            assert_eq!(broken::<HandleMonitor>(events), expected);
        }
    }
}
