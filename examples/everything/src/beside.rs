//! Packets that others stand in for, and what stands beside packets.
//!
//! Of every sixteen lists of a direction one is mirrored, four go on as clones (one of them as a clone of one), one as a copy, and one is copied beside.

use ndis::counter::Counter;
use ndis::driver::Installed;
use ndis::filter::Running;
use ndis::irql::{Caller, Passive};
use ndis::nbl::{Direction, LargeSend, Nbl, NblBatch, Nbls, Rx, Tx, Verdict};
use ndis::trace;

use crate::read::Reading;
use crate::{Everything, count};

/// After so many lists all begins again.
const ROUND: u64 = 16;

ndis::events! {
    /// The filter's events.
    pub(crate) provider EVERYTHING = "DeferlwfEverything", rundown: rundown;

    /// What stood beside the lists that were sent, and what stood in for them, since the module was attached. A module tells
    /// it whenever it pauses.
    event BesideSends(Information, 0x1, Info) {
        /// Lists that the adapter was to compute checksums for.
        checksums = "Checksums": u64,
        /// Lists to be cut into segments of TCP, by version 1 and 2.
        large_v1 = "LargeV1": u64,
        /// Likewise.
        large_v2 = "LargeV2": u64,
        /// Lists to be cut into datagrams.
        datagrams = "Datagrams": u64,
        /// Lists whose sender wanted to know when they left.
        timestamps = "Timestamps": u64,
        /// Lists with a hash.
        hashes = "Hashes": u64,
        /// Lists with a tag.
        tags = "Tags": u64,
        /// Packets that were to go on as clones.
        cloned = "Cloned": u64,
        /// Packets that went twice, as clones.
        mirrored = "Mirrored": u64,
        /// Packets that went on as copies.
        replaced = "Replaced": u64,
        /// Packets that went twice, as a copy.
        duplicated = "Duplicated": u64,
        /// Packets that were read at once and in parts, and those of which a part was something else.
        read = "Read": u64,
        /// Likewise.
        misread = "Misread": u64,
    }

    /// The same of what was received, but that low-resources lists have no clones.
    event BesideReceives(Information, 0x1, Info) {
        /// Lists with a checksum that the adapter has found right.
        right = "Right": u64,
        /// Lists with one that it has found wrong.
        wrong = "Wrong": u64,
        /// Lists whose checksum is that of another packet.
        invalid = "Invalid": u64,
        /// Lists joined from segments of TCP, how many those were, and duplicate acknowledgements among them.
        joined = "Joined": u64,
        /// Likewise.
        segments = "Segments": u64,
        /// Likewise.
        duplicate_acks = "DuplicateAcks": u64,
        /// Lists joined from datagrams.
        datagrams = "Datagrams": u64,
        /// Lists with the time when they came.
        timestamps = "Timestamps": u64,
        /// Lists with a hash.
        hashes = "Hashes": u64,
        /// Lists with a tag.
        tags = "Tags": u64,
        /// Packets that were to go on as clones.
        cloned = "Cloned": u64,
        /// Packets that went twice, as clones.
        mirrored = "Mirrored": u64,
        /// Packets that went on as copies.
        replaced = "Replaced": u64,
        /// Packets that went twice, as a copy.
        duplicated = "Duplicated": u64,
        /// Packets that were read at once and in parts, and those of which a part was something else.
        read = "Read": u64,
        /// Likewise.
        misread = "Misread": u64,
    }
}

/// What has been counted so far, for a session that asks.
fn rundown(irql: &mut Passive) {
    Everything::driver().census(irql, |census| {
        census.modules().for_each(|module| module.beside.tell());
    });
}

/// What is counted of either direction.
#[derive(Default)]
struct Both {
    /// Lists so far.
    turn: Counter,
    hashes: Counter,
    tags: Counter,
    cloned: Counter,
    mirrored: Counter,
    replaced: Counter,
    duplicated: Counter,
    reading: Reading,
}

/// What is counted.
#[derive(Default)]
pub(crate) struct Beside {
    sends: Both,
    receives: Both,
    checksums: Counter,
    large_v1: Counter,
    large_v2: Counter,
    send_datagrams: Counter,
    send_timestamps: Counter,
    right: Counter,
    wrong: Counter,
    invalid: Counter,
    joined: Counter,
    segments: Counter,
    duplicate_acks: Counter,
    receive_datagrams: Counter,
    receive_timestamps: Counter,
}

impl Beside {
    /// Counts what stands beside lists to send.
    pub(crate) fn look_at_sends(&self, lists: Nbls<'_, Tx>) {
        for list in lists {
            self.sends.look(&list);
            self.checksums.add(list.checksum().is_some().into());
            match list.large_send() {
                Some(LargeSend::V1 { .. }) => self.large_v1.add(1),
                Some(LargeSend::V2 { .. }) => self.large_v2.add(1),
                None => {}
            }
            self.send_datagrams
                .add(list.udp_segmentation().is_some().into());
            self.send_timestamps.add(list.wants_timestamp().into());
        }
    }

