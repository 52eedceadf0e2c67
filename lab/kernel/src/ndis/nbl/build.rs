//! A NET_BUFFER_LIST from frames, as awkward as Windows may build it.

use lab_rules::event::{Lent, NblPath};

use super::answer::{self, TIMESTAMP};
use super::mark;
use super::offload::{self, Zeal};
use super::{Making, RECORDS, Record, Shadow, set_slot, slot_value};
use crate::abi::constant::{
    MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED, MDL_SOURCE_IS_NONPAGED_POOL,
    NDIS_NBL_FLAGS_CAPTURE_TIMESTAMP_ON_TRANSMIT, NDIS_NBL_FLAGS_HD_SPLIT,
    NDIS_NBL_FLAGS_IS_LOOPBACK_PACKET, NDIS_NBL_FLAGS_RECV_READ_ONLY,
    NDIS_NBL_FLAGS_SEND_READ_ONLY, NDIS_PROTOCOL_ID_DEFAULT, NDIS_PROTOCOL_ID_IP6,
    NDIS_PROTOCOL_ID_TCP_IP, NetBufferListCancelId, NetBufferListFilteringInfo,
    NetBufferListFrameType, NetBufferListHashValue, NetBufferListProtocolId, NrtNameResolutionId,
};
use crate::abi::ndis::{NET_BUFFER, NET_BUFFER_LIST, NET_BUFFER_LIST_CONTEXT};
use crate::abi::nt::MDL;
use crate::driver;
use crate::ndis::adapter::{self, side};
use crate::nt::mdl;
use crate::rt::mem::BadAddress;
use crate::rt::pool::{self, Kind, Owner, Request};
use crate::rt::sched::{self, Reason};
use crate::watch::{self, OrFault};
use crate::{Direction, Frame};

/// Bytes that a split never falls into: the MAC header of a send (the sender's duty), the lookahead
/// of a receive (the miniport's).
const UNSPLIT_SEND: usize = 14;
const UNSPLIT_RECEIVE: usize = 128;
/// Cuts of a frame beyond the first, at most.
const MORE_CUTS: u64 = 3;
/// The longest unused space before a frame, and behind it.
const BACKFILL: u64 = 64;
const SLACK: u64 = 16;
/// The longest frame of which each byte may lie in an MDL of its own.
const SPLIT_BYTES: usize = 256;
/// One in so many frames: cut at every byte, with an empty MDL, with slack behind, with its headers
/// apart.
const SHREDDED: u64 = 100;
const WITH_EMPTY: u64 = 8;
const WITH_SLACK: u64 = 8;
const HEADER_SPLIT: u64 = 8;
/// The most context that a structure has from its owner, in units of 16 bytes.
const CONTEXT: u64 = 4;

/// What is being put together.
#[derive(Default)]
struct Parts {
    blocks: Vec<u64>,
    /// The rest of a block that small structures share: where it begins and ends.
    rest: (u64, u64),
    read_only: Vec<u64>,
    header: Option<u64>,
    unused: Option<u64>,
    empty_mdls: usize,
    shadow: Shadow,
}

impl Parts {
    /// Zeroed memory for a small structure, which shares a block with others of the same NET_BUFFER_LIST: they come and
    /// go together, and what is written into a neighbour is found when it comes home. The first one, the
    /// NET_BUFFER_LIST, ends where the guard begins.
    fn lend(&mut self, size: usize) -> u64 {
        const BLOCK: usize = 4096;
        const ALIGN: u64 = 16;
        let bytes = (size as u64).next_multiple_of(ALIGN);
        if self.rest.1 - self.rest.0 < bytes {
            let length = BLOCK.max(bytes as usize);
            let block = driver::lend(Lent::Packet, length);
            self.blocks.push(block);
            self.rest = (block, block + length as u64);
        }
        self.rest.1 -= bytes;
        self.rest.1
    }
}

/// What one NET_BUFFER_LIST is like.
#[derive(Clone, Copy)]
struct Shape {
    path: NblPath,
    is_read_only: bool,
    /// How many bytes of headers lie apart from the rest.
    header: Option<usize>,
}

/// A part of a frame, with the unused bytes before it and behind it in its MDL.
#[derive(Clone, Copy)]
struct Part<'a> {
    before: usize,
    bytes: &'a [u8],
    behind: usize,
}

