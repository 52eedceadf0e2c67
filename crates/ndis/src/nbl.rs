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
