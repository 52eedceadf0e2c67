// error[E0500, E0501]: no request goes down under a lock, not even one that is answered at once.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::filter::{Attached, FilterModule};
use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;
use ndis::oid::{Ask, Oid};

pub fn ask<M: FilterModule>(
    module: &Attached<'_, M>,
    lock: &SpinLock<[u8; 6]>,
    irql: &mut AtMostDispatch,
) {
    lock.with(irql, |address, _| {
        let ask = Ask::query(Oid::ETHERNET_CURRENT_ADDRESS, address);
        let _ = module.ask_synchronous_oid(ask, irql);
    });
}
