//! What leaves the driver for others to read, looked through for bytes that were never written.

use lab_rules::Kind;
use lab_rules::event::{Exposure, NblCall, PoolEvent};

use super::data_space;
use crate::rt::mem::BadAddress;
use crate::rt::pool::poison::{self, Poison};
use crate::watch::emit;

/// Looks through the data of lists that the driver sends or indicates.
pub(super) fn check_frames(nbls: &[u64], call: NblCall) {
    for nbl in nbls {
        // What leads nowhere is an event of its own.
        if let Ok(Some((offset, poison))) = in_list(*nbl) {
            let frame = Exposure::Frame { nbl: *nbl, call };
            emit(event(frame, offset, poison));
        }
    }
}

/// The first poison in a list, and where its NET_BUFFER's data was up to there.
fn in_list(nbl: u64) -> Result<Option<(u64, Poison)>, BadAddress> {
    for nb in data_space::buffers(nbl)? {
        let mut offset = 0;
        for piece in data_space::pieces(nb)? {
            let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
            if let Some(poison) = poison::anywhere(piece.address, length)? {
                return Ok(Some((offset, poison)));
            }
            offset += u64::from(piece.length);
        }
    }
    Ok(None)
}

/// Looks through what the driver returns to who asked it: the event if there is something.
pub(crate) fn in_answer(exposure: Exposure, address: u64, length: usize) -> Option<Kind> {
    let poison = poison::in_place(address, length).ok()??;
    Some(event(exposure, 0, poison))
}

fn event(exposure: Exposure, offset: u64, poison: Poison) -> Kind {
    let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Kind::Pool(PoolEvent::Exposed {
        block: poison.block.address,
        size: bytes(poison.block.size),
        tag: poison.block.tag,
        exposure,
        offset: offset + bytes(poison.at),
        length: bytes(poison.length),
    })
}
