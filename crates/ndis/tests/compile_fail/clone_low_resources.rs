// error[E0308]: what NDIS takes back by itself cannot have clones, which may come back later.
// says: expected `NblBatch<'_, Rx>`, found `LowResources<'_>`

use ndis::filter::{OriginatePath, Running};
use ndis::irql::AtMostDispatch;
use ndis::nbl::{LowResources, Rx};

pub fn receive<M: OriginatePath>(
    module: &Running<'_, M>,
    packets: LowResources<'_>,
    irql: &mut AtMostDispatch,
) {
    module.clone_in_place::<Rx>(packets, |_| true, irql).forward(irql);
}
