//! What an event means for each object that it is about.

use lab_rules::Kind;
use lab_rules::event::{
    Callback, DeviceEvent, DpcEvent, HandleEvent, IrpEvent, LockEvent, ModuleEvent, NblCall,
    NblEvent, NblPath, OidEvent, Overdue, PoolEvent, Returned, TimerEvent, WorkItemEvent,
};

use super::Holder;
use crate::watch::tally::PENDING;

/// A kind of object, in words.
pub(in crate::watch) type Noun = &'static str;

const BLOCK: Noun = "pool block";
const ITEM: Noun = "work item";
const TIMER: Noun = "timer";
const DPC: Noun = "DPC";
pub(super) const THREAD: Noun = "thread";
pub(super) const MODULE: Noun = "filter module";
pub(super) const DRIVER: Noun = "filter driver";
const BUFFER: Noun = "NET_BUFFER";
const GENERIC: Noun = "generic object";
const LIST: Noun = "lookaside list";
const LOCK: Noun = "lock";
const PACKET: Noun = "NET_BUFFER_LIST";
const PACKETS: Noun = "NET_BUFFER_LIST pool";
const OID: Noun = "OID request";
const IRP: Noun = "IRP";
const DEVICE: Noun = "device";
const OBJECT: Noun = "object";
const REMOVE: Noun = "remove lock";

pub(super) const ALLOCATED: &str = "allocated";
pub(super) const OPENED: &str = "opened";
pub(super) const QUEUED: &str = "queued";
pub(super) const SET: &str = "set";
pub(super) const STARTED: &str = "started";
const FREED: &str = "freed";
pub(super) const CLONED: &str = "made as a clone";
pub(super) const SENT: &str = "sent below";
/// A request that was given to one of the driver's handlers.
pub(super) const ASKED: &str = "given to the filter";
/// A request to one of the driver's devices.
pub(super) const DISPATCHED: &str = "given to a dispatch routine";
/// Given to one of the driver's handlers.
pub(super) const GIVEN: [&str; 3] = [
    "given to the filter to send",
    "given to the filter as received",
    "lent to the filter (low resources)",
];

/// Sent or indicated by the driver.
pub(super) const HANDED: [&str; 2] = [
    "sent on with NdisFSendNetBufferLists",
    "indicated with NdisFIndicateReceiveNetBufferLists",
];

/// What an event does to the level of its thread, if it is the driver that does it.
pub(super) fn of_level(kind: &Kind, irql: u8) -> Option<&'static str> {
    match kind {
        Kind::Import(import) => match import.name {
            "KfRaiseIrql" | "KeRaiseIrqlToDpcLevel" => Some("raises its level"),
            "KeLowerIrql" => Some("lowers its level"),
            _ => None,
        },
        Kind::Lock(LockEvent::Acquired { old_irql, .. }) if *old_irql < irql => {
            Some("raises its level with a lock")
        }
        Kind::Lock(LockEvent::Released { restored_irql, .. }) if *restored_irql < irql => {
            Some("lowers its level with a lock")
        }
        _ => None,
    }
}

