//! The data of NET_BUFFERs: where it begins, how much of it there is, how it is reached and moved.

pub(super) mod retreat;

use crate::abi::constant::{
    MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED, MDL_SOURCE_IS_NONPAGED_POOL, NDIS_PROTOCOL_ID_MASK,
    NetBufferListProtocolId,
};
use crate::abi::ndis::{NET_BUFFER as B, NET_BUFFER_LIST};
use crate::abi::nt::MDL;
use crate::ndis::nbl;
use crate::nt::{SUCCESS, imports, mm};
use crate::rt::mem::{self, BadAddress};
use crate::rt::{Call, sched};
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisAdjustNetBufferCurrentMdl => adjust_current,
    NdisCopyFromNetBufferToNetBuffer => copy,
    NdisGeneratePartialCancelId => partial_cancel_id,
    NdisGetDataBuffer => data_buffer,
    NdisGetNetBufferListProtocolId => protocol_id,
    NdisQueryNetBufferPhysicalCount => physical_count,
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    retreat::reset();
}

/// More MDLs, or NET_BUFFERs, than any structure has.
const LIMIT: usize = 4096;
const PAGE: u64 = 4096;

/// Used data in one MDL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where it begins.
    pub(super) address: u64,
    /// Its bytes.
    pub(super) length: u32,
    /// What the MDL says of its memory.
    pub(super) flags: u32,
}

/// The NET_BUFFERs of a list.
pub(super) fn buffers(nbl: u64) -> Result<Vec<u64>, BadAddress> {
    let mut all = Vec::new();
    let mut nb = NET_BUFFER_LIST::FirstNetBuffer.read(nbl)?;
    while nb != 0 && all.len() < LIMIT {
        all.push(nb);
        nb = B::Next.read(nb)?;
    }
    Ok(all)
}

/// Finds the MDL with the first used byte, by `DataOffset`.
pub(super) fn adjust(nb: u64) -> Result<(), BadAddress> {
    let mut current = B::MdlChain.read(nb)?;
    let mut rest = B::DataOffset.read(nb)?;
    while current != 0 {
        let bytes = MDL::ByteCount.read(current)?;
        if rest < bytes {
            break;
        }
        rest -= bytes;
        current = MDL::Next.read(current)?;
    }
    B::CurrentMdl.write(nb, current)?;
    B::CurrentMdlOffset.write(nb, rest)
}

/// Memory of a NET_BUFFER from its current place on, `length` bytes of it at most.
fn pieces_within(nb: u64, mut length: u64) -> Result<Vec<Piece>, BadAddress> {
    const SPEAKS_OF_MEMORY: u32 =
        MDL_MAPPED_TO_SYSTEM_VA | MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL;
    let mut all = Vec::new();
    let mut current = B::CurrentMdl.read(nb)?;
    let mut offset = B::CurrentMdlOffset.read(nb)?;
    for _ in 0..LIMIT {
        if current == 0 || length == 0 {
            break;
        }
        let room = MDL::ByteCount.read(current)?.saturating_sub(offset);
        let bytes = room.min(u32::try_from(length).unwrap_or(u32::MAX));
        if bytes > 0 {
            all.push(Piece {
                address: mm::data_address(current)?.wrapping_add(offset.into()),
                length: bytes,
                flags: u32::from(MDL::MdlFlags.read(current)?.cast_unsigned()) & SPEAKS_OF_MEMORY,
            });
        }
        length -= u64::from(bytes);
        offset = 0;
        current = MDL::Next.read(current)?;
    }
    Ok(all)
}

/// The used data of a NET_BUFFER.
pub(super) fn pieces(nb: u64) -> Result<Vec<Piece>, BadAddress> {
    pieces_within(nb, B::DataLength.read(nb)?.into())
}

/// The bytes of the used data of a NET_BUFFER.
pub(super) fn frame(nb: u64) -> Result<Vec<u8>, BadAddress> {
    let mut bytes = Vec::new();
    for piece in pieces(nb)? {
        let start = bytes.len();
        bytes.resize(start.saturating_add(piece.length as usize), 0);
        mem::read_into(piece.address, &mut bytes[start..])?;
    }
    Ok(bytes)
}

/// Takes the first `most` bytes.
pub(super) fn take(pieces: &mut Vec<Piece>, most: u32) -> Vec<Piece> {
    let mut rest = skip(pieces.clone(), most);
    let mut left = most;
    let mut first = Vec::new();
    for piece in pieces.iter() {
        let length = piece.length.min(left);
        if length > 0 {
            first.push(Piece { length, ..*piece });
        }
        left -= length;
    }
    std::mem::swap(pieces, &mut rest);
    first
}

