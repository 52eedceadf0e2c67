// error[E0500, E0501]: a lock's closure has borrowed the token that waiting wants.

use ndis::event::Event;
use ndis::irql::Passive;
use ndis::lock::SpinLock;

pub fn wait(lock: &SpinLock<u32>, event: &Event, irql: &mut Passive) {
    lock.with(irql, |_, _| event.wait(irql));
}
