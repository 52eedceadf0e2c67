//! What the filter makes itself: pools, the NET_BUFFER_LISTs and NET_BUFFERs from them, and MDLs.

pub(super) mod buffer;
pub(super) mod context;
pub(super) mod derived;
pub(crate) mod list;
pub(super) mod mdl;
pub(super) mod pool;

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{NblEvent, NblPath};

use super::{adapter, data_space, nbl};
use crate::abi::constant::NetBufferListCancelId;
use crate::abi::ndis::{NET_BUFFER, NET_BUFFER_LIST};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::mem::BadAddress;
use crate::watch::{self, OrFault, emit};

/// A structure of the filter's: what it is from, and all memory of NDIS that it is made of.
#[derive(Clone, Default)]
struct Own {
    pool: u64,
    blocks: Vec<u64>,
    /// What it is a clone of.
    parent: u64,
    /// What it could be cancelled with when it left the filter last.
    cancel_id: u64,
}

per_image! {
    static LISTS: RefCell<BTreeMap<u64, Own>> = const { RefCell::new(BTreeMap::new()) };
    /// NET_BUFFERs that were allocated by themselves.
    static BUFFERS: RefCell<BTreeMap<u64, Own>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    LISTS.take();
    BUFFERS.take();
    context::reset();
    pool::reset();
}

/// Whether a list is one of the filter's.
pub(super) fn is_own(nbl: u64) -> bool {
    LISTS.with_borrow(|lists| lists.contains_key(&nbl))
}

/// Whether there is a pool that lists may come from.
pub(super) fn has_pools() -> bool {
    pool::is_any()
}

/// The memory of NDIS that a list is made of, without NET_BUFFERs that were allocated by themselves.
pub(super) fn blocks(nbl: u64) -> Vec<u64> {
    LISTS.with_borrow(|lists| {
        lists
            .get(&nbl)
            .map(|own| own.blocks.clone())
            .unwrap_or_default()
    })
}

/// The memory of NDIS that such a NET_BUFFER is made of.
pub(super) fn blocks_of_buffer(nb: u64) -> Vec<u64> {
    BUFFERS.with_borrow(|buffers| {
        buffers
            .get(&nb)
            .map(|own| own.blocks.clone())
            .unwrap_or_default()
    })
}

/// What a list is a clone of, or 0.
pub(super) fn parent(nbl: u64) -> u64 {
    LISTS.with_borrow(|lists| lists.get(&nbl).map_or(0, |own| own.parent))
}

/// What a clone stands for: its parent, and if that is a clone its parent, and so on.
pub(super) fn ancestors(nbl: u64) -> impl Iterator<Item = u64> {
    let above = |nbl: u64| Some(parent(nbl)).filter(|parent| *parent != 0);
    std::iter::successors(above(nbl), move |nbl| above(*nbl))
}

/// Whether a list is one of the filter's, with this cancel id.
pub(super) fn has_cancel_id(nbl: u64, id: u64) -> bool {
    LISTS.with_borrow(|lists| lists.get(&nbl).is_some_and(|own| own.cancel_id == id))
}

/// Counts packets that the filter originates. The first clone of a packet that goes on is that packet.
pub(super) fn note_out(nbls: &[u64], adapter: u32, path: NblPath) {
    let is_originated = |nbl: &&u64| {
        let origin = ancestors(**nbl).last().unwrap_or(0);
        is_own(**nbl) && !nbl::note_passed_through(origin, path)
    };
    LISTS.with_borrow_mut(|lists| {
        for nbl in nbls {
            if let Some(own) = lists.get_mut(nbl) {
                // What leads nowhere is an event of its own.
                own.cancel_id = nbl::slot_value(*nbl, NetBufferListCancelId).unwrap_or(0);
            }
        }
    });
    let originated = nbls.iter().filter(is_originated);
    let count: u64 = originated
        .map(|nbl| data_space::buffers(*nbl).or_fault().len() as u64)
        .sum();
    adapter::with_mut(adapter, |adapter| {
        adapter.counts[adapter::side(path)].originated += count
    });
}

/// A list is there, in these blocks of which the first is itself.
fn enter(pool: u64, blocks: Vec<u64>) -> u64 {
    enter_child(pool, blocks, 0)
}

/// Likewise, a clone of `parent`.
fn enter_child(pool: u64, blocks: Vec<u64>, parent: u64) -> u64 {
    let nbl = blocks.first().copied().unwrap_or(0);
    watch::note_parts(nbl, &blocks);
    LISTS.with_borrow_mut(|lists| {
        let own = Own {
            pool,
            blocks,
            parent,
            cancel_id: 0,
        };
        lists.insert(nbl, own)
    });
    emit(Kind::Nbl(NblEvent::Allocated { nbl, pool }));
    nbl
}

/// A list goes.
fn leave(nbl: u64) {
    let own = LISTS.with_borrow_mut(|lists| lists.remove(&nbl));
    emit(Kind::Nbl(NblEvent::Freed {
        nbl,
        known: own.is_some(),
    }));
    let own = own.unwrap_or_default();
    own.blocks.into_iter().for_each(driver::release);
}

/// Links NET_BUFFERs into a list.
fn link_buffers(nbl: u64, buffers: &[u64]) -> Result<(), BadAddress> {
    let mut next = 0;
    for nb in buffers.iter().rev() {
        NET_BUFFER::Next.write(*nb, next)?;
        next = *nb;
    }
    NET_BUFFER_LIST::FirstNetBuffer.write(nbl, next)
}
