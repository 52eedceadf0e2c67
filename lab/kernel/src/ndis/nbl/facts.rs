//! What a structure looks like inside, for the monitors.

use lab_rules::event::NblFacts;

use super::slot_value;
use crate::abi::constant::{NetBufferListCancelId, TcpLargeSendNetBufferListInfo};
use crate::abi::ndis::{NET_BUFFER, NET_BUFFER_LIST};
use crate::abi::nt::MDL;
use crate::nt::mm;
use crate::rt::mem::{self, BadAddress};

/// More MDLs, or NET_BUFFERs, than any structure has.
const LIMIT: u32 = 4096;
/// Addresses and EtherType.
const HEADER: usize = 14;

/// One NET_BUFFER.
struct Buffer {
    data_len: u32,
    first_span: u32,
    is_inconsistent: bool,
    /// The Ethernet header, where it lies in one MDL.
    header: Option<Vec<u8>>,
}

/// Reads a structure.
pub(super) fn read(nbl: u64) -> Result<NblFacts, BadAddress> {
    let slot = |index| slot_value(nbl, index);
    let mut facts = NblFacts {
        is_large_send: slot(TcpLargeSendNetBufferListInfo)? != 0,
        cancel_id: slot(NetBufferListCancelId)?,
        ..NblFacts::default()
    };
    let mut header = None;
    let mut nb = NET_BUFFER_LIST::FirstNetBuffer.read(nbl)?;
    while nb != 0 && facts.buffers < LIMIT {
        let buffer = buffer(nb)?;
        if facts.buffers == 0 {
            (facts.data_len, facts.first_span) = (buffer.data_len, buffer.first_span);
            header = buffer.header;
        } else if let (Some(first), Some(this)) = (&header, &buffer.header) {
            facts.is_mixed |= first != this;
        }
        facts.is_inconsistent |= buffer.is_inconsistent;
        facts.buffers += 1;
        nb = NET_BUFFER::Next.read(nb)?;
    }
    Ok(facts)
}

fn buffer(nb: u64) -> Result<Buffer, BadAddress> {
    use NET_BUFFER as N;
    let data_len = N::DataLength.read(nb)?;
    let data_offset = u64::from(N::DataOffset.read(nb)?);
    let (current, offset) = (N::CurrentMdl.read(nb)?, N::CurrentMdlOffset.read(nb)?);
    let (mut total, mut before) = (0_u64, None);
    let mut mdl = N::MdlChain.read(nb)?;
    for _ in 0..LIMIT {
        if mdl == 0 {
            break;
        }
        if mdl == current {
            before = Some(total);
        }
        total += u64::from(MDL::ByteCount.read(mdl)?);
        mdl = MDL::Next.read(mdl)?;
    }
    // Without data there may be no current MDL.
    let is_placed = before.map_or(data_len == 0, |before| {
        before + u64::from(offset) == data_offset
    });
    let (mut first_span, mut header) = (0, None);
    if current != 0 {
        first_span = MDL::ByteCount
            .read(current)?
            .saturating_sub(offset)
            .min(data_len);
        if usize::try_from(first_span).is_ok_and(|span| span >= HEADER) {
            let start = mm::data_address(current)? + u64::from(offset);
            header = mem::read_bytes(start, HEADER).ok();
        }
    }
    Ok(Buffer {
        data_len,
        first_span,
        is_inconsistent: !is_placed || data_offset + u64::from(data_len) > total,
        header,
    })
}
