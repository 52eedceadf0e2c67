//! Packets: `NET_BUFFER_LIST`s that a callback owns, or may only look at.
//!
//! - [`NblBatch`]: NBLs that NDIS has handed over. It is moved on use: forwarded, completed (`Tx`), returned (`Rx`).
//! - [`LowResources`]: NBLs that NDIS takes back when the callback returns, so they can be looked at and forwarded.
//! - [`Hold`], [`Release`]: what was held, and letting it go in order.
//! - [`Nbl`], [`Packet`]: one list, one frame; readable by copying.
//!
//! A packet is one `NET_BUFFER`. Its memory is never lent as a slice, because others may write to it meanwhile:
//! [`Packet::copy_to`] and [`Packet::read`] copy, across MDLs.
//!
//! <https://learn.microsoft.com/windows-hardware/drivers/network/net-buffer-list-structure>
//!
//! # Example
//!
//! ```no_run
//! use ndis::Status;
//! use ndis::filter::{Attached, HoldPath, OriginatePath, Running};
//! use ndis::irql::{AtMostDispatch, Caller, Passive};
//! use ndis::nbl::{
//!     Direction, HeldCounts, Hold, HoldLimit, LowResources, Nbl, NblBatch, Nbls, Overload,
//!     OwnPackets, Packet, Packets, Release, Released, Rx, Segmentation, Turn, Tx, Unreadable,
//!     VlanTag,
//! };
//!
//! /// Counts wire frames of batches of either direction.
//! fn frames<D: Direction>(lists: Nbls<'_, D>) -> u64 {
//!     lists.fold(0, |sum: u64, list: Nbl<'_, D>| {
//!         let packets: Packets<'_> = list.packets();
//!         let segments = match list.segmentation() {
//!             Segmentation::Coalesced(segments) => usize::from(segments),
//!             Segmentation::One | Segmentation::Large { .. } => packets.count(),
//!         };
//!         sum.wrapping_add(segments as u64)
//!     })
//! }
//!
//! fn vlan<D: Direction>(list: &Nbl<'_, D>) -> Option<u16> {
//!     list.vlan_tag().map(VlanTag::control)
//! }
//!
//! fn is_ipv6(packet: &Packet<'_>) -> bool {
//!     match packet.read::<2>(12) {
//!         Ok(ether_type) => ether_type == [0x86, 0xDD],
//!         Err(Unreadable::TooShort | Unreadable::NotMapped | Unreadable::Inconsistent) => false,
//!     }
//! }
//!
//! /// Passes what is not IPv6 and returns the rest.
//! fn filter(packets: NblBatch<'_, Rx>, irql: &mut AtMostDispatch) {
//!     let (drop, pass) = packets.partition(|list| list.packets().any(|packet| is_ipv6(&packet)));
//!     pass.forward(irql);
//!     drop.return_(irql);
//! }
//!
//! /// What NDIS takes back by itself is passed on as copies of the module's own, if there are enough.
//! fn copy<M: OriginatePath>(
//!     this: &Running<'_, M>,
//!     packets: LowResources<'_>,
//!     irql: &mut AtMostDispatch,
//! ) {
//!     let mut missed: u32 = 0;
//!     let copies = this.copy(&packets, |_| missed = missed.wrapping_add(1), irql);
//!     if missed == 0 {
//!         copies.forward(irql);
//!     } else {
//!         copies.return_(irql);
//!         packets.forward(irql);
//!     }
//! }
//!
//! const OWN: OwnPackets = OwnPackets { packets: 16, bytes: 1514, clones: 0 };
//! const LIMIT: HoldLimit = HoldLimit { packets: 256, overload: Overload::Refuse };
//!
//! /// Holds sends; what finds no room fails.
//! fn hold<M: HoldPath>(
//!     this: &Running<'_, M>,
//!     packets: NblBatch<'_, Tx>,
//!     irql: &mut AtMostDispatch,
//! ) {
//!     let hold: Hold<'_, Tx> = this.hold(packets, LIMIT, irql);
//!     hold.refused.complete(Status::RESOURCES, irql);
//! }
//!
//! /// Lets them go, in order, in a work item.
//! fn release<M: HoldPath>(this: &Attached<'_, M>, irql: &mut Passive) -> Option<u64> {
//!     let released: Option<Released<()>> = this.while_running(irql, |running, irql| {
//!         running.release::<Tx, _, _>(irql, all)
//!     })?;
//!     released?.oldest_ns
//! }
//!
//! fn all(release: &mut Release<'_, Tx>, irql: &mut impl Caller) {
//!     while let Some(turn) = release.next(8, irql) {
//!         let Turn { packets, .. } = turn;
//!         packets.forward(irql);
//!     }
//! }
//!
//! fn waiting<M: HoldPath>(this: &Attached<'_, M>) -> u32 {
//!     let counts: HeldCounts = this.held::<Tx>();
//!     counts.waiting
//! }
//! ```

