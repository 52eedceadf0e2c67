//! What a run met of what drivers get wrong, and what became of it: so that a test can tell that the occasion was there.
//!
//! A count has the name that [`NAMES`] has it under. Most are counted from the event stream; what no event tells, such as
//! the shape of a packet, is counted where it is known, by [`met`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lab_rules::Event;
use lab_rules::event::{
    Callback, HandedNbl, IrpEvent, Kind, LockEvent, ModuleEvent, NblCall, NblEvent, NblPath,
    PoolEvent, WorkItemEvent,
};

use super::tally::PENDING;
use crate::abi::constant::NDIS_STATUS_PAUSED;

const SECOND_NS: u64 = 1_000_000_000;

/// Every count, with what it counts. A list is a NET_BUFFER_LIST.
pub const NAMES: &[(&str, &str)] = &[
    ("sends", "lists of protocols, given to the filter"),
    ("sends-completed", "of these, completed by the filter"),
    ("receives", "lists of miniports, given and not only lent"),
    ("receives-returned", "of these, returned by the filter"),
    ("lent", "lists given with low resources"),
    ("lent-returned", "of these, returned by a call"),
    ("paused-sends", "sends given to a paused module"),
    (
        "paused-sends-completed",
        "of these, completed with NDIS_STATUS_PAUSED",
    ),
    ("paused-receives", "receives given to a paused module"),
    ("paused-receives-returned", "of these, returned"),
    ("batches", "calls that gave several lists, not lent"),
    (
        "in-order",
        "lists of these passed on behind those before them",
    ),
    (
        "out-of-order",
        "lists of these passed on before those before them",
    ),
    (
        "completions-of-several",
        "calls by which the filter completed or returned several lists",
    ),
    ("several-packets", "lists of several NET_BUFFERs"),
    (
        "empty-mdls",
        "lists with an MDL of length zero between used bytes",
    ),
    ("split-headers", "lists with the headers apart"),
    (
        "coalesced",
        "lists that stand for several frames on the wire",
    ),
    ("looped-back", "lists that NDIS looped back"),
    (
        "mixed-loopback",
        "calls that gave lists looped back and others",
    ),
    ("own-looped-back", "own sends of the filter, looped back"),
    ("own", "own lists of the filter, sent or indicated"),
    ("own-back", "of these, come back"),
    ("mixed-returns", "calls that gave back own lists and others"),
    ("pauses", "times that FilterPause was called"),
    ("pauses-completed", "times that a pause was completed"),
    (
        "pauses-with-packets",
        "pauses that began with packets held, not own ones",
    ),
    (
        "packets-after-pause",
        "packets held when a pause was complete",
    ),
    ("pauses-over-1s", "pauses that took longer than a second"),
    ("pauses-with-own", "pauses that began with own lists out"),
    ("own-after-pause", "own lists out when a pause was complete"),
    (
        "pools-freed",
        "NET_BUFFER_LIST pools freed that lists came from",
    ),
    ("pools-freed-early", "of these, with lists out"),
    (
        "detaches-with-items",
        "detaches that began with work items queued or running",
    ),
    ("unloads", "times that the unload routine was called"),
    ("unloads-completed", "times that it has returned"),
    (
        "items-after-unload",
        "work items queued or running when the unload routine had returned",
    ),
    (
        "detaches-in-unload",
        "detaches within the unload routine, by NDIS",
    ),
    (
        "unloads-during-detach",
        "unloads that began while a module was detached",
    ),
    (
        "modules-after-unload",
        "modules attached when the unload routine had returned",
    ),
    ("requests", "IRPs sent to the driver's devices"),
    ("requests-completed", "times that one was completed"),
    ("requests-pended", "of these, left pending"),
    ("locks-taken", "spin locks acquired"),
    ("locks-not-initialised", "of these, never initialised"),
    ("blocks-freed", "pool blocks freed"),
];

thread_local! {
    static MET: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all counts: a run begins.
pub(super) fn reset() {
    MET.take();
}

/// All counts of the run, also those that are 0.
pub(crate) fn take() -> BTreeMap<&'static str, u64> {
    let met = MET.take();
    NAMES
        .iter()
        .map(|(name, _)| (*name, met.get(name).copied().unwrap_or(0)))
        .collect()
}

/// Counts so many of one thing.
pub(crate) fn met(name: &'static str, count: usize) {
    debug_assert!(NAMES.iter().any(|(known, _)| *known == name), "{name}");
    if count > 0 {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        MET.with_borrow_mut(|met| *met.entry(name).or_default() += count);
    }
}

/// A list of protocol or miniport that the filter has.
struct Given {
    adapter: u32,
    path: NblPath,
    is_lent: bool,
    was_paused: bool,
    /// The handler that it was given to has returned.
    has_returned: bool,
    is_passed: bool,
    /// The call that gave it, if that gave several, and its place in that.
    batch: Option<(u64, usize)>,
}

