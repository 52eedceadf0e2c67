// error[E0500, E0501]: nobody waits for an answer under a lock.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::filter::Attached;
use ndis::irql::Passive;
use ndis::lock::SpinLock;
use ndis::oid::{Ask, Oid, OidPath};

pub fn ask<M: OidPath>(module: &Attached<'_, M>, lock: &SpinLock<[u8; 6]>, irql: &mut Passive) {
    lock.with(irql, |address, _| {
        let _ = module.ask_oid(Ask::query(Oid::ETHERNET_CURRENT_ADDRESS, address), irql);
    });
}
