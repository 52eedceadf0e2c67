// error[E0599]: answers come through handlers, which only a filter with `OidPath` has.
// says: the method `ask_oid` exists for reference `&ndis::filter::Attached<'_, M>`, but its trait bounds were not satisfied
// says: `M: OidPath`

use ndis::filter::{Attached, FilterModule};
use ndis::irql::Passive;
use ndis::oid::{Ask, Oid};

pub fn ask<M: FilterModule>(module: &Attached<'_, M>, irql: &mut Passive) {
    let mut address = [0; 6];
    let _ = module.ask_oid(Ask::query(Oid::ETHERNET_CURRENT_ADDRESS, &mut address), irql);
}
