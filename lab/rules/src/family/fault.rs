//! Faults of the processor, told by what lies at the address.

use crate::event::{Access, DISPATCH_LEVEL, Event, Fault, FaultKind, Kind, Region};
use crate::family::pool::block_text;
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// Turns faults into broken rules.
#[derive(Debug, Default)]
pub(crate) struct FaultMonitor;

impl Monitor for FaultMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::MEM_OVERRUN,
            &rule::MEM_USE_AFTER_FREE,
            &rule::NULL_CHECK,
            &rule::NBL_NO_TOUCH_AFTER_SEND,
            &rule::WI_COMPLETE_BEFORE_UNLOAD,
            &rule::DEBUG_BREAK,
            &rule::DV_LIST_CORRUPTION,
            &rule::LAB_FAULT,
            &rule::LAB_STACK_OVERFLOW,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Fault(fault) => Some(judge(fault, event.irql)),
            _ => None,
        }
    }
}

fn judge(fault: &Fault, irql: u8) -> Finding {
    let code = |status: u64| BugCheck::new(0x7E, &[status, fault.instruction]);
    match fault.kind {
        FaultKind::Memory(access) => judge_memory(fault, access, irql),
        FaultKind::NonCanonical => {
            let happened =
                "the driver used an address that no processor accepts (a wild or poisoned pointer)";
            Finding::new(&rule::MEM_USE_AFTER_FREE, happened).with(code(0xC000_0005))
        }
        FaultKind::Divide => {
            Finding::new(&rule::LAB_FAULT, "division by zero").with(BugCheck::new(0x7F, &[0]))
        }
        FaultKind::IllegalInstruction => {
            Finding::new(&rule::LAB_FAULT, "an instruction that does not exist")
                .with(BugCheck::new(0x7F, &[6]))
        }
        FaultKind::Breakpoint => {
            Finding::new(&rule::DEBUG_BREAK, "a breakpoint instruction").with(code(0x8000_0003))
        }
        FaultKind::Assertion => {
            Finding::new(&rule::DEBUG_BREAK, "a failed assertion").with(code(0xC000_0420))
        }
        FaultKind::FastFail(3) => Finding::new(
            &rule::DV_LIST_CORRUPTION,
            "a list entry was removed or inserted twice",
        )
        .with(BugCheck::new(0x139, &[3])),
        FaultKind::FastFail(reason) => {
            Finding::new(&rule::LAB_FAULT, format!("fast failure {reason}"))
                .with(BugCheck::new(0x139, &[reason.into()]))
        }
        FaultKind::StackOverflow => {
            Finding::new(&rule::LAB_STACK_OVERFLOW, "the kernel stack is used up")
                .with(BugCheck::new(0x7F, &[8]))
        }
        FaultKind::BugCheck { code, parameters } => Finding::new(
            &rule::LAB_FAULT,
            format!("the driver stopped the system with bug check {code:#X}"),
        )
        .with(BugCheck::new(code, &parameters)),
        FaultKind::Unhandled(status) => Finding::new(
            &rule::LAB_FAULT,
            format!("exception {status:#x} was not handled"),
        )
        .with(code(status.into())),
    }
}