/// What an event means for the driver, or for the module on an adapter.
pub(super) fn of_life(kind: &Kind) -> Option<(Option<u32>, &'static str, Holder)> {
    use Holder::{Driver, Nobody, Others};
    Some(match kind {
        Kind::Enter(call) => match call.callback {
            Callback::DriverEntry => (None, "DriverEntry is called", Driver),
            Callback::DriverUnload => (None, "its unload routine is called", Driver),
            Callback::FilterAttach => (call.adapter, "FilterAttach is called", Driver),
            Callback::FilterRestart => (call.adapter, "FilterRestart is called", Driver),
            Callback::FilterPause => (call.adapter, "FilterPause is called", Driver),
            Callback::FilterDetach => (call.adapter, "FilterDetach is called", Driver),
            _ => return None,
        },
        Kind::Leave { call, .. } => match call.callback {
            Callback::DriverEntry => (None, "DriverEntry has returned", Others),
            Callback::DriverUnload => (None, "its unload routine has returned", Nobody),
            Callback::FilterAttach => (call.adapter, "FilterAttach has returned", Others),
            Callback::FilterRestart => (call.adapter, "FilterRestart has returned", Others),
            Callback::FilterPause => (call.adapter, "FilterPause has returned", Others),
            Callback::FilterDetach => (call.adapter, "FilterDetach has returned", Nobody),
            _ => return None,
        },
        Kind::Registration(_) => (None, "registered with NDIS", Driver),
        Kind::Module(ModuleEvent::Deregistered { .. }) => (None, "deregistered", Driver),
        Kind::Module(ModuleEvent::AttributesSet { adapter, .. }) => {
            (Some(*adapter), "given its context", Driver)
        }
        Kind::Module(ModuleEvent::HandlersChanged { adapter, .. }) => {
            (Some(*adapter), "given other handlers", Others)
        }
        Kind::Module(ModuleEvent::PauseCompleted { adapter }) => {
            (Some(*adapter), "its pause is completed", Others)
        }
        Kind::Module(ModuleEvent::RestartCompleted { adapter, .. }) => {
            (Some(*adapter), "its restart is completed", Others)
        }
        _ => return None,
    })
}

/// The adapter that an event is about.
pub(super) fn adapter_of(kind: &Kind) -> Option<u32> {
    match kind {
        Kind::Enter(call) | Kind::Leave { call, .. } => call.adapter,
        Kind::Module(
            ModuleEvent::AttributesSet { adapter, .. }
            | ModuleEvent::HandlersChanged { adapter, .. }
            | ModuleEvent::PauseCompleted { adapter }
            | ModuleEvent::RestartCompleted { adapter, .. }
            | ModuleEvent::RestartReturned { adapter, .. }
            | ModuleEvent::StatusIndicated { adapter, .. },
        ) => Some(*adapter),
        Kind::Overdue(
            Overdue::Callback {
                adapter: Some(adapter),
                ..
            }
            | Overdue::Pause { adapter, .. }
            | Overdue::Restart { adapter, .. }
            | Overdue::Sends { adapter, .. }
            | Overdue::Receives { adapter, .. },
        )
        | Kind::Nbl(
            NblEvent::Given { adapter, .. }
            | NblEvent::Back { adapter, .. }
            | NblEvent::Handed { adapter, .. }
            | NblEvent::LentBack { adapter, .. }
            | NblEvent::HandlerReturned { adapter, .. }
            | NblEvent::CancelAsked { adapter, .. },
        ) => Some(*adapter),
        _ => None,
    }
}

