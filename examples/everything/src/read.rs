//! Reading a packet in parts, which has to say the same as reading it at once.

use ndis::counter::Counter;
use ndis::nbl::{Direction, Nbl, Packet, Unreadable};

/// Bytes of a packet that are looked at, at most.
const MOST: usize = 256;
/// Bytes of one part.
const PART: usize = 8;
/// How far apart parts begin: they begin and end in all places of the pieces that a packet lies in.
const STEP: u32 = 11;

/// How often that was so.
#[derive(Default)]
pub(crate) struct Reading {
    /// Lists so far.
    lists: Counter,
    /// Packets that were read.
    pub(crate) packets: Counter,
    /// Those of which a part was something else.
    pub(crate) misread: Counter,
}

impl Reading {
    /// Reads the packets of a list, of every fourth one.
    pub(crate) fn look<D: Direction>(&self, list: &Nbl<'_, D>) {
        let turn = self.lists.value();
        self.lists.add(1);
        if !turn.is_multiple_of(4) {
            return;
        }
        for packet in list.packets() {
            // What cannot be mapped cannot be read: there is no address space.
            if let Ok(is_same) = is_same(&packet) {
                self.packets.add(1);
                self.misread.add((!is_same).into());
            }
        }
    }
}

/// Whether each part says the same as the whole, and nothing can be read behind the end.
fn is_same(packet: &Packet<'_>) -> Result<bool, Unreadable> {
    let mut whole = [0; MOST];
    let length = packet.copy_to(0, &mut whole)?;
    let whole = whole.get(..length).unwrap_or_default();
    let mut is_same = true;
    for offset in (0..packet.len()).step_by(STEP as usize) {
        let Some(expected) = whole.get(offset as usize..) else {
            break;
        };
        let mut part = [0; PART];
        let count = packet.copy_to(offset, &mut part)?;
        // The whole may end before the packet does.
        is_same &= part
            .iter()
            .take(count)
            .zip(expected)
            .all(|(part, expected)| part == expected);
        is_same &= count == PART.min(packet.len().saturating_sub(offset) as usize);
    }
    let behind = packet.len().saturating_add(1);
    is_same &= packet.copy_to(behind, &mut [0; PART]) == Err(Unreadable::TooShort);
    is_same &= packet.copy_to(packet.len(), &mut [0; PART])? == 0;
    Ok(is_same)
}