fn judge_memory(fault: &Fault, access: Access, irql: u8) -> Finding {
    let (verb, operation) = match access {
        Access::Read => ("read", 0),
        Access::Write => ("wrote", 1),
        Access::Execute => ("executed", 2),
    };
    let address = fault.address;
    let who = match fault.in_import {
        Some(import) => format!("{import} {verb} for the driver"),
        None => format!("the driver {verb}"),
    };
    let by_driver = fault.in_import.is_none();
    let check = |driver: u32, system: u32| {
        let code = if by_driver { driver } else { system };
        BugCheck::new(code, &[address, operation, fault.instruction])
    };
    // Without special pool or a guard, what stops the system depends on the level.
    let plain = || {
        if irql >= DISPATCH_LEVEL {
            BugCheck::new(
                if by_driver { 0xD1 } else { 0x0A },
                &[address, irql.into(), operation, fault.instruction],
            )
        } else {
            BugCheck::new(0x7E, &[0xC000_0005, fault.instruction])
        }
    };
    match fault.region {
        Region::PoolPast { block, size, tag } => {
            let offset = address.wrapping_sub(block);
            let happened = format!(
                "{who} behind the end of {}, at offset {offset}",
                block_text(block, size, tag)
            );
            Finding::new(&rule::MEM_OVERRUN, happened).with(check(0xD6, 0xCD))
        }
        Region::PoolBefore { block, size, tag } => {
            let before = block.wrapping_sub(address);
            let happened = format!(
                "{who} {before} bytes before {}",
                block_text(block, size, tag)
            );
            Finding::new(&rule::MEM_OVERRUN, happened).with(check(0xD6, 0xCD))
        }
        Region::PoolFreed { block, size, tag } => {
            let offset = address.saturating_sub(block);
            let happened = format!(
                "{who} at offset {offset} in {}, which was freed",
                block_text(block, size, tag)
            );
            Finding::new(&rule::MEM_USE_AFTER_FREE, happened).with(check(0xD5, 0xCC))
        }
        Region::Null => Finding::new(
            &rule::NULL_CHECK,
            format!("{who} through a NULL pointer ({address:#x})"),
        )
        .with(plain()),
        Region::GivenAway => {
            let happened =
                format!("{who} {address:#x}, in a structure that is no longer the driver's");
            Finding::new(&rule::NBL_NO_TOUCH_AFTER_SEND, happened).with(plain())
        }
        Region::UnloadedImage => {
            let happened = format!("{who} {address:#x}, in the unloaded image");
            let bug_check = BugCheck::new(0xCE, &[address, operation, fault.instruction]);
            Finding::new(&rule::WI_COMPLETE_BEFORE_UNLOAD, happened).with(bug_check)
        }
        Region::Image if access == Access::Write => Finding::new(
            &rule::LAB_FAULT,
            format!("{who} to read-only memory of the image ({address:#x})"),
        )
        .with(BugCheck::new(0xBE, &[address])),
        Region::Image => Finding::new(
            &rule::LAB_FAULT,
            format!("{who} memory of the image that is not code ({address:#x})"),
        )
        .with(BugCheck::new(0xFC, &[address])),
        Region::Stack => Finding::new(
            &rule::LAB_STACK_OVERFLOW,
            format!("{who} below the kernel stack ({address:#x})"),
        )
        .with(BugCheck::new(0x7F, &[8])),
        Region::Unmapped => {
            let bug_check = if by_driver && irql < DISPATCH_LEVEL {
                BugCheck::new(0x50, &[address, operation << 1, fault.instruction])
            } else {
                plain()
            };
            Finding::new(
                &rule::LAB_FAULT,
                format!("{who} {address:#x}, where nothing is"),
            )
            .with(bug_check)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FaultMonitor;
    use crate::event::{Access, Event, Fault, FaultKind, Import, Kind, Region};
    use crate::table::{at, broken};

    fn fault(kind: FaultKind, region: Region) -> Event {
        at(Kind::Fault(Fault {
            kind,
            address: 0x2010,
            instruction: 0x1234,
            region,
            in_import: None,
        }))
    }

    #[test]
    fn the_place_decides_the_rule() {
        let read = FaultKind::Memory(Access::Read);
        let write = FaultKind::Memory(Access::Write);
        let (block, size, tag) = (0x2000, 16, 1);
        for (event, expected) in [
            (
                fault(read, Region::PoolPast { block, size, tag }),
                "mem-overrun",
            ),
            (
                fault(write, Region::PoolBefore { block, size, tag }),
                "mem-overrun",
            ),
            (
                fault(write, Region::PoolFreed { block, size, tag }),
                "mem-use-after-free",
            ),
            (fault(read, Region::Null), "null-check"),
            (fault(read, Region::GivenAway), "nbl-no-touch-after-send"),
            (
                fault(FaultKind::Memory(Access::Execute), Region::UnloadedImage),
                "wi-complete-before-unload",
            ),
            (fault(write, Region::Image), "lab-fault"),
            (fault(read, Region::Unmapped), "lab-fault"),
            (fault(write, Region::Stack), "lab-stack-overflow"),
            (
                fault(FaultKind::NonCanonical, Region::Unmapped),
                "mem-use-after-free",
            ),
            (fault(FaultKind::Divide, Region::Image), "lab-fault"),
            (
                fault(FaultKind::IllegalInstruction, Region::Image),
                "lab-fault",
            ),
            (fault(FaultKind::Breakpoint, Region::Image), "debug-break"),
            (
                fault(FaultKind::FastFail(3), Region::Image),
                "dv-list-corruption",
            ),
            (fault(FaultKind::FastFail(2), Region::Image), "lab-fault"),
            (
                fault(FaultKind::StackOverflow, Region::Stack),
                "lab-stack-overflow",
            ),
        ] {
            assert_eq!(broken::<FaultMonitor>([event]), [expected]);
        }
    }

    #[test]
    fn nothing_else_is_a_fault() {
        let import = Import {
            module: "ntoskrnl.exe",
            name: "memcpy",
            irql_min: 0,
            irql_max: 15,
            arguments: Default::default(),
        };
        assert!(broken::<FaultMonitor>([at(Kind::Import(import))]).is_empty());
    }
}
