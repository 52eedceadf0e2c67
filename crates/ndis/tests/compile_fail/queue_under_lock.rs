// error[E0500, E0501]: queueing a work item calls NDIS, and a lock's closure has borrowed the token for that.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::filter::FilterModule;
use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;
use ndis::work::WorkItem;

pub fn queue<M: FilterModule>(lock: &SpinLock<u32>, item: &WorkItem<M>, irql: &mut AtMostDispatch) {
    lock.with(irql, |_, _| {
        let _ = item.queue(irql);
    });
}
