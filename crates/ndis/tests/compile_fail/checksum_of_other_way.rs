// error[E0308]: the checksum bits of a send ask, those of a received list answer: two types.

use ndis::nbl::{NblBatch, ReceiveChecksum, Tx};

pub fn send(packets: &NblBatch<'_, Tx>) -> Option<ReceiveChecksum> {
    packets.iter().next()?.checksum()
}