/// Builds one structure with one NET_BUFFER per frame. The out-of-band data is the first frame's.
pub(crate) fn build(adapter: u32, frames: &[Frame], making: Making) -> u64 {
    let mut parts = Parts::default();
    let path = match frames.first().map(|frame| frame.direction) {
        Some(Direction::Receive) => NblPath::Receive,
        _ => NblPath::Send,
    };
    let marked = mark::is_on().then(|| frames.iter().map(mark::marked).collect::<Vec<_>>());
    let frames = marked.as_deref().unwrap_or(frames);
    let nbl = fill(&mut parts, path, frames, making).or_fault();
    // A stripped VLAN tag is on the wire.
    let wire_len =
        |frame: &Frame| frame.data.len() as u64 + if frame.vlan.is_some() { 4 } else { 0 };
    let record = Record {
        origin: None,
        adapter,
        path,
        making,
        packets: frames.len() as u64,
        bytes: frames.iter().map(wire_len).sum(),
        segments: frames
            .iter()
            .map(|frame| u64::from(frame.segments.max(1)))
            .sum(),
        shadow: parts.shadow,
        blocks: parts.blocks,
        read_only: parts.read_only,
        unused: parts.unused,
        header: parts.header,
        empty_mdls: parts.empty_mdls,
        is_header_gone: false,
        was_given: false,
        was_passed: false,
    };
    adapter::with_mut(adapter, |adapter| adapter.outstanding[side(path)] += 1);
    watch::note_parts(nbl, &record.blocks);
    RECORDS.with_borrow_mut(|records| records.insert(nbl, record));
    nbl
}

fn fill(
    parts: &mut Parts,
    path: NblPath,
    frames: &[Frame],
    making: Making,
) -> Result<u64, BadAddress> {
    use NET_BUFFER_LIST as N;
    let nbl = parts.lend(N::SIZE);
    let shape = Shape {
        path,
        is_read_only: sched::chance(1, 4),
        header: frames
            .first()
            .filter(|_| path == NblPath::Receive && sched::chance(1, HEADER_SPLIT))
            .and_then(|frame| offload::header_len(&frame.data)),
    };
    let mut next = 0;
    for frame in frames.iter().rev() {
        let nb = net_buffer(parts, shape, frame)?;
        NET_BUFFER::Next.write(nb, next)?;
        next = nb;
    }
    let mut nb = next;
    N::FirstNetBuffer.write(nbl, next)?;
    N::SourceHandle.write(nbl, making.source)?;
    N::NdisPoolHandle.write(nbl, making.source)?;
    let read_only = match path {
        NblPath::Send => NDIS_NBL_FLAGS_SEND_READ_ONLY,
        NblPath::Receive => NDIS_NBL_FLAGS_RECV_READ_ONLY,
    };
    let flag = |flag, is_set| if is_set { flag } else { 0 };
    let mut flags = flag(read_only, shape.is_read_only)
        | flag(NDIS_NBL_FLAGS_HD_SPLIT, shape.header.is_some())
        | flag(NDIS_NBL_FLAGS_IS_LOOPBACK_PACKET, making.is_loopback);
    if sched::chance(1, 4) {
        context(parts, nbl)?;
    }
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
        flags |= out_of_band(nbl, path, frame, making.cancel_id)?;
    }
    N::NblFlags.write(nbl, flags)?;
    parts.shadow.keep_nbl(nbl)?;
    while nb != 0 {
        parts.shadow.keep_nb(nb)?;
        nb = NET_BUFFER::Next.read(nb)?;
    }
    Ok(nbl)
}

/// Context of the owner's, with room for others or without.
fn context(parts: &mut Parts, nbl: u64) -> Result<(), BadAddress> {
    use NET_BUFFER_LIST_CONTEXT as C;
    let bytes = 16 * (1 + sched::random(CONTEXT)) as u16;
    let area = driver::rubbish(Lent::Packet, C::SIZE + usize::from(bytes));
    parts.blocks.push(area);
    C::Next.write(area, 0)?;
    C::Size.write(area, bytes)?;
    C::Offset.write(area, 8 * sched::random(u64::from(bytes / 8) + 1) as u16)?;
    NET_BUFFER_LIST::Context.write(nbl, area)?;
    parts.shadow.keep_context(area)
}

/// Fills the slots: what the frame needs is true, what it does not need is random. Gives the flags that belong to them.
fn out_of_band(nbl: u64, path: NblPath, frame: &Frame, cancel_id: u64) -> Result<u32, BadAddress> {
    for opaque in [NetBufferListHashValue, NetBufferListFilteringInfo] {
        set_slot(nbl, opaque, sched::random(u64::MAX))?;
    }
    // The filter must not look at it, so it serves as bits of chance.
    let zeal = Zeal((slot_value(nbl, NetBufferListFilteringInfo)? >> 32) as u32);
    let ether_type = frame.data.get(12..14).map_or(0, |bytes| {
        u64::from(u16::from_be_bytes([bytes[0], bytes[1]]))
    });
    let mut flags = 0;
    match path {
        NblPath::Send => {
            let protocol = match ether_type {
                0x0800 | 0x0806 => NDIS_PROTOCOL_ID_TCP_IP,
                0x86DD => NDIS_PROTOCOL_ID_IP6,
                _ => NDIS_PROTOCOL_ID_DEFAULT,
            };
            set_slot(nbl, NetBufferListCancelId, cancel_id)?;
            set_slot(nbl, NetBufferListProtocolId, protocol.into())?;
            set_slot(nbl, NrtNameResolutionId, sched::random(u64::MAX))?;
            if zeal.has_timestamp() {
                flags |= NDIS_NBL_FLAGS_CAPTURE_TIMESTAMP_ON_TRANSMIT;
            }
        }
        NblPath::Receive => {
            // In network byte order.
            set_slot(nbl, NetBufferListFrameType, ether_type.swap_bytes() >> 48)?;
            if zeal.has_timestamp() {
                set_slot(nbl, TIMESTAMP, answer::time())?;
            }
        }
    }
    for (index, value) in offload::slots(path, frame, zeal) {
        set_slot(nbl, index, value)?;
    }
    Ok(flags)
}

