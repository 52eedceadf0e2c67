// error[E0500, E0501]: the end of `while_running` may wake pause, through NDIS, and a lock's closure has borrowed the
// token for that.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::filter::{Attached, FilterModule};
use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;

pub fn run<M: FilterModule>(
    lock: &SpinLock<u32>,
    module: &Attached<'_, M>,
    irql: &mut AtMostDispatch,
) {
    lock.with(irql, |_, _| {
        let _ = module.while_running(irql, |running, _| running.parameters().if_index);
    });
}
