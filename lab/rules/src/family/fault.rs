//! Faults of the processor, told by what lies at the address.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{
    Access, Callback, DISPATCH_LEVEL, Event, Fault, FaultKind, Kind, Lent, NblCall, NblEvent,
    Region, UserMisuse,
};
use crate::family::irql::level_name;
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
    /// Blocks with headers that the miniport has taken back.
    headers: BTreeSet<u64>,
    /// Blocks of receives that hold nothing of the frame.
    unused: BTreeSet<u64>,
    /// The last call that handed a structure over.
    calls: BTreeMap<u64, &'static Rule>,
}

/// Half of a kernel stack.
const HALF_STACK_BYTES: u64 = 12 << 10;

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
            &rule::MEM_PAGEABLE_AT_DISPATCH,
            &rule::MEM_NX_POOL,
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
            &rule::NBL_READ_ONLY,
            &rule::HDSPLIT_HEADER_LIFETIME,
            &rule::RX_RESOURCES_NOT_KEPT,
            &rule::RX_RESOURCES_COPY_TO_QUEUE,
            &rule::CONFIG_MEMORY_LIFETIME,
            &rule::ATTACH_PARAMS_NOT_RETAINED,
            &rule::STATUS_BUFFER_NOT_KEPT,
            &rule::WI_NO_USE_AFTER_FREE,
            &rule::NB_MULTIPLE_MDLS,
            &rule::NB_CURRENT_OFFSET,
            &rule::IRP_INPUT_VALIDATED,
            &rule::IRP_USER_PROBE,
            &rule::IRP_USER_TRY,
            &rule::IRP_USER_CONTEXT,
            &rule::MDL_WRITE_ACCESS,
            &rule::HDR_CHECK_BEFORE_READ,
            &rule::DETACH_CONTEXT_UAF,
            &rule::DV_STACK_SWITCH,
            &rule::DV_LIST_CORRUPTION,
            &rule::OID_QUERY_BUFFER_LENGTH,
            &rule::LAB_FAULT,
            &rule::LAB_STACK_DEPTH,
            &rule::LAB_STACK_OVERFLOW,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Fault(fault) => {
                let mut finding = judge(fault, event.irql);
                // Of what concerns no memory, the address tells nothing.
                if let FaultKind::Memory(_) = fault.kind
                    && let Some(rule) = self.refine(event.thread, fault)
                {
                    finding.rule = rule;
                }
                return Some(finding);
            }
            Kind::Stack { used_bytes } if *used_bytes >= HALF_STACK_BYTES => {
                let happened = format!(
                    "{used_bytes} bytes of the 24 KiB of stack are in use at a call, {HALF_STACK_BYTES} or more"
                );
                return Some(Finding::new(&rule::LAB_STACK_DEPTH, happened));
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
        && !name.starts_with("NdisAllocateCloneOidRequest")
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
            NblEvent::Away { nbl, blocks } => {
                if let Some(rule) = self.calls.get(nbl) {
                    self.parted
                        .extend(blocks.iter().map(|block| (*block, *rule)));
                }
            }
            NblEvent::Unused { block, .. } => {
                self.unused.insert(*block);
            }
            NblEvent::HeaderGone { block, .. } => {
                self.headers.insert(*block);
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
                Lent::Packet if self.unused.contains(&block) => &rule::NB_CURRENT_OFFSET,
                Lent::Packet if self.headers.contains(&block) => &rule::HDSPLIT_HEADER_LIFETIME,
                Lent::Packet => {
                    let work_item = self.running.inside(thread, Callback::is_work_item);
                    // One of the driver's own that was freed.
                    let Some(rule) = self.parted.get(&block).copied() else {
                        return Some(&rule::MEM_USE_AFTER_FREE);
                    };
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
                Lent::Irp => &rule::MEM_USE_AFTER_FREE,
                Lent::Bait => &rule::IRP_USER_PROBE,
                Lent::Other => &rule::MEM_USE_AFTER_FREE,
                Lent::Request | Lent::SystemBuffer => return None,
            }),
            Region::PoolPast { tag, .. } => Some(match Lent::of_tag(tag)? {
                Lent::Packet => &rule::NB_MULTIPLE_MDLS,
                Lent::SystemBuffer => &rule::IRP_INPUT_VALIDATED,
                Lent::Request => &rule::OID_QUERY_BUFFER_LENGTH,
                Lent::Attach | Lent::Restart | Lent::Status => &rule::HDR_CHECK_BEFORE_READ,
                Lent::Bait => &rule::IRP_USER_PROBE,
                Lent::Configuration | Lent::WorkItem | Lent::Irp | Lent::Other => return None,
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
        FaultKind::Privileged => Finding::new(
            &rule::LAB_FAULT,
            "an instruction that only the system itself may run, and that the lab does not emulate",
        )
        .with(code(0xC000_0096)),
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
        FaultKind::User { access, misuse } => judge_user(fault, access, misuse),
        FaultKind::Unhandled(status) => Finding::new(
            &rule::LAB_FAULT,
            format!("exception {status:#x} was not handled"),
        )
        .with(code(status.into())),
    }
}

/// Memory of user mode, touched in the wrong process, too late, or where no exception is handled.
fn judge_user(fault: &Fault, access: Access, misuse: UserMisuse) -> Finding {
    let verb = match access {
        Access::Read => "read",
        Access::Write => "wrote",
        Access::Execute => "executed",
    };
    let address = fault.address;
    let (rule, why) = match misuse {
        UserMisuse::OtherProcess => (
            &rule::IRP_USER_CONTEXT,
            "in another process than the one whose memory that is",
        ),
        UserMisuse::Over => (
            &rule::IRP_USER_CONTEXT,
            "after the request that brought the address was completed",
        ),
        UserMisuse::Unguarded => (&rule::IRP_USER_TRY, "outside of any __try with an __except"),
    };
    let happened = format!("the driver {verb} or probed {address:#x}, in user memory, {why}");
    Finding::new(rule, happened).with(BugCheck::new(0x3B, &[0xC000_0005, fault.instruction]))
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
        Region::Pool { block, size, tag } => {
            let happened = format!("{who} {}", block_text(block, size, tag));
            Finding::new(&rule::MEM_NX_POOL, happened).with(BugCheck::new(0xFC, &[address]))
        }
        Region::PagedPool { block, size, tag } => {
            let offset = address.saturating_sub(block);
            let happened = format!(
                "{who} at offset {offset} in {}, which is paged, at {}",
                block_text(block, size, tag),
                level_name(irql)
            );
            Finding::new(&rule::MEM_PAGEABLE_AT_DISPATCH, happened).with(plain())
        }
        Region::PagedSection => {
            let happened = format!(
                "{who} {address:#x}, in a pageable section of the image, at {}",
                level_name(irql)
            );
            Finding::new(&rule::MEM_PAGEABLE_AT_DISPATCH, happened).with(plain())
        }
        Region::Null => Finding::new(
            &rule::NULL_CHECK,
            format!("{who} through a NULL pointer ({address:#x})"),
        )
        .with(plain()),
        Region::GivenAway {
            object: Lent::Bait, ..
        } => {
            let happened = format!(
                "{who} {address:#x}, which is the system's; a request of user mode brought the address"
            );
            Finding::new(&rule::IRP_USER_PROBE, happened).with(plain())
        }
        Region::GivenAway { .. } => {
            let happened =
                format!("{who} {address:#x}, in a structure that is no longer the driver's");
            Finding::new(&rule::MEM_USE_AFTER_FREE, happened).with(plain())
        }
        Region::ReadOnly { .. } => {
            let happened = format!("{who} {address:#x}, in a frame that is read-only");
            Finding::new(&rule::NBL_READ_ONLY, happened).with(plain())
        }
        Region::UserReadOnly => {
            let happened = format!(
                "{who} {address:#x}, in pages of user memory that are locked to be read (IoReadAccess)"
            );
            Finding::new(&rule::MDL_WRITE_ACCESS, happened)
        }
        Region::User { is_gone: true } => {
            let happened = format!("{who} {address:#x}, in user memory that is no longer mapped");
            Finding::new(&rule::MEM_USE_AFTER_FREE, happened).with(plain())
        }
        Region::User { .. } if irql >= DISPATCH_LEVEL => {
            let happened = format!(
                "{who} {address:#x}, in user memory, which is pageable, at {}",
                level_name(irql)
            );
            Finding::new(&rule::MEM_PAGEABLE_AT_DISPATCH, happened).with(plain())
        }
        Region::User { .. } => {
            let happened =
                format!("{who} {address:#x}, in user memory, and nothing handled the exception");
            let bug_check = BugCheck::new(0x3B, &[0xC000_0005, fault.instruction]);
            Finding::new(&rule::IRP_USER_TRY, happened).with(bug_check)
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
mod tests;
