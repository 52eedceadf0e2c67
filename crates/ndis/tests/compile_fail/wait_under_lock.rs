// error[E0500, E0501]: a lock's closure has borrowed the token that waiting wants.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::event::Event;
use ndis::irql::Passive;
use ndis::lock::SpinLock;

pub fn wait(lock: &SpinLock<u32>, event: &Event, irql: &mut Passive) {
    lock.with(irql, |_, _| event.wait(irql));
}
