// error[E0500, E0501]: making an event calls NDIS, and a lock's closure has borrowed the token for that.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::event::Event;
use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;
use ndis::mem::Tag;

pub fn make(lock: &SpinLock<u32>, irql: &mut AtMostDispatch) {
    lock.with(irql, |_, _| {
        let _ = Event::try_new(Tag::new(*b"Test"), irql);
    });
}