/// A list of the filter's own.
struct Own {
    pool: u64,
    /// The adapter it was sent or indicated on, while it is out.
    out: Option<u32>,
}

/// What is followed.
#[derive(Default)]
pub(super) struct Situations {
    given: BTreeMap<u64, Given>,
    /// Of calls that gave several lists: the last place that was passed on.
    batches: BTreeMap<u64, usize>,
    next_batch: u64,
    own: BTreeMap<u64, Own>,
    /// Pools that lists came from.
    pools: BTreeSet<u64>,
    /// Work items that are queued or run.
    items: BTreeSet<u64>,
    attached: BTreeSet<u32>,
    /// When the pauses began that are not complete.
    pausing: BTreeMap<u32, u64>,
    detaching: BTreeSet<u32>,
    is_unloading: bool,
}

impl Situations {
    /// Takes one event; `state` gives the state of an adapter's module.
    pub(super) fn observe(
        &mut self,
        event: &Event,
        state: impl FnOnce(u32) -> Option<&'static str>,
    ) {
        match &event.kind {
            Kind::Nbl(NblEvent::Given {
                adapter,
                path,
                nbls,
                low_resources,
                ..
            }) => {
                let was_paused = state(*adapter) == Some("Paused");
                self.give(*adapter, *path, nbls, *low_resources, was_paused);
            }
            Kind::Nbl(NblEvent::Handed {
                adapter,
                call,
                nbls,
                ..
            }) => self.hand(*adapter, *call, nbls),
            Kind::Nbl(NblEvent::LentBack { given, .. }) => {
                for nbl in given {
                    self.given.remove(nbl);
                }
            }
            Kind::Nbl(NblEvent::HandlerReturned { nbls, .. }) => {
                for nbl in nbls {
                    if let Some(given) = self.given.get_mut(nbl) {
                        given.has_returned = true;
                    }
                }
            }
            Kind::Nbl(NblEvent::Home { nbl, .. }) => {
                self.given.remove(nbl);
            }
            Kind::Nbl(NblEvent::Back { nbls, .. }) => self.take_back(nbls),
            Kind::Nbl(NblEvent::Allocated { nbl, pool }) => {
                self.pools.insert(*pool);
                let own = Own {
                    pool: *pool,
                    out: None,
                };
                self.own.insert(*nbl, own);
            }
            Kind::Nbl(NblEvent::Freed { nbl, .. }) => {
                self.own.remove(nbl);
            }
            Kind::Nbl(NblEvent::PoolFreed { pool }) if self.pools.remove(pool) => {
                met("pools-freed", 1);
                let out = self.own.values().any(|own| own.pool == *pool);
                met("pools-freed-early", out.into());
            }
            Kind::Enter(call) => self.enter(call.callback, call.adapter, event.time_ns),
            Kind::Leave { call, status } => match (call.callback, call.adapter, status) {
                (Callback::FilterPause, Some(adapter), Some(0)) => {
                    self.pause_completed(adapter, event.time_ns);
                }
                (callback, adapter, status) => self.leave(callback, adapter, *status),
            },
            Kind::Module(ModuleEvent::PauseCompleted { adapter }) => {
                self.pause_completed(*adapter, event.time_ns);
            }
            Kind::WorkItem(WorkItemEvent::Queued { item, .. }) => {
                self.items.insert(*item);
            }
            Kind::WorkItem(
                WorkItemEvent::Finished { item, .. } | WorkItemEvent::Freed { item },
            ) => {
                self.items.remove(item);
            }
            Kind::Irp(IrpEvent::Sent { .. }) => met("requests", 1),
            Kind::Irp(IrpEvent::Completed { .. }) => met("requests-completed", 1),
            Kind::Irp(IrpEvent::Returned { status, .. }) if *status == PENDING => {
                met("requests-pended", 1);
            }
            Kind::Lock(LockEvent::Acquired { .. }) => met("locks-taken", 1),
            Kind::Lock(LockEvent::Uninitialized { .. }) => met("locks-not-initialised", 1),
            Kind::Pool(PoolEvent::Freed { .. }) => met("blocks-freed", 1),
            _ => {}
        }
    }

    fn give(&mut self, adapter: u32, path: NblPath, nbls: &[u64], is_lent: bool, was_paused: bool) {
        let name = match (path, is_lent) {
            (NblPath::Send, _) => "sends",
            (NblPath::Receive, false) => "receives",
            (NblPath::Receive, true) => "lent",
        };
        met(name, nbls.len());
        if was_paused && !is_lent {
            let name = match path {
                NblPath::Send => "paused-sends",
                NblPath::Receive => "paused-receives",
            };
            met(name, nbls.len());
        }
        let batch = (nbls.len() > 1 && !is_lent).then(|| {
            met("batches", 1);
            self.next_batch += 1;
            self.next_batch
        });
        for (place, nbl) in nbls.iter().enumerate() {
            let given = Given {
                adapter,
                path,
                is_lent,
                was_paused,
                has_returned: false,
                is_passed: false,
                batch: batch.map(|batch| (batch, place)),
            };
            self.given.insert(*nbl, given);
        }
    }

