//! IRPs that the driver makes itself, and those that it passes on.

use crate::event::{Event, IrpEvent, IrpMisuse, Kind};
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// Judges what the system finds wrong with a call about an IRP.
#[derive(Debug, Default)]
pub(crate) struct OwnIrpMonitor;

/// The rule that a misuse breaks, what happened, and how a verified system stops.
fn judge(misuse: IrpMisuse, irp: u64) -> (&'static Rule, &'static str, Option<BugCheck>) {
    let verifier = |code| Some(BugCheck::new(0xC9, &[code, irp]));
    let io_verification = |code| Some(BugCheck::new(0xC9, &[code, 0, irp]));
    match misuse {
        IrpMisuse::NoLocation => (
            &rule::IRP_LOCATION,
            "was given to a device, and has no stack location left for it",
            Some(BugCheck::new(0x35, &[irp])),
        ),
        IrpMisuse::NoIrp => (
            &rule::IRP_CALL,
            "was given to a device, and is none",
            verifier(0x03),
        ),
        IrpMisuse::NoDevice => (
            &rule::IRP_CALL,
            "was given to what is no device",
            verifier(0x04),
        ),
        IrpMisuse::Cancellable => (
            &rule::IRP_CALL,
            "was given to a device with its cancel routine set",
            io_verification(0x203),
        ),
        IrpMisuse::MarkedPending => (
            &rule::IRP_CALL,
            "was given to a device with the stack location marked pending that is the device's",
            io_verification(0x206),
        ),
        IrpMisuse::UserAddress => (
            &rule::DV_IRP_REQUESTOR_MODE,
            "was given to a device as the kernel's, and brings an address of user mode",
            Some(BugCheck::new(0xC4, &[0xE2, irp])),
        ),
        IrpMisuse::FreedAgain => (&rule::IRP_FREE, "was freed again", verifier(0x01)),
        IrpMisuse::FreedForeign => (
            &rule::IRP_FREE,
            "was freed, and is none that the driver has allocated",
            verifier(0x01),
        ),
        IrpMisuse::FreedThreaded => (
            &rule::IRP_FREE,
            "was freed, although the system frees it when it is completed",
            verifier(0x02),
        ),
        IrpMisuse::FreedInUse => (
            &rule::IRP_FREE,
            "was freed while a device has it",
            io_verification(0x20B),
        ),
        IrpMisuse::Initialized => (
            &rule::IRP_REUSE,
            "is from IoAllocateIrp, and was given to IoInitializeIrp",
            io_verification(0x20D),
        ),
        IrpMisuse::ReusedBuilt => (
            &rule::IRP_REUSE,
            "was built by the system, and given to IoReuseIrp",
            None,
        ),
        IrpMisuse::NotStopped => (
            &rule::IRP_MAKER_STOPS,
            "is the driver's own, and its completion went on to the system, which knows nothing of it",
            None,
        ),
        IrpMisuse::FreedInCompletion => (
            &rule::IRP_MAKER_STOPS,
            "was freed by a completion routine that did not return STATUS_MORE_PROCESSING_REQUIRED",
            None,
        ),
        IrpMisuse::NotPropagated => (
            &rule::IRP_PENDING_PROPAGATED,
            "was pending below, and the completion routine neither marked it pending nor stopped its completion",
            None,
        ),
        IrpMisuse::NobodyTold => (
            &rule::IRP_MAKER_TOLD,
            "was built without an event, and sent without a completion routine",
            None,
        ),
    }
}

impl Monitor for OwnIrpMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::IRP_LOCATION,
            &rule::IRP_CALL,
            &rule::IRP_FREE,
            &rule::IRP_REUSE,
            &rule::IRP_MAKER_STOPS,
            &rule::IRP_PENDING_PROPAGATED,
            &rule::IRP_MAKER_TOLD,
            &rule::DV_IRP_REQUESTOR_MODE,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let Kind::Irp(IrpEvent::Misused { irp, misuse }) = event.kind else {
            return None;
        };
        let (rule, happened, bug_check) = judge(misuse, irp);
        let finding = Finding::new(rule, format!("IRP {irp:#x} {happened}"));
        Some(match bug_check {
            Some(bug_check) => finding.with(bug_check),
            None => finding,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::OwnIrpMonitor;
    use crate::event::{IrpEvent, IrpMisuse, Kind};
    use crate::table::{at, broken};

    #[test]
    fn every_misuse_breaks_a_rule() {
        for (misuse, expected) in [
            (IrpMisuse::NoLocation, "irp-location"),
            (IrpMisuse::NoIrp, "irp-call"),
            (IrpMisuse::NoDevice, "irp-call"),
            (IrpMisuse::Cancellable, "irp-call"),
            (IrpMisuse::MarkedPending, "irp-call"),
            (IrpMisuse::UserAddress, "dv-irp-requestor-mode"),
            (IrpMisuse::FreedAgain, "irp-free"),
            (IrpMisuse::FreedForeign, "irp-free"),
            (IrpMisuse::FreedThreaded, "irp-free"),
            (IrpMisuse::FreedInUse, "irp-free"),
            (IrpMisuse::Initialized, "irp-reuse"),
            (IrpMisuse::ReusedBuilt, "irp-reuse"),
            (IrpMisuse::NotStopped, "irp-maker-stops"),
            (IrpMisuse::FreedInCompletion, "irp-maker-stops"),
            (IrpMisuse::NotPropagated, "irp-pending-propagated"),
            (IrpMisuse::NobodyTold, "irp-maker-told"),
        ] {
            let event = at(Kind::Irp(IrpEvent::Misused { irp: 16, misuse }));
            assert_eq!(broken::<OwnIrpMonitor>([event]), [expected]);
        }
        let freed = at(Kind::Irp(IrpEvent::Freed { irp: 16 }));
        assert!(broken::<OwnIrpMonitor>([freed]).is_empty());
    }
}
