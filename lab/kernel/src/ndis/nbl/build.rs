//! A NET_BUFFER_LIST from frames, as awkward as Windows may build it.

use lab_rules::event::{Lent, NblPath};

use super::{RECORDS, Record, Shadow, offload, set_slot};
use crate::abi::constant::{
    MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED, MDL_SOURCE_IS_NONPAGED_POOL,
    NDIS_NBL_FLAGS_RECV_READ_ONLY, NDIS_NBL_FLAGS_SEND_READ_ONLY, NetBufferListCancelId,
    NetBufferListFilteringInfo, NetBufferListFrameType, NetBufferListHashValue,
    NetBufferListProtocolId, NrtNameResolutionId,
};
use crate::abi::ndis::{NET_BUFFER, NET_BUFFER_LIST};
use crate::abi::nt::MDL;
use crate::driver;
use crate::ndis::adapter::{self, side};
use crate::nt::mdl;
use crate::rt::mem::BadAddress;
use crate::rt::pool::{self, Kind, Owner, Request};
use crate::rt::sched::{self, Reason};
use crate::watch::OrFault;
use crate::{Direction, Frame};

/// Bytes that a split never falls into: the MAC header of a send (the sender's duty), the lookahead
/// of a receive (the miniport's).
const UNSPLIT_SEND: usize = 14;
const UNSPLIT_RECEIVE: usize = 128;
/// Cuts of a frame beyond the first, at most.
const MORE_CUTS: u64 = 3;
/// The longest unused space before a frame.
const BACKFILL: u64 = 64;

/// What is being put together.
#[derive(Default)]
struct Parts {
    blocks: Vec<u64>,
    shadow: Shadow,
}

/// Builds one structure with one NET_BUFFER per frame. The out-of-band data is the first frame's.
pub(crate) fn build(adapter: u32, frames: &[Frame], source: u64) -> u64 {
    let mut parts = Parts::default();
    let path = match frames.first().map(|frame| frame.direction) {
        Some(Direction::Receive) => NblPath::Receive,
        _ => NblPath::Send,
    };
    let nbl = fill(&mut parts, path, frames, source).or_fault();
    // A stripped VLAN tag is on the wire.
    let wire_len =
        |frame: &Frame| frame.data.len() as u64 + if frame.vlan.is_some() { 4 } else { 0 };
    let record = Record {
        adapter,
        path,
        packets: frames.len() as u64,
        bytes: frames.iter().map(wire_len).sum(),
        segments: frames
            .iter()
            .map(|frame| u64::from(frame.segments.max(1)))
            .sum(),
        shadow: parts.shadow,
        blocks: parts.blocks,
        was_given: false,
        was_passed: false,
    };
    adapter::with_mut(adapter, |adapter| adapter.outstanding[side(path)] += 1);
    RECORDS.with_borrow_mut(|records| records.insert(nbl, record));
    nbl
}

fn fill(
    parts: &mut Parts,
    path: NblPath,
    frames: &[Frame],
    source: u64,
) -> Result<u64, BadAddress> {
    use NET_BUFFER_LIST as N;
    let nbl = driver::lend(Lent::Packet, N::SIZE);
    parts.blocks.push(nbl);
    let is_read_only = sched::chance(1, 4);
    let mut next = 0;
    for frame in frames.iter().rev() {
        let nb = net_buffer(parts, path, frame, is_read_only)?;
        NET_BUFFER::Next.write(nb, next)?;
        next = nb;
    }
    let mut nb = next;
    N::FirstNetBuffer.write(nbl, next)?;
    N::SourceHandle.write(nbl, source)?;
    N::NdisPoolHandle.write(nbl, source)?;
    let read_only = match path {
        NblPath::Send => NDIS_NBL_FLAGS_SEND_READ_ONLY,
        NblPath::Receive => NDIS_NBL_FLAGS_RECV_READ_ONLY,
    };
    N::NblFlags.write(nbl, if is_read_only { read_only } else { 0 })?;
    for word in 0..N::ProtocolReserved_COUNT {
        crate::rt::mem::write(
            N::ProtocolReserved.of(nbl) + 8 * word,
            sched::random(u64::MAX),
        )?;
    }
    for word in 0..N::MiniportReserved_COUNT {
        crate::rt::mem::write(
            N::MiniportReserved.of(nbl) + 8 * word,
            sched::random(u64::MAX),
        )?;
    }
    if let Some(frame) = frames.first() {
        out_of_band(nbl, path, frame)?;
    }
    parts.shadow.keep_nbl(nbl)?;
    while nb != 0 {
        parts.shadow.keep_nb(nb)?;
        nb = NET_BUFFER::Next.read(nb)?;
    }
    Ok(nbl)
}