    /// Counts what stands beside received lists.
    pub(crate) fn look_at_receives(&self, lists: Nbls<'_, Rx>) {
        for list in lists {
            self.receives.look(&list);
            let found = list.checksum();
            let has = |verdict| [found.ip, found.tcp, found.udp].contains(&verdict);
            self.right.add(has(Verdict::Right).into());
            self.wrong.add(has(Verdict::Wrong).into());
            self.invalid
                .add((found.ip_value_invalid || found.tcp_value_invalid).into());
            if let Some(joined) = list.coalesced_tcp() {
                self.joined.add(1);
                self.segments.add(joined.segments.into());
                self.duplicate_acks.add(joined.duplicate_acks.into());
            }
            self.receive_datagrams
                .add(list.coalesced_udp().is_some().into());
            self.receive_timestamps
                .add(list.timestamp().is_some().into());
        }
    }

    /// Says what was counted.
    pub(crate) fn tell(&self) {
        trace::write(|| BesideSends {
            checksums: self.checksums.value(),
            large_v1: self.large_v1.value(),
            large_v2: self.large_v2.value(),
            datagrams: self.send_datagrams.value(),
            timestamps: self.send_timestamps.value(),
            hashes: self.sends.hashes.value(),
            tags: self.sends.tags.value(),
            cloned: self.sends.cloned.value(),
            mirrored: self.sends.mirrored.value(),
            replaced: self.sends.replaced.value(),
            duplicated: self.sends.duplicated.value(),
            read: self.sends.reading.packets.value(),
            misread: self.sends.reading.misread.value(),
        });
        trace::write(|| BesideReceives {
            right: self.right.value(),
            wrong: self.wrong.value(),
            invalid: self.invalid.value(),
            joined: self.joined.value(),
            segments: self.segments.value(),
            duplicate_acks: self.duplicate_acks.value(),
            datagrams: self.receive_datagrams.value(),
            timestamps: self.receive_timestamps.value(),
            hashes: self.receives.hashes.value(),
            tags: self.receives.tags.value(),
            cloned: self.receives.cloned.value(),
            mirrored: self.receives.mirrored.value(),
            replaced: self.receives.replaced.value(),
            duplicated: self.receives.duplicated.value(),
            read: self.receives.reading.packets.value(),
            misread: self.receives.reading.misread.value(),
        });
    }
}

impl Both {
    fn look<D: Direction>(&self, list: &Nbl<'_, D>) {
        self.hashes.add(list.hash().is_some().into());
        self.tags.add(list.vlan_tag().is_some().into());
        self.reading.look(list);
    }

    /// Whether a list's place in the round is one of `places`, as it is counted from `from`.
    fn picks<D>(&self, from: u64, places: &'static [u64]) -> impl FnMut(&Nbl<'_, D>) -> bool {
        let mut at = from;
        move |_| {
            let place = at % ROUND;
            at = at.wrapping_add(1);
            places.contains(&place)
        }
    }
}

/// Batches that were made of one.
pub(crate) struct Cast<'c, D: Direction> {
    /// What goes on.
    pub(crate) on: NblBatch<'c, D>,
    /// What goes on beside that.
    pub(crate) beside: [NblBatch<'c, D>; 2],
    /// What has been replaced, and is done.
    pub(crate) done: NblBatch<'c, D>,
}

/// Lets others stand in for some lists of a batch to send.
pub(crate) fn cast_sends<'c>(
    this: &Running<'_, Everything>,
    packets: NblBatch<'c, Tx>,
    irql: &mut impl Caller,
) -> Cast<'c, Tx> {
    cast(this, &this.beside.sends, packets, irql)
}

/// Likewise of received ones.
pub(crate) fn cast_receives<'c>(
    this: &Running<'_, Everything>,
    packets: NblBatch<'c, Rx>,
    irql: &mut impl Caller,
) -> Cast<'c, Rx> {
    cast(this, &this.beside.receives, packets, irql)
}

fn cast<'c, D: Direction>(
    this: &Running<'_, Everything>,
    both: &Both,
    packets: NblBatch<'c, D>,
    irql: &mut impl Caller,
) -> Cast<'c, D> {
    let from = both.turn.value();
    both.turn.add(packets.iter().map(|_| 1).sum());
    let copies = this.duplicate(&packets, both.picks(from, &[1]), irql);
    both.duplicated.add(count(copies.iter()));
    // The lists stay in their order, so their places are the same each time.
    let (packets, clones) = this.mirror(packets, both.picks(from, &[2]), irql);
    both.mirrored.add(count(clones.iter()));
    let mut wanted = both.picks(from, &[4, 8, 12]);
    let mut asked: u64 = 0;
    let packets = this.clone_in_place(
        packets,
        |list| {
            let is_wanted = wanted(list);
            let packets = list.packets().fold(0, |sum: u64, _| sum.wrapping_add(1));
            asked = asked.wrapping_add(if is_wanted { packets } else { 0 });
            is_wanted
        },
        irql,
    );
    both.cloned.add(asked);
    // Some of those once more: clones of clones.
    let packets = this.clone_in_place(packets, both.picks(from, &[8, 9]), irql);
    let (on, done) = this.replace(packets, both.picks(from, &[15]), irql);
    both.replaced.add(count(done.iter()));
    Cast {
        on,
        beside: [clones, copies],
        done,
    }
}
