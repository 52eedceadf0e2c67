// error[E0308]: who asks waits for the answer, which a callback of the datapath cannot.
// says: expected `&mut Passive`, found `&mut AtMostDispatch`

use ndis::filter::Running;
use ndis::irql::AtMostDispatch;
use ndis::oid::{Ask, Oid, OidPath};

pub fn ask<M: OidPath>(module: &Running<'_, M>, irql: &mut AtMostDispatch) {
    let mut address = [0; 6];
    let _ = module.ask_oid(Ask::query(Oid::ETHERNET_CURRENT_ADDRESS, &mut address), irql);
}
