// error[E0599]: what stands beside a send is not there beside a received list: the same slots hold something else.

use ndis::nbl::{LargeSend, NblBatch, Rx};

pub fn receive(packets: &NblBatch<'_, Rx>) -> Option<LargeSend> {
    packets.iter().next()?.large_send()
}