/// A NET_BUFFER for one frame, its bytes spread over one or more MDLs.
fn net_buffer(parts: &mut Parts, shape: Shape, frame: &Frame) -> Result<u64, BadAddress> {
    use NET_BUFFER as N;
    let nb = parts.lend(N::SIZE);
    let mut backfill = 0;
    if shape.header.is_none() && sched::chance(1, 2) {
        backfill = sched::random(BACKFILL) as usize;
    }
    // Sometimes the unused space is an MDL of its own, and the frame begins in the second.
    let is_apart = backfill > 0 && sched::chance(1, 3);
    let mut chain = 0;
    let mut mdls = Vec::new();
    let spread = spread(shape, &frame.data, backfill, is_apart);
    parts.empty_mdls += empty_between(&spread);
    for part in spread.into_iter().rev() {
        let mdl = mdl_of(parts, part, shape.is_read_only)?;
        MDL::Next.write(mdl, chain)?;
        chain = mdl;
        mdls.push(mdl);
    }
    // A sender's is there for headers; a receive has nothing to be put in front of.
    if is_apart && shape.path == NblPath::Receive {
        parts.unused = Some(mdl::address(chain)?);
    }
    if shape.header.is_some() {
        parts.header = Some(mdl::address(chain)?);
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

/// The parts of a frame, one for each MDL.
fn spread(shape: Shape, data: &[u8], backfill: usize, is_apart: bool) -> Vec<Part<'_>> {
    let part = |bytes| Part {
        before: 0,
        bytes,
        behind: 0,
    };
    let mut all: Vec<Part<'_>> = cut(shape, data).into_iter().map(part).collect();
    if sched::chance(1, WITH_SLACK)
        && let Some(last) = all.last_mut()
    {
        last.behind = sched::random(SLACK) as usize;
    }
    // The data may not begin in an MDL without bytes.
    if sched::chance(1, WITH_EMPTY) {
        let at = 1 + sched::random(all.len() as u64) as usize;
        all.insert(at, part(&[]));
    }
    if is_apart {
        all.insert(0, part(&[]));
    }
    if let Some(first) = all.first_mut() {
        first.before = backfill;
    }
    all
}

/// How many parts without a byte lie between those with some.
fn empty_between(parts: &[Part<'_>]) -> usize {
    let is_used = |part: &Part<'_>| !part.bytes.is_empty();
    let first = parts.iter().position(is_used).unwrap_or(0);
    let last = parts.iter().rposition(is_used).unwrap_or(0);
    let between = parts.get(first..last).unwrap_or_default();
    between.iter().filter(|part| !is_used(part)).count()
}

/// Cuts a frame where the documentation lets it be cut.
fn cut(shape: Shape, data: &[u8]) -> Vec<&[u8]> {
    let unsplit = match shape.path {
        NblPath::Send => UNSPLIT_SEND,
        NblPath::Receive => UNSPLIT_RECEIVE,
    };
    let mut cuts = Vec::new();
    if let Some(header) = shape.header {
        cuts.push(header);
    } else if data.len() <= SPLIT_BYTES && sched::chance(1, SHREDDED) {
        cuts.extend(unsplit..data.len());
    } else if data.len() > unsplit && sched::chance(1, 2) {
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
fn mdl_of(parts: &mut Parts, part: Part<'_>, is_read_only: bool) -> Result<u64, BadAddress> {
    let Part {
        before,
        bytes,
        behind,
    } = part;
    let length = before + bytes.len() + behind;
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
    let data = buffer + before as u64;
    driver::write(data, bytes);
    if is_read_only {
        parts.shadow.keep_data(data, bytes.len())?;
        // The unused space around a frame is not part of it.
        if length == bytes.len() {
            parts.read_only.push(buffer);
        }
    }
    let mdl = parts.lend(mdl::size(buffer, length as u64));
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
