// error[E0500, E0501]: a lock's closure has borrowed the token that calling NDIS wants.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;
use ndis::nbl::{NblBatch, Tx};

pub fn send(lock: &SpinLock<u32>, packets: NblBatch<'_, Tx>, irql: &mut AtMostDispatch) {
    lock.with(irql, |_, _| packets.forward(irql));
}