/// Fills the slots: what the frame needs is true, what it does not need is random.
fn out_of_band(nbl: u64, path: NblPath, frame: &Frame) -> Result<(), BadAddress> {
    for opaque in [NetBufferListHashValue, NetBufferListFilteringInfo] {
        set_slot(nbl, opaque, sched::random(u64::MAX))?;
    }
    let ether_type = frame.data.get(12..14).map_or(0, |bytes| {
        u64::from(u16::from_be_bytes([bytes[0], bytes[1]]))
    });
    match path {
        NblPath::Send => {
            set_slot(nbl, NetBufferListCancelId, sched::random(u64::MAX))?;
            set_slot(nbl, NetBufferListProtocolId, ether_type)?;
            set_slot(nbl, NrtNameResolutionId, sched::random(u64::MAX))?;
        }
        // In network byte order.
        NblPath::Receive => set_slot(nbl, NetBufferListFrameType, ether_type.swap_bytes() >> 48)?,
    }
    for (index, value) in offload::slots(path, frame) {
        set_slot(nbl, index, value)?;
    }
    Ok(())
}

/// A NET_BUFFER for one frame, its bytes spread over one or more MDLs.
fn net_buffer(
    parts: &mut Parts,
    path: NblPath,
    frame: &Frame,
    is_read_only: bool,
) -> Result<u64, BadAddress> {
    use NET_BUFFER as N;
    let nb = driver::lend(Lent::Packet, N::SIZE);
    parts.blocks.push(nb);
    let backfill = if sched::chance(1, 2) {
        sched::random(BACKFILL) as usize
    } else {
        0
    };
    // Sometimes the unused space is an MDL of its own, and the frame begins in the second.
    let is_apart = backfill > 0 && sched::chance(1, 4);
    let mut pieces: Vec<(usize, &[u8])> = cut(path, &frame.data)
        .into_iter()
        .map(|piece| (0, piece))
        .collect();
    if is_apart {
        pieces.insert(0, (backfill, &[]));
    } else if let Some((unused, _)) = pieces.first_mut() {
        *unused = backfill;
    }
    let mut chain = 0;
    let mut mdls = Vec::new();
    for (unused, bytes) in pieces.into_iter().rev() {
        let mdl = mdl_of(parts, unused, bytes, is_read_only)?;
        MDL::Next.write(mdl, chain)?;
        chain = mdl;
        mdls.push(mdl);
    }
    let current = if is_apart {
        MDL::Next.read(chain)?
    } else {
        chain
    };
    N::MdlChain.write(nb, chain)?;
    N::CurrentMdl.write(nb, current)?;
    N::CurrentMdlOffset.write(nb, if is_apart { 0 } else { backfill as u32 })?;
    N::DataOffset.write(nb, backfill as u32)?;
    N::DataLength.write(nb, frame.data.len() as u32)?;
    for mdl in mdls {
        parts.shadow.keep_mdl(mdl)?;
    }
    Ok(nb)
}

/// Cuts a frame where the documentation lets it be cut.
fn cut(path: NblPath, data: &[u8]) -> Vec<&[u8]> {
    let unsplit = match path {
        NblPath::Send => UNSPLIT_SEND,
        NblPath::Receive => UNSPLIT_RECEIVE,
    };
    let mut cuts = Vec::new();
    if data.len() > unsplit && sched::chance(1, 2) {
        for _ in 0..=sched::random(MORE_CUTS) {
            cuts.push(unsplit + sched::random((data.len() - unsplit) as u64) as usize);
        }
    }
    pieces(data, cuts)
}

/// The pieces between cuts, at least one and none of them empty unless all is.
fn pieces(data: &[u8], mut cuts: Vec<usize>) -> Vec<&[u8]> {
    cuts.push(data.len());
    cuts.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for end in cuts {
        if end > start || (pieces.is_empty() && end == data.len()) {
            pieces.push(&data[start..end]);
            start = end;
        }
    }
    pieces
}

/// An MDL over a buffer of its own, which ends where the guard begins.
fn mdl_of(
    parts: &mut Parts,
    unused: usize,
    bytes: &[u8],
    is_read_only: bool,
) -> Result<u64, BadAddress> {
    let length = unused + bytes.len();
    let request = Request {
        tag: Lent::Packet.tag(),
        size: length.max(1),
        align: 1,
        kind: Kind::NonPaged,
        zeroed: false,
        owner: Owner::Lab,
    };
    let Ok(buffer) = pool::allocate(request) else {
        sched::stop(Reason::Internal("the pool's address space is spent".into()))
    };
    parts.blocks.push(buffer);
    let data = buffer + unused as u64;
    driver::write(data, bytes);
    if is_read_only {
        parts.shadow.keep_data(data, bytes.len())?;
    }
    let mdl = driver::lend(Lent::Packet, mdl::size(buffer, length as u64));
    parts.blocks.push(mdl);
    // Some are mapped already, some the reader must map.
    let flags = match sched::random(3) {
        0 => MDL_PAGES_LOCKED,
        1 => MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA,
        _ => MDL_SOURCE_IS_NONPAGED_POOL,
    };
    mdl::initialize(mdl, buffer, length as u32, flags)?;
    Ok(mdl)
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn pieces_make_up_the_frame() {
        let data: Vec<u8> = (0..100).collect();
        for (cuts, expected) in [
            (vec![], vec![100]),
            (vec![14], vec![14, 86]),
            (vec![60, 14, 14, 0, 100], vec![14, 46, 40]),
        ] {
            let pieces = pieces(&data, cuts);
            assert_eq!(
                pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>(),
                expected
            );
            assert_eq!(pieces.concat(), data);
        }
        assert_eq!(pieces(&[], vec![]), [&[] as &[u8]]);
    }
}
