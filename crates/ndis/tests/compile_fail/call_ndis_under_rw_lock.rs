// error[E0500, E0501]: a lock's closure has borrowed the token that calling NDIS wants, whichever way the lock is held.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::irql::AtMostDispatch;
use ndis::lock::RwLock;
use ndis::nbl::{NblBatch, Tx};

pub fn forward(lock: &RwLock<u32>, packets: NblBatch<'_, Tx>, irql: &mut AtMostDispatch) {
    lock.read(irql, |_, _| packets.forward(irql));
}
