// error[E0599]: answers come through handlers, which only a filter with `OidPath` has.

use ndis::filter::{Attached, FilterModule};
use ndis::irql::Passive;
use ndis::oid::{Ask, Oid};

pub fn ask<M: FilterModule>(module: &Attached<'_, M>, irql: &mut Passive) {
    let mut address = [0; 6];
    let _ = module.ask_oid(Ask::query(Oid::ETHERNET_CURRENT_ADDRESS, &mut address), irql);
}
