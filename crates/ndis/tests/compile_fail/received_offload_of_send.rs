// error[E0599]: what stands beside a received list is not there beside a send: the same slots hold something else.
// says: no method named `coalesced_tcp` found for struct `Nbl<'_, Tx>`

use ndis::nbl::{CoalescedTcp, NblBatch, Tx};

pub fn send(packets: &NblBatch<'_, Tx>) -> Option<CoalescedTcp> {
    packets.iter().next()?.coalesced_tcp()
}
