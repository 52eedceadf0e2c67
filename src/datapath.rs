//! Send and receive: in mode `tap` each packet leaves a snapshot, and passes untouched and in order.

use inspect::Direction;
use ndis::filter::{Attached, ReceivePath, Running, SendPath};
use ndis::irql::{AtMostDispatch, Caller};
use ndis::nbl::{
    self, LowResources, Nbl, NblBatch, Nbls, Overload, Packet, Rx, Segmentation, Tx, Unreadable,
    VlanTag,
};
use ndis::ring::NotWritten;
use ndis::time;
use protocol::Mode;

use crate::count::{Seen, Wire};
use crate::inline::{self, Group, Way};
use crate::module::Tap;
use crate::tell::{Miss, Work};

/// Length of an Ethernet header, in bytes: what is shorter is no frame.
pub(crate) const ETHERNET_HEADER_LENGTH: u32 = 14;

/// What goes to the worker beside the first bytes of a frame.
#[derive(Clone, Copy)]
pub(crate) struct Snapshot {
    pub(crate) direction: Direction,
    /// When the batch came that the packet was in, in nanoseconds of [`time::now_ns`].
    pub(crate) seen_ns: u64,
    /// Bytes of the frame, without the tag.
    pub(crate) length: u32,
    /// The VLAN tag that stood beside the frame.
    pub(crate) tag: Option<VlanTag>,
    pub(crate) segmentation: Segmentation,
}

impl SendPath for Tap {
    fn send(this: &Running<'_, Self>, packets: NblBatch<'_, Tx>, irql: &mut AtMostDispatch) {
        pass::<Tx>(this, packets, irql);
    }

    fn send_refused(this: &Attached<'_, Self>, packets: Nbls<'_, Tx>) {
        this.observe_refused(Direction::Send, packets);
    }
}

impl ReceivePath for Tap {
    fn receive(this: &Running<'_, Self>, packets: NblBatch<'_, Rx>, irql: &mut AtMostDispatch) {
        pass::<Rx>(this, packets, irql);
    }

    fn receive_low_resources(
        this: &Running<'_, Self>,
        packets: LowResources<'_>,
        irql: &mut AtMostDispatch,
    ) {
        if let Some(overload) = holds::<Rx>(this) {
            inline::pass_lent(this, packets, overload, irql);
        } else {
            let wrote = this.observe(Direction::Receive, packets.iter());
            packets.forward(irql);
            this.wake_worker(wrote, irql);
        }
    }

    fn receive_refused(this: &Attached<'_, Self>, packets: Nbls<'_, Rx>) {
        this.observe_refused(Direction::Receive, packets);
    }
}

/// Passes packets on as the mode says: at once, or when they are judged.
fn pass<D: Way>(this: &Running<'_, Tap>, packets: NblBatch<'_, D>, irql: &mut AtMostDispatch) {
    if let Some(overload) = holds::<D>(this) {
        return inline::hold(this, packets, overload, irql);
    }
    let wrote = this.observe(D::DIRECTION, packets.iter());
    packets.forward(irql);
    this.wake_worker(wrote, irql);
}

/// Whether packets have to be held, and what becomes of those that cannot wait for a verdict. After mode `inline` was
/// left, what comes queues up behind what is held yet, and none of it is dropped.
fn holds<D: Way>(this: &Running<'_, Tap>) -> Option<Overload> {
    if this.settings.mode() == Mode::Inline {
        Some(this.settings.overload())
    } else {
        this.is_holding::<D>().then_some(Overload::Unjudged)
    }
}

impl Tap {
    /// Takes snapshots of the packets, and says whether there are any.
    fn observe<D: nbl::Direction>(&self, direction: Direction, lists: Nbls<'_, D>) -> bool {
        let seen_ns = time::now_ns();
        let mut seen = Seen::default();
        for list in lists {
            let facts = ListFacts::of(&list);
            for packet in list.packets() {
                self.observe_packet(&packet, &facts, direction, seen_ns, &mut seen);
            }
        }
        let wrote = seen.written > 0;
        self.counters.direction(direction).add_seen(&seen);
        self.tell_lost(direction, seen.ring_full);
        self.tell_unreadable(direction, Unreadable::NotMapped, seen.no_memory);
        self.tell_unreadable(direction, Unreadable::Inconsistent, seen.unreadable);
        self.counters.written.add(seen.written);
        self.counters
            .waiting_peak
            .raise_to(self.ring.waiting() as u64);
        wrote
    }

    fn observe_packet(
        &self,
        packet: &Packet<'_>,
        facts: &ListFacts,
        direction: Direction,
        seen_ns: u64,
        seen: &mut Seen,
    ) {
        let length = packet.len();
        seen.add_packet(Wire::of(length, facts.tag), facts.segmentation);
        if facts.is_loopback && direction == Direction::Receive {
            // It was seen as a send already.
            seen.loopback = seen.loopback.saturating_add(1);
            return;
        }
        let written = if length < ETHERNET_HEADER_LENGTH {
            Err(NotWritten::Refused(Unreadable::TooShort))
        } else {
            self.ring.write(|room| {
                let filled = packet.copy_to(0, room)?;
                let snapshot = Snapshot {
                    direction,
                    seen_ns,
                    length,
                    tag: facts.tag,
                    segmentation: facts.segmentation,
                };
                Ok((snapshot, filled))
            })
        };
        let count = match written {
            Ok(()) => &mut seen.written,
            Err(NotWritten::Full) => &mut seen.ring_full,
            Err(NotWritten::Refused(Unreadable::NotMapped)) => &mut seen.no_memory,
            Err(NotWritten::Refused(Unreadable::Inconsistent | Unreadable::TooShort)) => {
                &mut seen.unreadable
            }
        };
        *count = count.saturating_add(1);
    }

    /// Counts packets that came while the module was not running, and did not pass.
    fn observe_refused<D: nbl::Direction>(&self, direction: Direction, lists: Nbls<'_, D>) {
        let mut seen = Seen::default();
        let mut group = Group::default();
        for list in lists {
            let facts = ListFacts::of(&list);
            for packet in list.packets() {
                seen.add_packet(Wire::of(packet.len(), facts.tag), facts.segmentation);
                group.all = group.all.saturating_add(1);
            }
        }
        group.fresh = group.all;
        self.counters.direction(direction).add_seen(&seen);
        self.miss(direction, Miss::Paused, group, true);
    }

    /// Makes the worker run for the snapshots that were written.
    fn wake_worker(&self, wrote: bool, irql: &mut impl Caller) {
        if wrote {
            // It is refused only when the module is detaching, and then no packet comes.
            let _ = self.wish_for(Work::Tap, irql);
        }
    }
}

/// What is the same for all packets of a list.
pub(crate) struct ListFacts {
    pub(crate) tag: Option<VlanTag>,
    pub(crate) segmentation: Segmentation,
    is_loopback: bool,
}

impl ListFacts {
    pub(crate) fn of<D: nbl::Direction>(list: &Nbl<'_, D>) -> Self {
        Self {
            tag: list.vlan_tag(),
            segmentation: list.segmentation(),
            is_loopback: list.is_loopback(),
        }
    }
}
