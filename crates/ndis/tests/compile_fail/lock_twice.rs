// error[E0500, E0501]: a lock's closure has borrowed the token that taking a lock wants.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::irql::Passive;
use ndis::lock::SpinLock;

pub fn twice(lock: &SpinLock<u32>, irql: &mut Passive) {
    lock.with(irql, |_, _| lock.with(irql, |_, _| ()));
}
