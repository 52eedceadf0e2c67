// error[E0382]: what has been cloned is in its clones' hands.
// says: use of moved value: `packets`

use ndis::filter::{OriginatePath, Running};
use ndis::irql::AtMostDispatch;
use ndis::nbl::{NblBatch, Tx};

pub fn send<M: OriginatePath>(
    module: &Running<'_, M>,
    packets: NblBatch<'_, Tx>,
    irql: &mut AtMostDispatch,
) {
    module.clone_in_place(packets, |_| true, irql).forward(irql);
    packets.forward(irql);
}
