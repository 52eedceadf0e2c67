// error[E0599]: what stands beside a send is not there beside a received list: the same slots hold something else.
// says: no method named `large_send` found for struct `Nbl<'_, Rx>`

use ndis::nbl::{LargeSend, NblBatch, Rx};

pub fn receive(packets: &NblBatch<'_, Rx>) -> Option<LargeSend> {
    packets.iter().next()?.large_send()
}
