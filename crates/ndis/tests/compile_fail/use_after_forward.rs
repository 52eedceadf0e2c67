// error[E0382]: a batch that was forwarded is gone.
// says: use of moved value: `packets`
// says: `packets` moved due to this method call

use ndis::Status;
use ndis::irql::AtMostDispatch;
use ndis::nbl::{NblBatch, Tx};

pub fn send(packets: NblBatch<'_, Tx>, irql: &mut AtMostDispatch) {
    packets.forward(irql);
    packets.complete(Status::SUCCESS, irql);
}
