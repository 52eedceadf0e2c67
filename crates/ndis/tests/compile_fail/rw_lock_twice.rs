// error[E0500, E0501]: the closure that reads has borrowed the token that writing wants: no lock turns from one into the other.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::irql::Passive;
use ndis::lock::RwLock;

pub fn twice(lock: &RwLock<u32>, irql: &mut Passive) {
    lock.read(irql, |_, _| lock.write(irql, |_, _| ()));
}