mod batch;
mod clone;
mod hold;
mod low_resources;
mod oob;
mod own;
mod packet;
mod raw;
mod stand_in;

pub use crate::fifo::{HoldLimit, Overload};
pub use batch::NblBatch;
pub use hold::{HeldCounts, Hold, Release, Released, Turn};
pub use low_resources::LowResources;
pub use oob::{
    CoalescedTcp, CoalescedUdp, Hash, HashFunction, HashType, IpVersion, LargeSend,
    ReceiveChecksum, Segmentation, SendChecksum, UdpSegmentation, Verdict, VlanTag,
};
pub use own::OwnPackets;
pub use packet::{Nbl, Nbls, Packet, Packets, Unreadable};

pub(crate) use batch::Callback;
pub(crate) use clone::ClonePool;
pub(crate) use hold::Held;
pub(crate) use own::OwnPool;
pub(crate) use raw::Chain;

use crate::irql::{Caller, Passive};
use crate::mem::OutOfMemory;

/// Which way packets go. Implemented by [`Tx`] and [`Rx`], and by nothing else.
pub trait Direction: sealed::Sealed {}

/// Down, from protocols to the miniport: `FilterSendNetBufferLists`.
#[derive(Clone, Copy, Debug)]
pub struct Tx;

/// Up, from the miniport to protocols: `FilterReceiveNetBufferLists`.
#[derive(Clone, Copy, Debug)]
pub struct Rx;

impl Direction for Tx {}
impl Direction for Rx {}

/// What a module has of one direction.
pub(crate) struct Side {
    /// Packets that wait.
    pub(crate) held: Held,
    /// Packets of its own.
    pub(crate) own: OwnPool,
    /// Clones of others.
    pub(crate) clones: ClonePool,
}

impl Side {
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub(crate) fn try_new(irql: &mut Passive) -> Result<Self, OutOfMemory> {
        Ok(Self {
            held: Held::new(),
            own: OwnPool::try_new(irql)?,
            clones: ClonePool::try_new(irql)?,
        })
    }

    /// Takes back what of a chain is the module's own, and lets `hand_over` do with the rest, unless it is empty, what ends
    /// its way: the other lists, and those whose clones have come back.
    ///
    /// # Safety
    ///
    /// The caller owns the chain, which came in direction `D` through the module without low resources, or is its own of
    /// that direction.
    pub(crate) unsafe fn settle<D: Direction, C: Caller>(
        &self,
        chain: Chain,
        irql: &mut C,
        hand_over: impl FnOnce(Chain),
    ) {
        // SAFETY: this function's contract.
        let (chain, gone) = unsafe { self.clones.take_back::<D>(chain) };
        // SAFETY: this function's contract; the parents of clones are as it says.
        let chain = unsafe { self.own.take_back(chain, irql) };
        if !chain.is_empty() {
            hand_over(chain);
        }
        // Pause waits for the parents, not only for their clones.
        gone.release();
    }
}

mod sealed {
    /// What is different about the two ways.
    pub trait Sealed {
        /// Whether it is [`Tx`](super::Tx).
        const IS_SEND: bool;
    }

    impl Sealed for super::Tx {
        const IS_SEND: bool = true;
    }

    impl Sealed for super::Rx {
        const IS_SEND: bool = false;
    }
}
