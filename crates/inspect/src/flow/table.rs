//! The table that flows live in.

use super::{Direction, Flow, FlowChange, FlowEnd, FlowKey};
use crate::packet::PacketFacts;

/// How many places a flow may take, counted from the one that its key names. It bounds the work per packet.
const PROBE_LIMIT: usize = 64;

/// Room for one flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot(Option<Flow>);

impl Slot {
    /// Room with no flow in it.
    pub const EMPTY: Self = Self(None);
}

/// What became of a packet in a [`FlowTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It made a flow.
    New,
    /// It belongs to a flow that was there.
    Known,
    /// It belongs to no flow: it is not IP, or its IP header could not be read.
    NoFlow,
    /// It makes a flow for which there is no room.
    Full,
}

/// Flows, in storage of fixed size that the caller provides.
///
/// A flow lives in one of a few dozen places that its key names. When all are taken, the flow among them that has been
/// silent longest gives way, provided it has been silent for the configured time; if none has, the new flow is refused.
/// The same packets at the same times give the same table. Flows do not move while they live.
///
/// Storage is whatever can be seen as a slice of [`Slot`]: `&mut [Slot]`, or an owner of one.
///
/// # Invariants
///
/// `active` is the number of slots that hold a flow. A slot that holds a flow never becomes empty again, so that a
/// search may end at the first empty slot.
#[derive(Debug)]
pub struct FlowTable<S> {
    slots: S,
    seed: u64,
    idle_ns: u64,
    active: u32,
    created: u64,
    evicted: u64,
    refused: u64,
}

impl<S: AsRef<[Slot]> + AsMut<[Slot]>> FlowTable<S> {
    /// A table over `slots`, whose contents are thrown away. `seed` should be unknown to whoever sends packets;
    /// `idle_ns` is the silence after which a flow may have to give way.
    pub fn new(mut slots: S, seed: u64, idle_ns: u64) -> Self {
        // In place: `fill` copies a whole empty slot into each, which in a driver is a call of the kernel's `memcpy` each.
        for Slot(flow) in slots.as_mut() {
            *flow = None;
        }
        Self {
            slots,
            seed,
            idle_ns,
            active: 0,
            created: 0,
            evicted: 0,
            refused: 0,
        }
    }

    /// Changes the silence after which a flow may have to give way.
    pub const fn set_idle_ns(&mut self, idle_ns: u64) {
        self.idle_ns = idle_ns;
    }

    /// Counts a packet into its flow. `now_ns` is the time at which it was seen, of a clock that the caller chooses.
    pub fn record(&mut self, facts: &PacketFacts, direction: Direction, now_ns: u64) -> Recorded {
        self.record_observed(facts, direction, now_ns, |_, _| ())
    }

    /// As [`record`](Self::record), and shows what flow began or ended by it: none, one, or one that gave way and the one
    /// that took its place.
    pub fn record_observed(
        &mut self,
        facts: &PacketFacts,
        direction: Direction,
        now_ns: u64,
        mut observe: impl FnMut(FlowChange, &Flow),
    ) -> Recorded {
        let Some((key, from_low)) = FlowKey::of(facts) else {
            return Recorded::NoFlow;
        };
        let slots = self.slots.as_mut();
        // Scales the hash to the number of slots, without a division.
        let scaled = u64::from(key.hash(self.seed)).wrapping_mul(slots.len() as u64) >> 32;
        let start = usize::try_from(scaled).unwrap_or_default();
        // The flow that has been silent longest, and since when.
        let mut oldest: Option<(usize, u64)> = None;
        let mut place = None;
        for index in (start..slots.len()).chain(0..start).take(PROBE_LIMIT) {
            match slots.get_mut(index) {
                Some(Slot(Some(flow))) if flow.key == key => {
                    let end = flow.end();
                    flow.add(facts, from_low, now_ns);
                    match (end, flow.end()) {
                        (None, Some(end)) => observe(FlowChange::Ended(end), flow),
                        (Some(_), None) => observe(FlowChange::Started, flow),
                        (None, None) | (Some(_), Some(_)) => {}
                    }
                    return Recorded::Known;
                }
                Some(Slot(Some(flow))) => {
                    if oldest.is_none_or(|(_, last_ns)| flow.last_ns < last_ns) {
                        oldest = Some((index, flow.last_ns));
                    }
                }
                Some(Slot(None)) => {
                    place = Some(index);
                    break;
                }
                None => break,
            }
        }
        let silent = |&(_, last_ns): &(usize, u64)| now_ns.saturating_sub(last_ns) >= self.idle_ns;
        let evicts = place.is_none();
        let place = place.or(oldest.filter(silent).map(|(index, _)| index));
        let Some(Slot(slot)) = place.and_then(|index| slots.get_mut(index)) else {
            self.refused = self.refused.saturating_add(1);
            return Recorded::Full;
        };
        if evicts {
            self.evicted = self.evicted.saturating_add(1);
        } else {
            self.active = self.active.saturating_add(1);
        }
        self.created = self.created.saturating_add(1);
        if let Some(silent) = slot.as_ref().filter(|flow| flow.end().is_none()) {
            observe(FlowChange::Ended(FlowEnd::Silent), silent);
        }
        let flow = slot.insert(Flow::new(key, from_low, direction, now_ns));
        flow.add(facts, from_low, now_ns);
        observe(FlowChange::Started, flow);
        if let Some(end) = flow.end() {
            observe(FlowChange::Ended(end), flow);
        }
        Recorded::New
    }

    /// Flows from place `cursor` on, each with the cursor that continues behind it; 0 starts.
    ///
    /// A walk in several parts meets every flow that lives throughout exactly once.
    pub fn flows(&self, cursor: u32) -> impl Iterator<Item = (u32, &Flow)> {
        let slots = usize::try_from(cursor)
            .ok()
            .and_then(|cursor| self.slots.as_ref().get(cursor..));
        let cursors = (cursor..u32::MAX).map(|place| place.saturating_add(1));
        cursors
            .zip(slots.unwrap_or_default())
            .filter_map(|(next, slot)| Some((next, slot.0.as_ref()?)))
    }

    /// Flows that the table can hold.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        u32::try_from(self.slots.as_ref().len()).unwrap_or(u32::MAX)
    }

    /// Flows that the table holds.
    #[must_use]
    pub const fn active(&self) -> u32 {
        self.active
    }

    /// Flows ever made.
    #[must_use]
    pub const fn created(&self) -> u64 {
        self.created
    }

    /// Among them: flows that gave way to another.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Packets whose flow was refused.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Gives the storage back.
    pub fn into_storage(self) -> S {
        self.slots
    }
}
