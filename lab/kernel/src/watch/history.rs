//! What happened to each object that the driver has to do with, and who has it: for reports.

use std::collections::BTreeMap;

use lab_rules::event::{
    DeviceEvent, DpcEvent, IrpEvent, LockEvent, NblCall, NblEvent, NblPath, OidEvent, PoolEvent,
    Region, Returned, TimerEvent, WorkItemEvent,
};
use lab_rules::{Kind, ObjectHistory, Origin};

use super::Place;
use crate::rt::trace::StackId;

/// Steps of an object that are kept, at most: the first ones and the last ones.
const KEPT: usize = 16;
/// Objects that a report tells of, at most.
const TOLD: usize = 2;

/// A kind of object, in words.
type Noun = &'static str;

const BLOCK: Noun = "pool block";
const ITEM: Noun = "work item";
const TIMER: Noun = "timer";
const DPC: Noun = "DPC";
const THREAD: Noun = "system thread";
const BUFFER: Noun = "NET_BUFFER";
const GENERIC: Noun = "generic object";
const LIST: Noun = "lookaside list";
const LOCK: Noun = "lock";
const PACKET: Noun = "NET_BUFFER_LIST";
const PACKETS: Noun = "NET_BUFFER_LIST pool";
const OID: Noun = "OID request";
const IRP: Noun = "IRP";
const DEVICE: Noun = "device";

/// Who has an object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// The driver.
    Driver,
    /// NDIS, the I/O manager, or another driver.
    Others,
    /// Nobody: it is gone.
    Nobody,
}

impl Holder {
    /// The holder, for a person.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Driver => "held by the driver",
            Self::Others => "held by the system or another driver",
            Self::Nobody => "gone",
        }
    }
}

/// Something that happened to an object.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) place: Place,
    pub(super) what: &'static str,
    pub(super) stack: StackId,
}

/// An object that something happened to.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) noun: Noun,
    pub(super) holder: Holder,
    /// Whether the last step was one that only whoever has the object may do, and the driver had it not.
    is_odd: bool,
    pub(super) steps: Vec<Step>,
    /// Steps between the first ones and the last ones that are not kept.
    pub(super) left_out: u64,
}

/// All objects of a run, by address.
#[derive(Default)]
pub(super) struct Histories {
    objects: BTreeMap<u64, Object>,
    /// The structure that a block was a part of, of those that are gone.
    parts: BTreeMap<u64, u64>,
    /// The handler that is about to get a structure.
    handlers: BTreeMap<u64, StackId>,
}

impl Histories {
    /// Takes an event; `stack` is asked for if it is about an object.
    pub(super) fn note(&mut self, place: Place, kind: &Kind, stack: impl Fn() -> StackId) {
        if let Kind::Nbl(NblEvent::Home { nbl, blocks } | NblEvent::Away { nbl, blocks }) = kind {
            self.parts.extend(blocks.iter().map(|block| (*block, *nbl)));
        }
        let mut known = None;
        each_step(kind, |noun, address, what, holder| {
            let handler = self.handlers.remove(&address);
            let stack = handler.unwrap_or_else(|| *known.get_or_insert_with(&stack));
            let object = self.objects.entry(address).or_insert_with(|| Object {
                noun,
                holder,
                is_odd: false,
                steps: Vec::new(),
                left_out: 0,
            });
            object.is_odd = object.holder != Holder::Driver && holder != Holder::Driver;
            (object.noun, object.holder) = (noun, holder);
            if object.steps.len() == KEPT {
                object.steps.remove(ObjectHistory::FIRST);
                object.left_out += 1;
            }
            object.steps.push(Step { place, what, stack });
        });
    }

    /// The handler that structures are given to next.
    pub(super) fn note_handler(&mut self, nbls: &[u64], handler: StackId) {
        self.handlers.extend(nbls.iter().map(|nbl| (*nbl, handler)));
    }

    /// Where what a finding blames began.
    pub(super) fn stack_of(&self, origin: Origin) -> Option<StackId> {
        let steps = |address| self.objects.get(address).map(|object| object.steps.iter());
        let step = match &origin {
            Origin::Allocated(address) => {
                steps(address)?.find(|step| [ALLOCATED, CLONED].contains(&step.what))
            }
            Origin::Queued(address) => steps(address)?.rfind(|step| step.what == QUEUED),
            Origin::Set(address) => steps(address)?.rfind(|step| step.what == SET),
            Origin::Started(address) => steps(address)?.rfind(|step| step.what == STARTED),
            Origin::Given(address) => steps(address)?.rfind(|step| {
                [ASKED, DISPATCHED].contains(&step.what) || GIVEN.contains(&step.what)
            }),
            Origin::Sent(address) => steps(address)?.rfind(|step| step.what == SENT),
            Origin::Handed(address) => steps(address)?.rfind(|step| HANDED.contains(&step.what)),
        };
        step.map(|step| step.stack)
    }