    fn hand(&mut self, adapter: u32, call: NblCall, nbls: &[HandedNbl]) {
        if matches!(call, NblCall::SendComplete | NblCall::Return) && nbls.len() > 1 {
            met("completions-of-several", 1);
        }
        for handed in nbls {
            if let Some(own) = self.own.get_mut(&handed.nbl) {
                own.out = Some(adapter);
                met("own", 1);
            } else {
                self.hand_given(call, handed);
            }
        }
    }

    fn hand_given(&mut self, call: NblCall, handed: &HandedNbl) {
        if matches!(call, NblCall::Send | NblCall::Indicate) {
            let Some(given) = self.given.get_mut(&handed.nbl) else {
                return;
            };
            given.is_passed = true;
            let Some((batch, place)) = given.batch else {
                return;
            };
            let last = self.batches.entry(batch).or_default();
            let name = if place < *last {
                "out-of-order"
            } else {
                "in-order"
            };
            *last = place.max(*last);
            return met(name, 1);
        }
        let Some(given) = self.given.remove(&handed.nbl) else {
            return;
        };
        match (given.path, given.is_lent) {
            (NblPath::Send, _) => {
                met("sends-completed", 1);
                let is_refused = handed.status == NDIS_STATUS_PAUSED.cast_unsigned();
                met(
                    "paused-sends-completed",
                    (given.was_paused && is_refused).into(),
                );
            }
            (NblPath::Receive, false) => {
                met("receives-returned", 1);
                met("paused-receives-returned", given.was_paused.into());
            }
            (NblPath::Receive, true) => met("lent-returned", 1),
        }
    }

    fn take_back(&mut self, nbls: &[u64]) {
        let mut own_back = 0;
        for nbl in nbls {
            if let Some(own) = self.own.get_mut(nbl) {
                own.out = None;
                own_back += 1;
            }
        }
        met("own-back", own_back);
        met(
            "mixed-returns",
            (own_back > 0 && own_back < nbls.len()).into(),
        );
    }

    /// Lists of an adapter that the filter holds; and its own ones that are out.
    fn out(&self, adapter: u32) -> (usize, usize) {
        let is_held = |given: &&Given| {
            given.adapter == adapter && given.has_returned && !given.is_passed && !given.is_lent
        };
        let is_out = |own: &&Own| own.out == Some(adapter);
        (
            self.given.values().filter(is_held).count(),
            self.own.values().filter(is_out).count(),
        )
    }

    fn enter(&mut self, callback: Callback, adapter: Option<u32>, now_ns: u64) {
        match (callback, adapter) {
            (Callback::FilterPause, Some(adapter)) => {
                met("pauses", 1);
                self.pausing.insert(adapter, now_ns);
                let (packets, own) = self.out(adapter);
                met("pauses-with-packets", (packets > 0).into());
                met("pauses-with-own", (own > 0).into());
            }
            (Callback::FilterDetach, Some(adapter)) => {
                self.detaching.insert(adapter);
                met("detaches-with-items", (!self.items.is_empty()).into());
                met("detaches-in-unload", self.is_unloading.into());
            }
            (Callback::DriverUnload, _) => {
                self.is_unloading = true;
                met("unloads", 1);
                met("unloads-during-detach", (!self.detaching.is_empty()).into());
            }
            _ => {}
        }
    }

    fn leave(&mut self, callback: Callback, adapter: Option<u32>, status: Option<u32>) {
        match (callback, adapter, status) {
            (Callback::FilterAttach, Some(adapter), Some(0)) => {
                self.attached.insert(adapter);
            }
            (Callback::FilterDetach, Some(adapter), _) => {
                self.detaching.remove(&adapter);
                self.attached.remove(&adapter);
            }
            (Callback::DriverUnload, ..) => {
                met("unloads-completed", 1);
                met("items-after-unload", self.items.len());
                met("modules-after-unload", self.attached.len());
            }
            _ => {}
        }
    }

    fn pause_completed(&mut self, adapter: u32, now_ns: u64) {
        met("pauses-completed", 1);
        let begun_ns = self.pausing.remove(&adapter).unwrap_or(now_ns);
        met("pauses-over-1s", (now_ns - begun_ns > SECOND_NS).into());
        let (packets, own) = self.out(adapter);
        met("packets-after-pause", packets);
        met("own-after-pause", own);
    }
}
