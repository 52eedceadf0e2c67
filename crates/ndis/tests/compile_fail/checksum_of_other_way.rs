// error[E0308]: the checksum bits of a send ask, those of a received list answer: two types.
// says: expected `Option<ReceiveChecksum>`, found `Option<SendChecksum>`

use ndis::nbl::{NblBatch, ReceiveChecksum, Tx};

pub fn send(packets: &NblBatch<'_, Tx>) -> Option<ReceiveChecksum> {
    packets.iter().next()?.checksum()
}
