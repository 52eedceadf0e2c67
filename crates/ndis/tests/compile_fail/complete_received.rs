// error[E0599]: received packets are returned, not completed.
// says: no method named `complete` found for struct `NblBatch<'_, Rx>`

use ndis::Status;
use ndis::irql::AtMostDispatch;
use ndis::nbl::{NblBatch, Rx};

pub fn receive(packets: NblBatch<'_, Rx>, irql: &mut AtMostDispatch) {
    packets.complete(Status::SUCCESS, irql);
}
