// error[E0500, E0501]: allocating a timer calls NDIS, and a lock's closure has borrowed the token for that.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::filter::{Attaching, FilterModule};
use ndis::irql::Passive;
use ndis::lock::SpinLock;
use ndis::timer::Routine;

pub fn allocate<M: FilterModule>(
    lock: &SpinLock<u32>,
    attaching: &mut Attaching<'_, M>,
    routine: Routine<M>,
    irql: &mut Passive,
) {
    lock.with(irql, |_, _| {
        let _ = attaching.timer(routine, irql);
    });
}