/// What is behind the first `bytes`.
pub(super) fn skip(pieces: Vec<Piece>, mut bytes: u32) -> Vec<Piece> {
    let mut rest = Vec::new();
    for piece in pieces {
        let gone = piece.length.min(bytes);
        bytes -= gone;
        if piece.length > gone {
            rest.push(Piece {
                address: piece.address.wrapping_add(gone.into()),
                length: piece.length - gone,
                ..piece
            });
        }
    }
    rest
}

fn adjust_current(call: &Call<'_>) -> u64 {
    adjust(call.arg(0)).or_fault();
    0
}

/// Contiguous data is given where it lies, if it is aligned as wanted; else a copy of it.
fn data_buffer(call: &Call<'_>) -> u64 {
    let (nb, needed, storage) = (call.arg(0), call.arg_u32(1), call.arg(2));
    let (multiple, offset) = (
        u64::from(call.arg_u32(3)).max(1),
        u64::from(call.arg_u32(4)),
    );
    if B::DataLength.read(nb).or_fault() < needed {
        return 0;
    }
    let pieces = take(&mut pieces(nb).or_fault(), needed);
    let is_aligned = |address: u64| address % multiple == offset % multiple;
    match pieces.as_slice() {
        [] => return storage,
        [only] if is_aligned(only.address) => {
            map(nb).or_fault();
            return only.address;
        }
        _ => {}
    }
    if storage == 0 {
        return 0;
    }
    let mut at = storage;
    for piece in pieces {
        let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
        mem::copy(at, piece.address, length).or_fault();
        at = at.wrapping_add(piece.length.into());
    }
    storage
}

/// Maps the current MDL, as what reads it has done.
fn map(nb: u64) -> Result<(), BadAddress> {
    let current = B::CurrentMdl.read(nb)?;
    let flags = MDL::MdlFlags.read(current)?.cast_unsigned();
    if u32::from(flags) & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) == 0 {
        mm::system_address(current)?;
    }
    Ok(())
}

/// Copies until source or destination has no more. What the destination's members say of used data
/// does not matter: its caller sets them afterwards.
fn copy(call: &Call<'_>) -> u64 {
    let (destination, to, bytes) = (call.arg(0), call.arg_u32(1), call.arg_u32(2));
    let (source, from, copied) = (call.arg(3), call.arg_u32(4), call.arg(5));
    let mut source = take(&mut skip(pieces(source).or_fault(), from), bytes);
    let mut room = skip(pieces_within(destination, u64::MAX).or_fault(), to);
    let mut done = 0_u32;
    while let (Some(read), Some(write)) = (source.first(), room.first()) {
        let length = read.length.min(write.length);
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        mem::copy(write.address, read.address, bytes).or_fault();
        done += length;
        (source, room) = (skip(source, length), skip(room, length));
    }
    mem::write(copied, done).or_fault();
    SUCCESS
}

/// Pages that the MDLs with used data touch.
fn physical_count(call: &Call<'_>) -> u64 {
    let pages = |piece: &Piece| (piece.address % PAGE + u64::from(piece.length)).div_ceil(PAGE);
    pieces(call.arg(0)).or_fault().iter().map(pages).sum()
}

fn protocol_id(call: &Call<'_>) -> u64 {
    nbl::slot_value(call.arg(0), NetBufferListProtocolId).or_fault()
        & u64::from(NDIS_PROTOCOL_ID_MASK)
}

/// The high byte of the driver's cancel ids.
fn partial_cancel_id(_: &Call<'_>) -> u64 {
    1 + sched::random(0xFF)
}

#[cfg(test)]
mod tests {
    use super::{Piece, skip, take};

    fn piece(address: u64, length: u32) -> Piece {
        Piece {
            address,
            length,
            flags: 0,
        }
    }

    #[test]
    fn pieces_are_divided_at_any_byte() {
        let all = vec![piece(100, 3), piece(200, 5)];
        for (bytes, first, rest) in [
            (0, vec![], all.clone()),
            (2, vec![piece(100, 2)], vec![piece(102, 1), piece(200, 5)]),
            (3, vec![piece(100, 3)], vec![piece(200, 5)]),
            (4, vec![piece(100, 3), piece(200, 1)], vec![piece(201, 4)]),
            (9, all.clone(), vec![]),
        ] {
            assert_eq!(skip(all.clone(), bytes), rest);
            let mut left = all.clone();
            assert_eq!(take(&mut left, bytes), first);
            assert_eq!(left, rest);
        }
    }
}
