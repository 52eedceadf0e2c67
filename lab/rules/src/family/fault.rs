//! Faults of the processor, told by what lies at the address.

use std::collections::BTreeMap;

use crate::event::{
    Access, Callback, DISPATCH_LEVEL, Event, Fault, FaultKind, Kind, Lent, NblCall, NblEvent,
    Region,
};
use crate::family::pool::block_text;
use crate::family::running::Running;
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// Turns faults into broken rules.
#[derive(Debug, Default)]
pub(crate) struct FaultMonitor {
    running: Running,
    /// The function that last gave a thread nothing.
    refused: BTreeMap<u32, &'static str>,
    /// How the driver parted with blocks of packets.
    parted: BTreeMap<u64, &'static Rule>,
    /// The last call that handed a structure over.
    calls: BTreeMap<u64, &'static Rule>,
}

/// Which rule it is not to look at what a function gave: the first matching prefix decides.
const RULE_BY_REFUSAL: &[(&str, &Rule)] = &[
    ("NdisAllocateIoWorkItem", &rule::WI_ALLOC_NULL),
    ("IoAllocateWorkItem", &rule::WI_ALLOC_NULL),
    (
        "NdisAllocateNetBufferListContext",
        &rule::NBL_CONTEXT_ALLOC_CAN_FAIL,
    ),
    ("NdisAllocateNetBuffer", &rule::POOL_ALLOC_NULL),
    ("NdisAllocateCloneNetBuffer", &rule::POOL_ALLOC_NULL),
    ("NdisAllocateMdl", &rule::POOL_ALLOC_NULL),
    ("NdisGetDataBuffer", &rule::GETDATABUFFER_NULL),
    ("MmMapLockedPages", &rule::MDL_MAP_NULL),
    ("", &rule::MEM_NULL_CHECK),
];

impl Monitor for FaultMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::MEM_OVERRUN,
            &rule::MEM_USE_AFTER_FREE,
            &rule::NULL_CHECK,
            &rule::NBL_NO_TOUCH_AFTER_SEND,
            &rule::WI_COMPLETE_BEFORE_UNLOAD,
            &rule::DEBUG_BREAK,
            &rule::WI_ALLOC_NULL,
            &rule::NBL_CONTEXT_ALLOC_CAN_FAIL,
            &rule::POOL_ALLOC_NULL,
            &rule::GETDATABUFFER_NULL,
            &rule::MDL_MAP_NULL,
            &rule::MEM_NULL_CHECK,
            &rule::REG_READY_BEFORE_REGISTER,
            &rule::ATTACH_NULL_CAPABILITIES,
            &rule::NBL_NO_TOUCH_AFTER_COMPLETE,
            &rule::NBL_NO_TOUCH_AFTER_INDICATE,
            &rule::NBL_NO_TOUCH_AFTER_RETURN,
            &rule::RX_RESOURCES_NOT_KEPT,
            &rule::RX_RESOURCES_COPY_TO_QUEUE,
            &rule::CONFIG_MEMORY_LIFETIME,
            &rule::ATTACH_PARAMS_NOT_RETAINED,
            &rule::STATUS_BUFFER_NOT_KEPT,
            &rule::WI_NO_USE_AFTER_FREE,
            &rule::NB_MULTIPLE_MDLS,
            &rule::NB_CURRENT_OFFSET,
            &rule::IRP_INPUT_VALIDATED,
            &rule::HDR_CHECK_BEFORE_READ,
            &rule::DETACH_CONTEXT_UAF,
            &rule::DV_STACK_SWITCH,
            &rule::DV_LIST_CORRUPTION,
            &rule::LAB_FAULT,
            &rule::LAB_STACK_OVERFLOW,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Fault(fault) => {
                let mut finding = judge(fault, event.irql);
                if let Some(rule) = self.refine(event.thread, fault) {
                    finding.rule = rule;
                }
                return Some(finding);
            }
            Kind::Returned(returned) if !returned.name.starts_with("Zw") => {
                let is_refusal = match returned.name {
                    "NdisAllocateNetBufferListContext" => returned.result & 0xFFFF_FFFF != 0,
                    name => returned.result == 0 && gives_pointer(name),
                };
                if is_refusal {
                    self.refused.insert(event.thread, returned.name);
                } else {
                    self.refused.remove(&event.thread);
                }
            }
            Kind::Nbl(nbl) => self.note(nbl),
            _ => {}
        }
        self.running.observe(event);
        None
    }
}

