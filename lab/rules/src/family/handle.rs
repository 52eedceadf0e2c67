//! Handles of objects: whose they are, and whether they are open.

use crate::event::{Event, HandleEvent, Kind};
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// Looks at handles as they are opened and used.
#[derive(Debug, Default)]
pub(crate) struct HandleMonitor;

impl Monitor for HandleMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::KERNEL_HANDLE_PRIVATE,
            &rule::KERNEL_HANDLE_VALID,
            &rule::MEM_USER_ADDRESS,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let Kind::Handle(event) = &event.kind else {
            return None;
        };
        match *event {
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
    use crate::event::{HandleEvent, Kind};
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
}
