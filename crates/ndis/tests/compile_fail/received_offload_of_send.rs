// error[E0599]: what stands beside a received list is not there beside a send: the same slots hold something else.

use ndis::nbl::{CoalescedTcp, NblBatch, Tx};

pub fn send(packets: &NblBatch<'_, Tx>) -> Option<CoalescedTcp> {
    packets.iter().next()?.coalesced_tcp()
}
