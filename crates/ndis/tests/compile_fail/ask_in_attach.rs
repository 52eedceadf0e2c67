// error[E0599]: a module that is being attached sends no requests.
// says: no method named `ask_oid` found for mutable reference `&mut ndis::filter::Attaching<'_, M>`

use ndis::filter::Attaching;
use ndis::irql::Passive;
use ndis::oid::{Ask, Oid, OidPath};

pub fn ask<M: OidPath>(module: &mut Attaching<'_, M>, irql: &mut Passive) {
    let mut address = [0; 6];
    let _ = module.ask_oid(Ask::query(Oid::ETHERNET_CURRENT_ADDRESS, &mut address), irql);
}
