// error[E0271]: a filter sends by the direct interface only what that supports.
// says: type mismatch resolving `<Direct as Interface>::Oid == Oid`

use ndis::filter::Attached;
use ndis::irql::Passive;
use ndis::oid::{Ask, DirectOidPath, Oid};

pub fn ask<M: DirectOidPath>(module: &Attached<'_, M>, irql: &mut Passive) {
    let _ = module.ask_direct_oid(Ask::set(Oid::GEN_CURRENT_PACKET_FILTER, &[0; 4]), irql);
}
