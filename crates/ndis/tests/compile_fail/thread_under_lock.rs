// error[E0500, E0501]: a lock's closure has borrowed the token that waking a thread wants.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::filter::FilterModule;
use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;
use ndis::thread::SystemThread;

pub fn call<M: FilterModule>(
    lock: &SpinLock<u32>,
    thread: &SystemThread<M>,
    irql: &mut AtMostDispatch,
) {
    lock.with(irql, |_, _| thread.call(irql));
}
