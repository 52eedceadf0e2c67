// error[E0277]: what a lock hands out is no token to call NDIS with.
// says: NDIS cannot be called with `Dispatch<'_>`
// says: a lock's closure has borrowed the callback's token: leave the closure first

use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;
use ndis::nbl::{NblBatch, Tx};

pub fn send(lock: &SpinLock<u32>, packets: NblBatch<'_, Tx>, irql: &mut AtMostDispatch) {
    lock.with(irql, |_, mut dispatch| packets.forward(&mut dispatch));
}
