// error[E0500, E0501]: NDIS cannot be called under a lock, and an own packet goes to NDIS.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::filter::{OriginatePath, Running};
use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;
use ndis::nbl::Rx;

pub fn originate<M: OriginatePath>(
    module: &Running<'_, M>,
    lock: &SpinLock<u32>,
    irql: &mut AtMostDispatch,
) {
    lock.with(irql, |_, _| {
        let _ = module.originate::<Rx>(&[0; 60], 0, irql);
    });
}
