// error[E0499]: one turn has to be dealt with before the next, so that the order is kept.
// says: cannot borrow `*release` as mutable more than once at a time

use ndis::irql::AtMostDispatch;
use ndis::nbl::{Release, Tx};

pub fn reorder(release: &mut Release<'_, Tx>, irql: &mut AtMostDispatch) {
    let first = release.next(1, irql);
    let second = release.next(1, irql);
    if let (Some(first), Some(second)) = (first, second) {
        second.packets.forward(irql);
        first.packets.forward(irql);
    }
}
