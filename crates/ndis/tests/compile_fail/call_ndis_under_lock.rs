// error[E0500, E0501]: a lock's closure has borrowed the token that calling NDIS wants.

use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;
use ndis::nbl::{NblBatch, Tx};

pub fn send(lock: &SpinLock<u32>, packets: NblBatch<'_, Tx>, irql: &mut AtMostDispatch) {
    lock.with(irql, |_, _| packets.forward(irql));
}
