// error[E0599]: only a running module has clones.
// says: no method named `clone_in_place` found for reference `&ndis::filter::Attached<'_, M>`

use ndis::filter::{Attached, OriginatePath};
use ndis::irql::AtMostDispatch;
use ndis::nbl::{NblBatch, Tx};

pub fn send<M: OriginatePath>(
    module: &Attached<'_, M>,
    packets: NblBatch<'_, Tx>,
    irql: &mut AtMostDispatch,
) {
    module.clone_in_place(packets, |_| true, irql).forward(irql);
}