    /// The objects that a finding about an event is about: what it blames or names, else what was touched, else those of
    /// the event that the driver should have had.
    pub(super) fn of(
        &self,
        origin: Option<Origin>,
        happened: &str,
        kind: &Kind,
    ) -> Vec<(u64, Object)> {
        let mut addresses: Vec<u64> = Vec::new();
        addresses.extend(origin.map(Origin::address));
        addresses.extend(named(happened).filter(|address| self.objects.contains_key(address)));
        if let Kind::Fault(fault) = kind {
            addresses.extend(self.touched(fault.region));
        }
        if addresses.is_empty() {
            each_step(kind, |_, address, _, _| addresses.push(address));
            let is_odd = |address: &u64| self.objects.get(address).is_some_and(|it| it.is_odd);
            if addresses.iter().any(is_odd) {
                addresses.retain(is_odd);
            }
        }
        let mut told = Vec::new();
        for address in addresses {
            if let Some(object) = self.objects.get(&address)
                && told.len() < TOLD
                && !told.iter().any(|(known, _)| *known == address)
            {
                told.push((address, object.clone()));
            }
        }
        told
    }

    /// The object that the memory of a region belongs to, or did.
    fn touched(&self, region: Region) -> Option<u64> {
        match region {
            Region::PoolPast { block, .. }
            | Region::PoolBefore { block, .. }
            | Region::PoolFreed { block, .. } => Some(block),
            Region::GivenAway { block, .. } | Region::ReadOnly { block, .. } => {
                Some(self.parts.get(&block).copied().unwrap_or(block))
            }
            _ => None,
        }
    }
}

/// The addresses that a sentence names.
fn named(sentence: &str) -> impl Iterator<Item = u64> {
    sentence.split("0x").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_hexdigit());
        u64::from_str_radix(&rest[..end.unwrap_or(rest.len())], 16).ok()
    })
}

/// `STATUS_PENDING` and `NDIS_STATUS_PENDING`.
const PENDING: u32 = 0x103;
const ALLOCATED: &str = "allocated";
const QUEUED: &str = "queued";
const SET: &str = "set";
const STARTED: &str = "started";
const FREED: &str = "freed";
const CLONED: &str = "made as a clone";
const SENT: &str = "sent below";
/// A request that was given to one of the driver's handlers.
const ASKED: &str = "given to the filter";
/// A request to one of the driver's devices.
const DISPATCHED: &str = "given to a dispatch routine";
/// Given to one of the driver's handlers.
const GIVEN: [&str; 3] = [
    "given to the filter to send",
    "given to the filter as received",
    "lent to the filter (low resources)",
];

/// Sent or indicated by the driver.
const HANDED: [&str; 2] = [
    "sent on with NdisFSendNetBufferLists",
    "indicated with NdisFIndicateReceiveNetBufferLists",
];

/// Tells what an event means for each object that it is about: kind, address, what happened, who has it then.
fn each_step(kind: &Kind, mut each: impl FnMut(Noun, u64, &'static str, Holder)) {
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
            IrpEvent::Overdue { irp, .. } => each(IRP, irp, "waited for in vain", Driver),
        },
        Kind::Device(event) => match *event {
            DeviceEvent::Created { device, .. } => each(DEVICE, device, ALLOCATED, Driver),
            DeviceEvent::Deleted { device, .. } => each(DEVICE, device, "deleted", Nobody),
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
        OidEvent::CloneRefused { .. } => {}
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

#[cfg(test)]
mod tests {
    use lab_rules::Kind;
    use lab_rules::event::{PoolEvent, WorkItemEvent};

    use super::{Histories, Holder, KEPT, named};
    use crate::rt::trace;
    use crate::watch::Place;

    const PLACE: Place = Place {
        time_ns: 7,
        processor: 0,
        thread: 1,
        irql: 0,
    };

    #[test]
    fn an_object_has_its_first_and_its_last_steps() {
        let mut histories = Histories::default();
        let mut note = |kind| histories.note(PLACE, &kind, || trace::of_code(0));
        let routine_is_code = true;
        note(Kind::WorkItem(WorkItemEvent::Allocated {
            item: 16,
            owner: lab_rules::event::WorkItemOwner::Driver,
        }));
        for _ in 0..KEPT {
            note(Kind::WorkItem(WorkItemEvent::Queued {
                item: 16,
                routine: 1,
                routine_is_code,
                context: 0,
            }));
        }
        let freed = Kind::WorkItem(WorkItemEvent::Freed { item: 16 });
        note(freed.clone());
        let told = histories.of(None, "nothing is named", &freed);
        let (address, object) = &told[0];
        let steps: Vec<&str> = object.steps.iter().map(|step| step.what).collect();
        assert_eq!((*address, steps.len(), object.left_out), (16, KEPT, 2));
        assert_eq!(
            (steps[0], steps[1], steps[KEPT - 1]),
            ("allocated", "queued", "freed")
        );
        assert!(object.holder == Holder::Nobody);
    }

    #[test]
    fn what_a_sentence_names_comes_first() {
        let mut histories = Histories::default();
        for block in [16, 32] {
            let allocated = PoolEvent::Allocated {
                block,
                size: 8,
                tag: 1,
                paged: false,
            };
            histories.note(PLACE, &Kind::Pool(allocated), || trace::of_code(0));
        }
        let event = Kind::Pool(PoolEvent::BadFree {
            address: 16,
            error: lab_rules::event::PoolFreeError::Unknown,
        });
        let told = histories.of(None, "block 0x20 (status 0x5), and 0x999", &event);
        assert_eq!(
            told.iter().map(|(address, _)| *address).collect::<Vec<_>>(),
            [32]
        );
        assert_eq!(named("0x1f,0xg 0x").collect::<Vec<_>>(), [0x1f]);
    }
}
