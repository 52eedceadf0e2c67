//! IRPs that the control device is given.

use std::collections::BTreeMap;

use crate::event::{Event, IrpEvent, Kind};
use crate::family::state::PENDING;
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// `IRP_MJ_CREATE`.
const CREATE: u8 = 0;

/// One IRP in the driver's hands.
#[derive(Clone, Copy, Debug, Default)]
struct Irp {
    /// None where `IoStatus.Information` is no number of bytes.
    output_len: Option<u64>,
    completed: Option<u32>,
    has_returned: bool,
}

/// Follows every IRP.
#[derive(Debug, Default)]
pub(crate) struct IrpMonitor {
    /// By the call of a dispatch routine.
    sent: BTreeMap<u64, Irp>,
}

/// The end of a dispatch routine's work.
struct Completion {
    irp: u64,
    sending: Option<u64>,
    status: u32,
    information: u64,
}

/// What a dispatch routine returned.
struct Return {
    irp: u64,
    sending: u64,
    status: u32,
    marked_pending: bool,
    lower: Option<u32>,
}

impl IrpMonitor {
    fn check_completed(&mut self, completion: &Completion) -> Option<Finding> {
        let &Completion {
            irp,
            sending,
            status,
            information,
        } = completion;
        let state = sending.and_then(|sending| self.sent.get_mut(&sending));
        let fail =
            |rule, happened: String, bug_check| Some(Finding::new(rule, happened).with(bug_check));
        let Some(state) = state.filter(|state| state.completed.is_none()) else {
            let happened =
                format!("IRP {irp:#x} was completed and is not the driver's to complete");
            return fail(
                &rule::IRP_COMPLETE_ONCE,
                happened,
                BugCheck::new(0x44, &[irp]),
            );
        };
        state.completed = Some(status);
        let (output_len, has_returned) = (state.output_len, state.has_returned);
        if let Some(sending) = sending.filter(|_| has_returned) {
            self.sent.remove(&sending);
        }
        if status == PENDING || status == u32::MAX {
            let happened = format!("IRP {irp:#x} was completed with status {status:#x}");
            return fail(
                &rule::IRP_NO_PENDING_STATUS,
                happened,
                BugCheck::new(0xC9, &[6, status.into(), irp]),
            );
        }
        if let Some(output_len) = output_len
            && information > output_len
            && status < 0xC000_0000
        {
            let happened = format!(
                "IRP {irp:#x} was completed with {information} bytes of output; its buffer has {output_len}"
            );
            return fail(
                &rule::IRP_INFORMATION_BOUNDS,
                happened,
                BugCheck::new(0xC9, &[0x312, 0, irp]),
            );
        }
        None
    }

    fn check_returned(&mut self, returned: &Return) -> Option<Finding> {
        let &Return {
            irp,
            sending,
            status,
            marked_pending,
            lower,
        } = returned;
        let state = self.sent.get_mut(&sending)?;
        state.has_returned = true;
        let completed = state.completed;
        // Who passes an IRP on returns what the next driver has returned.
        let is_passed_on = lower == Some(status)
            && completed.is_none_or(|completed| completed == status || status == PENDING);
        if completed.is_some() || !(marked_pending || is_passed_on && status == PENDING) {
            self.sent.remove(&sending);
        }
        if is_passed_on {
            return None;
        }
        match (completed, status == PENDING, marked_pending) {
            (_, true, true) => None,
            (Some(_), true, false) => {
                let happened = format!(
                    "STATUS_PENDING was returned for IRP {irp:#x}, which was completed and never marked pending"
                );
                Some(
                    Finding::new(&rule::IRP_PENDING_NOT_AFTER_COMPLETE, happened)
                        .with(BugCheck::new(0xC9, &[0x23D, 0, irp, status.into()])),
                )
            }
            (None, is_pending @ true, false) | (_, is_pending @ false, true) => {
                let happened = if is_pending {
                    format!("STATUS_PENDING was returned for IRP {irp:#x} without IoMarkIrpPending")
                } else {
                    format!("IRP {irp:#x} was marked pending, and {status:#x} was returned for it")
                };
                let code = if is_pending { 0x23D } else { 0x23E };
                Some(
                    Finding::new(&rule::IRP_MARK_PENDING, happened)
                        .with(BugCheck::new(0xC9, &[code, 0, irp, status.into()])),
                )
            }
            (None, false, false) => Some(
                Finding::new(
                    &rule::IRP_COMPLETE_OR_PEND,
                    format!("IRP {irp:#x} was neither completed nor marked pending"),
                )
                .with(BugCheck::new(0xC9, &[0x226, 0, irp])),
            ),
            (Some(completed), false, false) => (completed != status).then(|| {
                let happened = format!(
                    "IRP {irp:#x} was completed with {completed:#x} and {status:#x} was returned"
                );
                Finding::new(&rule::IRP_STATUS_CONSISTENT, happened)
                    .with(BugCheck::new(0xC9, &[0x224, 0, irp, completed.into()]))
            }),
        }
    }
}

