// error[E0505]: packets cannot be looked at when they have been forwarded.
// says: cannot move out of `packets` because it is borrowed

use ndis::irql::AtMostDispatch;
use ndis::nbl::{NblBatch, Tx};

pub fn send(packets: NblBatch<'_, Tx>, irql: &mut AtMostDispatch) -> usize {
    let lists = packets.iter();
    packets.forward(irql);
    lists.count()
}
