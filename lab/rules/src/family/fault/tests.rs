use super::FaultMonitor;
use crate::event::{
    Access, Callback, Chain, Event, Fault, FaultKind, HandedNbl, Import, Kind, Lent, NblCall,
    NblEvent, Region, UserMisuse,
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
    let away = || {
        at(Kind::Nbl(NblEvent::Away {
            nbl: 1,
            blocks: vec![1, block],
        }))
    };
    let header_gone = || at(Kind::Nbl(NblEvent::HeaderGone { nbl: 1, block }));
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
            vec![parts(NblCall::Send), away(), gone(Lent::Packet)],
            "nbl-no-touch-after-send",
        ),
        (
            vec![
                at(Kind::Nbl(NblEvent::Unused { nbl: 1, block })),
                gone(Lent::Packet),
            ],
            "nb-current-offset",
        ),
        (
            vec![header_gone(), gone(Lent::Packet)],
            "hdsplit-header-lifetime",
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
        // A request that was completed is no packet.
        (vec![gone(Lent::Request)], "mem-use-after-free"),
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
    let stopped = |kind| fault(kind, Region::Image);
    let object = Lent::Packet;
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
            fault(read, Region::GivenAway { block, object }),
            "mem-use-after-free",
        ),
        (
            fault(write, Region::ReadOnly { block, object }),
            "nbl-read-only",
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
        (stopped(FaultKind::Divide), "lab-fault"),
        (stopped(FaultKind::IllegalInstruction), "lab-fault"),
        (stopped(FaultKind::Breakpoint), "debug-break"),
        (stopped(FaultKind::FastFail(3)), "dv-list-corruption"),
        (stopped(FaultKind::FastFail(2)), "lab-fault"),
        (
            fault(FaultKind::StackOverflow, Region::Stack),
            "lab-stack-overflow",
        ),
    ] {
        assert_eq!(broken::<FaultMonitor>([event]), [expected]);
    }
}

#[test]
fn half_a_stack_is_left_to_others() {
    for (used_bytes, expected) in [
        (12 << 10, &["lab-stack-depth"][..]),
        (23 << 10, &["lab-stack-depth"]),
        ((12 << 10) - 1, &[]),
        (1 << 10, &[]),
    ] {
        let event = at(Kind::Stack { used_bytes });
        assert_eq!(broken::<FaultMonitor>([event]), expected, "{used_bytes}");
    }
}

#[test]
fn nothing_else_is_a_fault() {
    let import = Import {
        module: "ntoskrnl.exe",
        name: "memcpy",
        irql_min: 0,
        irql_max: 15,
        adapter: None,
        arguments: Default::default(),
    };
    assert!(broken::<FaultMonitor>([at(Kind::Import(import))]).is_empty());
}

#[test]
fn memory_of_user_mode_is_touched_with_care() {
    let access = Access::Read;
    let user = |misuse| FaultKind::User { access, misuse };
    let region = |is_gone| Region::User { is_gone };
    let raised = |event: Event| Event { irql: 2, ..event };
    let read = FaultKind::Memory(access);
    let block = 0x2000;
    let object = Lent::Bait;
    for (event, expected) in [
        (
            fault(user(UserMisuse::Unguarded), region(false)),
            "irp-user-try",
        ),
        (
            fault(user(UserMisuse::OtherProcess), region(false)),
            "irp-user-context",
        ),
        (
            fault(user(UserMisuse::Over), region(true)),
            "irp-user-context",
        ),
        (
            fault(FaultKind::Memory(Access::Write), Region::UserReadOnly),
            "mdl-write-access",
        ),
        // A handler was there, and would not have it.
        (fault(read, region(false)), "irp-user-try"),
        (fault(read, region(true)), "mem-use-after-free"),
        (
            raised(fault(read, region(false))),
            "mem-pageable-at-dispatch",
        ),
        (
            fault(read, Region::GivenAway { block, object }),
            "irp-user-probe",
        ),
    ] {
        assert_eq!(broken::<FaultMonitor>([event]), [expected]);
    }
}
