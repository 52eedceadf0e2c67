//! Looking at packets.

use core::marker::PhantomData;
use core::ptr::NonNull;

use ndis_sys::{NDIS_NBL_FLAGS_HD_SPLIT, NDIS_NBL_FLAGS_IS_LOOPBACK_PACKET, NET_BUFFER};

use super::Direction;
use super::raw::{self, Chain, NblPointer};
use crate::mdl;

/// One `NET_BUFFER_LIST` that may be looked at for `'a`.
///
/// # Invariants
///
/// For `'a` the NBL, its `NET_BUFFER`s and their MDLs are there, and nobody but the current owner, who has lent them,
/// changes them.
#[derive(Debug)]
pub struct Nbl<'a, D> {
    raw: NblPointer,
    _lent: PhantomData<(&'a (), D)>,
}

impl<'a, D: Direction> Nbl<'a, D> {
    /// The NBL, which may be read.
    pub(super) const fn pointer(&self) -> NblPointer {
        self.raw
    }

    /// The packets of the list. Received lists of Ethernet have one, lists to send any number.
    #[must_use]
    pub fn packets(&self) -> Packets<'a> {
        Packets {
            // SAFETY: by the invariant the NBL may be read.
            at: unsafe { raw::first_net_buffer(self.raw) },
            _lent: PhantomData,
        }
    }

    /// Whether NDIS has looped the list back: the module has seen it as a send already.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        // SAFETY: by the invariant the NBL may be read.
        let flags = unsafe { raw::flags(self.raw) };
        flags & NDIS_NBL_FLAGS_IS_LOOPBACK_PACKET != 0
    }

    /// Whether headers and data are apart (header-data split): the adapter may take the headers back as soon as its
    /// indication has returned, so the list cannot be held.
    #[must_use]
    pub fn is_header_split(&self) -> bool {
        // SAFETY: by the invariant the NBL may be read.
        let flags = unsafe { raw::flags(self.raw) };
        flags & NDIS_NBL_FLAGS_HD_SPLIT != 0
    }
}

/// The lists of a chain, in order.
///
/// # Invariants
///
/// Those of [`Nbl`], for each list of the chain, and for the links between them.
#[derive(Debug)]
pub struct Nbls<'a, D> {
    at: Option<NblPointer>,
    _lent: PhantomData<(&'a (), D)>,
}

impl<D> Nbls<'_, D> {
    /// # Safety
    ///
    /// The invariants hold for the chain.
    pub(crate) const unsafe fn new(chain: Chain) -> Self {
        // INVARIANT: the caller's promise.
        Self {
            at: chain.first,
            _lent: PhantomData,
        }
    }
}

impl<'a, D> Iterator for Nbls<'a, D> {
    type Item = Nbl<'a, D>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw = self.at?;
        // SAFETY: by the invariant the NBL may be read.
        self.at = unsafe { raw::next(raw) };
        // INVARIANT: the NBL is one of the chain.
        Some(Nbl {
            raw,
            _lent: PhantomData,
        })
    }
}

/// The packets of a list, in order.
///
/// # Invariants
///
/// Those of [`Packet`], for each packet of the list, and for the links between them.
#[derive(Debug)]
pub struct Packets<'a> {
    at: Option<NonNull<NET_BUFFER>>,
    _lent: PhantomData<&'a ()>,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw = self.at?;
        // SAFETY: by the invariant the packet may be read.
        self.at = unsafe { raw::next_net_buffer(raw) };
        // INVARIANT: the packet is one of the list.
        Some(Packet {
            raw,
            _lent: PhantomData,
        })
    }
}

/// Why a packet could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The system had no address space to map one of the packet's MDLs.
    NotMapped,
    /// The packet's MDLs end before the length that it gives.
    Inconsistent,
    /// More was asked for than the packet has.
    TooShort,
}

/// One frame: a `NET_BUFFER` that may be looked at for `'a`.
///
/// # Invariants
///
/// Those of [`Nbl`]. What others may change meanwhile is the data that the MDLs describe, and nothing else.
#[derive(Debug)]
pub struct Packet<'a> {
    raw: NonNull<NET_BUFFER>,
    _lent: PhantomData<&'a ()>,
}

impl Packet<'_> {
    /// Bytes of the frame, without a VLAN tag that stands beside it.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "whether a frame is empty is not a question that is asked"
    )]
    pub fn len(&self) -> u32 {
        // SAFETY: by the invariant the packet may be read.
        unsafe { raw::data_length(self.raw) }
    }

    /// Copies the frame from `offset` on, as much as there is and fits in `to`, and gives the number of bytes.
    ///
    /// The MDLs are walked once. A sender can still change its buffer: what counts is the copy.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]; what `to` holds then is unspecified. [`Unreadable::TooShort`] when `offset` is behind the end.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/network/net-buffer-structure>
    pub fn copy_to(&self, offset: u32, to: &mut [u8]) -> Result<usize, Unreadable> {
        let available = self.len().checked_sub(offset).ok_or(Unreadable::TooShort)?;
        let wanted = to.len().min(available as usize);
        let to = to.get_mut(..wanted).unwrap_or_default();
        // SAFETY: by the invariant the packet may be read.
        let (mdl, start) = unsafe { raw::data_start(self.raw) };
        // SAFETY: by the invariant the MDLs are there, describe locked memory, and are ours to map.
        unsafe { mdl::copy(mdl, u64::from(start).wrapping_add(u64::from(offset)), to) }?;
        Ok(wanted)
    }

    /// Copies exactly `N` bytes of the frame from `offset` on.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], with [`Unreadable::TooShort`] when there are fewer bytes.
    pub fn read<const N: usize>(&self, offset: u32) -> Result<[u8; N], Unreadable> {
        let mut bytes = [0; N];
        if self.copy_to(offset, &mut bytes)? == N {
            Ok(bytes)
        } else {
            Err(Unreadable::TooShort)
        }
    }
}
