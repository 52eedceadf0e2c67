// error[E0599]: received packets are returned, not completed.

use ndis::Status;
use ndis::irql::AtMostDispatch;
use ndis::nbl::{NblBatch, Rx};

pub fn receive(packets: NblBatch<'_, Rx>, irql: &mut AtMostDispatch) {
    packets.complete(Status::SUCCESS, irql);
}