/// Whether a function's result is a pointer, so that 0 says that there is nothing to have.
fn gives_pointer(name: &str) -> bool {
    [
        "NdisAllocate",
        "ExAllocate",
        "IoAllocate",
        "NdisGetDataBuffer",
        "MmMap",
    ]
    .iter()
    .any(|start| name.starts_with(start))
        && !name.starts_with("NdisAllocateTimerObject")
        && !name.starts_with("NdisAllocateNetBufferListContext")
}

impl FaultMonitor {
    fn note(&mut self, event: &NblEvent) {
        match event {
            NblEvent::Handed { call, nbls, .. } => {
                let rule = match call {
                    NblCall::Send => &rule::NBL_NO_TOUCH_AFTER_SEND,
                    NblCall::SendComplete => &rule::NBL_NO_TOUCH_AFTER_COMPLETE,
                    NblCall::Indicate => &rule::NBL_NO_TOUCH_AFTER_INDICATE,
                    NblCall::Return => &rule::NBL_NO_TOUCH_AFTER_RETURN,
                };
                self.calls
                    .extend(nbls.iter().map(|handed| (handed.nbl, rule)));
            }
            NblEvent::LentBack { given, .. } => {
                let rule = &rule::RX_RESOURCES_NOT_KEPT;
                self.calls.extend(given.iter().map(|nbl| (*nbl, rule)));
            }
            NblEvent::Home { nbl, blocks } => {
                if let Some(rule) = self.calls.remove(nbl) {
                    self.parted
                        .extend(blocks.iter().map(|block| (*block, rule)));
                }
            }
            _ => {}
        }
    }

