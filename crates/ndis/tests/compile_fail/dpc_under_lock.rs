// error[E0500, E0501]: a lock's closure has borrowed the token that queueing a DPC wants.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::dpc::Dpc;
use ndis::filter::FilterModule;
use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;

pub fn queue<M: FilterModule>(lock: &SpinLock<u32>, dpc: &Dpc<M>, irql: &mut AtMostDispatch) {
    lock.with(irql, |_, _| {
        let _ = dpc.queue(irql);
    });
}
