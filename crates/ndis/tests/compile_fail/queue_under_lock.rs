// error[E0500, E0501]: queueing a work item calls NDIS, and a lock's closure has borrowed the token for that.

use ndis::filter::FilterModule;
use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;
use ndis::work::WorkItem;

pub fn queue<M: FilterModule>(lock: &SpinLock<u32>, item: &WorkItem<M>, irql: &mut AtMostDispatch) {
    lock.with(irql, |_, _| {
        let _ = item.queue(irql);
    });
}