/// Tells what an event means for each object that it is about: kind, address, what happened, who has it then.
pub(super) fn each_step(kind: &Kind, mut each: impl FnMut(Noun, u64, &'static str, Holder)) {
    use Holder::{Driver, Nobody, Others};
    match kind {
        Kind::Pool(event) => match *event {
            PoolEvent::Allocated { block, .. } => each(BLOCK, block, ALLOCATED, Driver),
            PoolEvent::Freed { block, .. } => each(BLOCK, block, FREED, Nobody),
            PoolEvent::Damaged { block, .. } => each(BLOCK, block, "found damaged", Nobody),
            PoolEvent::BadFree { address, .. } => {
                each(BLOCK, address, "given to a free that does not fit", Nobody);
            }
            PoolEvent::Exposed { .. } | PoolEvent::BadRequest { .. } => {}
        },
        Kind::WorkItem(event) => match *event {
            WorkItemEvent::Allocated { item, .. } => each(ITEM, item, ALLOCATED, Driver),
            WorkItemEvent::Queued { item, .. } => each(ITEM, item, QUEUED, Others),
            WorkItemEvent::Started { item } => {
                each(ITEM, item, "taken off the queue to run", Driver);
            }
            WorkItemEvent::Finished { item, .. } => {
                each(ITEM, item, "its routine has returned", Driver);
            }
            WorkItemEvent::Freed { item } => each(ITEM, item, FREED, Nobody),
        },
        Kind::Timer(event) => match *event {
            TimerEvent::Allocated { timer, .. } => each(TIMER, timer, ALLOCATED, Driver),
            TimerEvent::Set { timer, .. } => each(TIMER, timer, SET, Driver),
            TimerEvent::Expired { timer } => each(TIMER, timer, "due", Driver),
            TimerEvent::Cancelled { timer } => each(TIMER, timer, "cancelled", Driver),
            TimerEvent::Fired { timer, .. } => each(TIMER, timer, "its function runs", Driver),
            TimerEvent::Finished { timer } => {
                each(TIMER, timer, "its function has returned", Driver);
            }
            TimerEvent::Freed { timer, .. } => each(TIMER, timer, FREED, Nobody),
        },
        Kind::Dpc(event) => match *event {
            DpcEvent::Initialized { dpc } => each(DPC, dpc, "initialized", Driver),
            DpcEvent::Queued { dpc, .. } => each(DPC, dpc, QUEUED, Others),
            DpcEvent::Removed { dpc } => each(DPC, dpc, "taken off the queue", Driver),
            DpcEvent::Started { dpc, .. } => each(DPC, dpc, "taken off the queue to run", Driver),
            DpcEvent::Finished { dpc } => each(DPC, dpc, "its routine has returned", Driver),
        },
        Kind::ThreadStarted { thread, .. } => each(THREAD, *thread, STARTED, Driver),
        Kind::ThreadEnded { thread } => each(THREAD, *thread, "ended", Nobody),
        Kind::Returned(Returned {
            name: "NdisAllocateNetBuffer" | "NdisAllocateNetBufferMdlAndData",
            result,
            ..
        }) => each(BUFFER, *result, ALLOCATED, Driver),
        Kind::Returned(Returned {
            name: "NdisAllocateGenericObject",
            result,
            ..
        }) => each(GENERIC, *result, ALLOCATED, Driver),
        Kind::Import(import)
            if import.name.starts_with("ExInitialize") && import.name.contains("Lookaside") =>
        {
            each(LIST, import.arguments.word(0), ALLOCATED, Driver);
        }
        Kind::Lock(event) => match *event {
            LockEvent::Acquired { lock, shared, .. } => {
                let what = if shared {
                    "acquired, shared"
                } else {
                    "acquired"
                };
                each(LOCK, lock, what, Driver);
            }
            LockEvent::Recursive { lock, .. } => each(LOCK, lock, "asked for again", Driver),
            LockEvent::Uninitialized { lock } => {
                each(LOCK, lock, "asked for, never initialized", Others);
            }
            LockEvent::Released { lock, .. } => each(LOCK, lock, "released", Others),
        },
        Kind::Nbl(event) => each_packet_step(event, each),
        Kind::Oid(event) => each_oid_step(event, each),
        Kind::Irp(event) => match *event {
            IrpEvent::Sent { irp, .. } => each(IRP, irp, DISPATCHED, Driver),
            IrpEvent::Completed { irp, .. } => each(IRP, irp, "completed", Others),
            IrpEvent::Returned { irp, status, .. } => {
                let (what, holder) = match status {
                    PENDING => ("left pending by its dispatch routine", Driver),
                    _ => ("its dispatch routine has returned", Others),
                };
                each(IRP, irp, what, holder);
            }
            IrpEvent::Allocated { irp } => each(IRP, irp, ALLOCATED, Driver),
            IrpEvent::Freed { irp } => each(IRP, irp, FREED, Nobody),
            IrpEvent::Called { irp } => each(IRP, irp, "given to a device", Others),
            IrpEvent::CameBack { irp } => each(IRP, irp, "came back", Driver),
            IrpEvent::Passed { irp, .. } => each(IRP, irp, "completed further up", Others),
            IrpEvent::Misused { .. } | IrpEvent::PagesLocked { .. } => {}
            IrpEvent::Overdue { irp, .. } => each(IRP, irp, "waited for in vain", Driver),
        },
        Kind::Handle(event) => match *event {
            HandleEvent::Referenced { object } => each(OBJECT, object, ALLOCATED, Driver),
            HandleEvent::Dereferenced { object } => each(OBJECT, object, "given up", Others),
            _ => {}
        },
        Kind::Device(event) => match *event {
            DeviceEvent::Created { device, .. } => each(DEVICE, device, ALLOCATED, Driver),
            DeviceEvent::Deleted { device, .. } => each(DEVICE, device, "deleted", Nobody),
            DeviceEvent::TimerAgain { device } => each(DEVICE, device, "given a timer", Driver),
            DeviceEvent::LockNotHeld { lock, .. } => each(REMOVE, lock, "released", Driver),
            DeviceEvent::NotAttached { device } => each(DEVICE, device, "detached", Driver),
            DeviceEvent::WmiLeft { .. } => {}
        },
        _ => {}
    }
}

fn each_packet_step(event: &NblEvent, mut each: impl FnMut(Noun, u64, &'static str, Holder)) {
    use Holder::{Driver, Nobody, Others};
    let mut all = |nbls: &[u64], what, holder| {
        for nbl in nbls {
            each(PACKET, *nbl, what, holder);
        }
    };
    match event {
        NblEvent::Given {
            path,
            nbls,
            low_resources,
            ..
        } => {
            let [send, receive, lent] = GIVEN;
            let what = match path {
                NblPath::Send => send,
                NblPath::Receive if *low_resources => lent,
                NblPath::Receive => receive,
            };
            all(nbls, what, Driver);
        }
        NblEvent::Back { nbls, path, .. } => {
            let what = match path {
                NblPath::Send => "completed by the adapter below",
                NblPath::Receive => "returned by the protocol above",
            };
            all(nbls, what, Driver);
        }
        NblEvent::Handed { nbls, call, .. } => {
            let what = match call {
                NblCall::Send => HANDED[0],
                NblCall::SendComplete => "completed with NdisFSendNetBufferListsComplete",
                NblCall::Indicate => HANDED[1],
                NblCall::Return => "returned with NdisFReturnNetBufferLists",
            };
            for handed in nbls {
                each(PACKET, handed.nbl, what, Others);
            }
        }
        NblEvent::LentBack { given, .. } => all(given, "taken back by who lent it", Others),
        NblEvent::CancelAsked { nbls, .. } => all(nbls, "its sender cancels it", Driver),
        NblEvent::Home { nbl, .. } => all(&[*nbl], "its owner has it for good", Nobody),
        NblEvent::Allocated { nbl, .. } => all(&[*nbl], ALLOCATED, Driver),
        NblEvent::Freed { nbl, .. } => all(&[*nbl], FREED, Nobody),
        NblEvent::Altered { nbl, .. } => all(&[*nbl], "found changed", Others),
        NblEvent::PoolAllocated { pool, .. } => each(PACKETS, *pool, ALLOCATED, Driver),
        NblEvent::PoolFreed { pool } => each(PACKETS, *pool, FREED, Nobody),
        _ => {}
    }
}

fn each_oid_step(event: &OidEvent, mut each: impl FnMut(Noun, u64, &'static str, Holder)) {
    use Holder::{Driver, Nobody, Others};
    match event {
        OidEvent::Given { request, .. } => {
            each(OID, request.request, ASKED, Driver);
        }
        OidEvent::Answered {
            request, status, ..
        } => {
            let (what, holder) = match *status {
                PENDING => ("left pending by its handler", Driver),
                _ => ("answered by its handler", Others),
            };
            each(OID, request.request, what, holder);
        }
        OidEvent::Completed { request, .. } => each(OID, request.request, "completed", Others),
        OidEvent::Cloned { source, clone, .. } => {
            each(OID, *source, "cloned", Driver);
            each(OID, *clone, CLONED, Driver);
        }
        OidEvent::CloneFreed { clone, .. } => each(OID, *clone, FREED, Nobody),
        OidEvent::Sent { request, .. } => each(OID, request.request, SENT, Others),
        OidEvent::Back {
            request, status, ..
        } if *status != PENDING => {
            each(OID, request.request, "came back from below", Driver);
        }
        OidEvent::Overdue { request, .. } => each(OID, *request, "waited for in vain", Driver),
        OidEvent::Altered { request, .. } => each(OID, *request, "found changed", Others),
        _ => {}
    }
}