impl Monitor for IrpMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::IRP_COMPLETE_ONCE,
            &rule::IRP_CANCEL_CLEARED,
            &rule::IRP_COMPLETE_OR_PEND,
            &rule::IRP_MARK_PENDING,
            &rule::IRP_STATUS_CONSISTENT,
            &rule::IRP_NO_PENDING_STATUS,
            &rule::IRP_INFORMATION_BOUNDS,
            &rule::IRP_PENDING_NOT_AFTER_COMPLETE,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let Kind::Irp(event) = &event.kind else {
            return None;
        };
        match *event {
            IrpEvent::Sent {
                sending,
                major,
                output_len,
                ..
            } => {
                self.sent.insert(
                    sending,
                    Irp {
                        // There it says what became of the file: `FILE_OPENED`, for one.
                        output_len: (major != CREATE).then_some(output_len),
                        completed: None,
                        has_returned: false,
                    },
                );
                None
            }
            IrpEvent::Completed {
                irp,
                sending,
                status,
                information,
                is_cancellable,
            } => {
                let finding = self.check_completed(&Completion {
                    irp,
                    sending,
                    status,
                    information,
                });
                if !is_cancellable || sending.is_none() {
                    return finding;
                }
                let happened = format!("IRP {irp:#x} was completed with its cancel routine set");
                let bug_check = BugCheck::new(0xC9, &[7, 0, irp]);
                Some(Finding::new(&rule::IRP_CANCEL_CLEARED, happened).with(bug_check))
            }
            IrpEvent::Passed {
                sending, status, ..
            } => {
                let state = self.sent.get_mut(&sending)?;
                state.completed = Some(status);
                if state.has_returned {
                    self.sent.remove(&sending);
                }
                None
            }
            IrpEvent::Returned {
                irp,
                sending,
                status,
                marked_pending,
                lower,
            } => self.check_returned(&Return {
                irp,
                sending,
                status,
                marked_pending,
                lower,
            }),
            IrpEvent::Overdue { irp, waited_ns } => {
                let happened = format!(
                    "IRP {irp:#x} was left pending and is not completed after {} s, although its handle was closed",
                    waited_ns / 1_000_000_000
                );
                Some(Finding::new(&rule::IRP_COMPLETE_ONCE, happened).since(Origin::Given(irp)))
            }
            IrpEvent::Allocated { .. }
            | IrpEvent::Freed { .. }
            | IrpEvent::PagesLocked { .. }
            | IrpEvent::Called { .. }
            | IrpEvent::CameBack { .. }
            | IrpEvent::Misused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CREATE, IrpMonitor};
    use crate::event::{Event, IrpEvent, Kind};
    use crate::table::{at, broken};

    const IRP: u64 = 0x1000;
    const INVALID: u32 = 0xC000_0010;

    fn irp(event: IrpEvent) -> Event {
        at(Kind::Irp(event))
    }

    fn sent() -> Event {
        irp(IrpEvent::Sent {
            irp: IRP,
            sending: 1,
            major: 14,
            output_len: 8,
        })
    }

    fn completed(status: u32, information: u64) -> Event {
        irp(IrpEvent::Completed {
            irp: IRP,
            sending: Some(1),
            status,
            information,
            is_cancellable: false,
        })
    }

    #[test]
    fn cancel_routines_are_cleared() {
        let still_set = irp(IrpEvent::Completed {
            irp: IRP,
            sending: Some(1),
            status: 0,
            information: 0,
            is_cancellable: true,
        });
        assert_eq!(
            broken::<IrpMonitor>([sent(), still_set]),
            ["irp-cancel-cleared"]
        );
        assert!(broken::<IrpMonitor>([sent(), completed(0, 0)]).is_empty());
    }

    fn returned(status: u32, marked_pending: bool) -> Event {
        passed_on(status, marked_pending, None)
    }

    fn passed_on(status: u32, marked_pending: bool, lower: Option<u32>) -> Event {
        irp(IrpEvent::Returned {
            irp: IRP,
            sending: 1,
            status,
            marked_pending,
            lower,
        })
    }

    fn passed(status: u32) -> Event {
        irp(IrpEvent::Passed {
            irp: IRP,
            sending: 1,
            status,
        })
    }

    #[test]
    fn irps_are_completed_once_and_honestly() {
        let stranger = irp(IrpEvent::Completed {
            irp: 7,
            sending: None,
            status: 0,
            information: 0,
            is_cancellable: false,
        });
        let table: Vec<(&str, Vec<Event>, Vec<&str>)> = vec![
            (
                "completed",
                vec![sent(), completed(0, 8), returned(0, false)],
                vec![],
            ),
            (
                "refused",
                vec![sent(), completed(INVALID, 0), returned(INVALID, false)],
                vec![],
            ),
            (
                "pended",
                vec![sent(), returned(0x103, true), completed(0, 0)],
                vec![],
            ),
            (
                "pended for ever",
                vec![
                    sent(),
                    returned(0x103, true),
                    irp(IrpEvent::Overdue {
                        irp: IRP,
                        waited_ns: 60_000_000_000,
                    }),
                ],
                vec!["irp-complete-once"],
            ),
            (
                "twice",
                vec![sent(), completed(0, 0), completed(0, 0)],
                vec!["irp-complete-once"],
            ),
            ("unknown", vec![stranger], vec!["irp-complete-once"]),
            (
                "never",
                vec![sent(), returned(0, false)],
                vec!["irp-complete-or-pend"],
            ),
            (
                "not marked",
                vec![sent(), returned(0x103, false)],
                vec!["irp-mark-pending"],
            ),
            (
                "marked",
                vec![sent(), completed(0, 0), returned(0, true)],
                vec!["irp-mark-pending"],
            ),
            (
                "two statuses",
                vec![sent(), completed(0, 0), returned(INVALID, false)],
                vec!["irp-status-consistent"],
            ),
            (
                "pending status",
                vec![sent(), completed(0x103, 0)],
                vec!["irp-no-pending-status"],
            ),
            (
                "too much output",
                vec![sent(), completed(0, 9)],
                vec!["irp-information-bounds"],
            ),
            (
                "opened",
                vec![
                    irp(IrpEvent::Sent {
                        irp: IRP,
                        sending: 1,
                        major: CREATE,
                        output_len: 0,
                    }),
                    completed(0, 1),
                    returned(0, false),
                ],
                vec![],
            ),
            (
                "passed on",
                vec![sent(), passed_on(0x103, false, Some(0x103))],
                vec![],
            ),
            (
                "passed on and done",
                vec![sent(), passed(0), passed_on(0, false, Some(0))],
                vec![],
            ),
            (
                "passed on, another status",
                vec![sent(), passed(0), passed_on(INVALID, false, Some(0))],
                vec!["irp-status-consistent"],
            ),
            (
                "passed on and forgotten",
                vec![sent(), passed_on(0, false, Some(0x103))],
                vec!["irp-complete-or-pend"],
            ),
            (
                "pending afterwards",
                vec![sent(), completed(0, 0), returned(0x103, false)],
                vec!["irp-pending-not-after-complete"],
            ),
        ];
        for (name, events, expected) in table {
            assert_eq!(broken::<IrpMonitor>(events), expected, "{name}");
        }
    }
}