    /// A rule that says more than the place alone does.
    fn refine(&self, thread: u32, fault: &Fault) -> Option<&'static Rule> {
        let inside = |wanted| self.running.inside(thread, |callback| callback == wanted);
        match fault.region {
            Region::Null => {
                if let Some(name) = self.refused.get(&thread) {
                    let is_it = |(prefix, _): &&(&str, &Rule)| name.starts_with(prefix);
                    return RULE_BY_REFUSAL.iter().find(is_it).map(|(_, rule)| *rule);
                }
                inside(Callback::FilterAttach)?;
                Some(if self.running.is_anywhere(Callback::DriverEntry) {
                    &rule::REG_READY_BEFORE_REGISTER
                } else {
                    &rule::ATTACH_NULL_CAPABILITIES
                })
            }
            Region::GivenAway { block, object } => Some(match object {
                Lent::Packet => {
                    let work_item = self.running.inside(thread, Callback::is_work_item);
                    let rule = *self.parted.get(&block)?;
                    if rule.id == "rx-resources-not-kept" && work_item.is_some() {
                        &rule::RX_RESOURCES_COPY_TO_QUEUE
                    } else {
                        rule
                    }
                }
                Lent::Configuration => &rule::CONFIG_MEMORY_LIFETIME,
                Lent::Attach | Lent::Restart => &rule::ATTACH_PARAMS_NOT_RETAINED,
                Lent::Status => &rule::STATUS_BUFFER_NOT_KEPT,
                Lent::WorkItem => &rule::WI_NO_USE_AFTER_FREE,
                Lent::SystemBuffer | Lent::Other => return None,
            }),
            Region::PoolPast { tag, .. } => Some(match Lent::of_tag(tag)? {
                Lent::Packet => &rule::NB_MULTIPLE_MDLS,
                Lent::SystemBuffer => &rule::IRP_INPUT_VALIDATED,
                Lent::Attach | Lent::Restart | Lent::Status => &rule::HDR_CHECK_BEFORE_READ,
                Lent::Configuration | Lent::WorkItem | Lent::Other => return None,
            }),
            Region::PoolBefore { tag, .. } if Lent::of_tag(tag) == Some(Lent::Packet) => {
                Some(&rule::NB_CURRENT_OFFSET)
            }
            Region::PoolFreed { .. } => {
                inside(Callback::FilterDetach).map(|_| &rule::DETACH_CONTEXT_UAF)
            }
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
        FaultKind::ForeignStack => Finding::new(
            &rule::DV_STACK_SWITCH,
            "a call came on a stack that is not the kernel's",
        )
        .with(BugCheck::new(0xC4, &[0x91, 0, fault.address])),
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
        Region::GivenAway { .. } => {
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
    use crate::event::{
        Access, Callback, Chain, Event, Fault, FaultKind, HandedNbl, Import, Kind, Lent, NblCall,
        NblEvent, Region,
    };
    use crate::table::{at, broken, enter, on, returned};

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
    fn what_went_before_tells_more() {
        let read = FaultKind::Memory(Access::Read);
        let null = || fault(read, Region::Null);
        let refuses = |name, result| returned(name, &[], result);
        let block = 0x2000;
        let gone = |object| fault(read, Region::GivenAway { block, object });
        let past = |object: Lent| {
            let tag = object.tag();
            fault(
                read,
                Region::PoolPast {
                    block,
                    size: 16,
                    tag,
                },
            )
        };
        let parts = |call| {
            let handed = HandedNbl {
                nbl: 1,
                ..HandedNbl::default()
            };
            at(Kind::Nbl(NblEvent::Handed {
                adapter: 0,
                call,
                nbls: vec![handed],
                chain: Chain::WellFormed,
                count: None,
                dispatch_flag: false,
                low_resources: false,
                has_return_handler: true,
            }))
        };
        let lent_back = || {
            at(Kind::Nbl(NblEvent::LentBack {
                adapter: 0,
                given: vec![1],
                now: vec![1],
            }))
        };
        let home = || {
            at(Kind::Nbl(NblEvent::Home {
                nbl: 1,
                blocks: vec![1, block],
            }))
        };
        let attach = || enter(Callback::FilterAttach, Some(0));
        let item = || enter(Callback::NdisIoWorkItemRoutine, None);
        let before = Region::PoolBefore {
            block,
            size: 16,
            tag: Lent::Packet.tag(),
        };
        let freed = Region::PoolFreed {
            block,
            size: 16,
            tag: 1,
        };
        for (events, expected) in [
            (vec![null()], "null-check"),
            (
                vec![refuses("ExAllocatePool2", 0), null()],
                "mem-null-check",
            ),
            (vec![refuses("ExAllocatePool2", 8), null()], "null-check"),
            (
                vec![refuses("NdisAllocateIoWorkItem", 0), null()],
                "wi-alloc-null",
            ),
            (
                vec![refuses("NdisAllocateNetBufferList", 0), null()],
                "pool-alloc-null",
            ),
            (
                vec![refuses("NdisGetDataBuffer", 0), null()],
                "getdatabuffer-null",
            ),
            (
                vec![refuses("MmMapLockedPagesSpecifyCache", 0), null()],
                "mdl-map-null",
            ),
            (
                vec![
                    refuses("NdisAllocateNetBufferListContext", 0xC000_009A),
                    null(),
                ],
                "nbl-context-alloc-can-fail",
            ),
            (vec![attach(), null()], "attach-null-capabilities"),
            (
                vec![
                    on(2, enter(Callback::DriverEntry, None).kind),
                    attach(),
                    null(),
                ],
                "reg-ready-before-register",
            ),
            (
                vec![parts(NblCall::SendComplete), home(), gone(Lent::Packet)],
                "nbl-no-touch-after-complete",
            ),
            (
                vec![parts(NblCall::Indicate), home(), gone(Lent::Packet)],
                "nbl-no-touch-after-indicate",
            ),
            (
                vec![parts(NblCall::Return), home(), gone(Lent::Packet)],
                "nbl-no-touch-after-return",
            ),
            (
                vec![lent_back(), home(), gone(Lent::Packet)],
                "rx-resources-not-kept",
            ),
            (
                vec![lent_back(), home(), item(), gone(Lent::Packet)],
                "rx-resources-copy-to-queue",
            ),
            (vec![gone(Lent::Configuration)], "config-memory-lifetime"),
            (vec![gone(Lent::Attach)], "attach-params-not-retained"),
            (vec![gone(Lent::Status)], "status-buffer-not-kept"),
            (vec![gone(Lent::WorkItem)], "wi-no-use-after-free"),
            (vec![past(Lent::Packet)], "nb-multiple-mdls"),
            (vec![past(Lent::SystemBuffer)], "irp-input-validated"),
            (vec![past(Lent::Attach)], "hdr-check-before-read"),
            (vec![fault(read, before)], "nb-current-offset"),
            (vec![fault(read, freed)], "mem-use-after-free"),
            (
                vec![enter(Callback::FilterDetach, Some(0)), fault(read, freed)],
                "detach-context-uaf",
            ),
        ] {
            assert_eq!(broken::<FaultMonitor>(events), [expected]);
        }
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
            (
                fault(
                    read,
                    Region::GivenAway {
                        block,
                        object: Lent::Packet,
                    },
                ),
                "nbl-no-touch-after-send",
            ),
            (
                fault(FaultKind::ForeignStack, Region::Unmapped),
                "dv-stack-switch",
            ),
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
