// error[E0277]: there is one token for an activation.
// says: the trait bound `AtMostDispatch: Clone` is not satisfied

use ndis::irql::AtMostDispatch;

pub fn two(irql: &mut AtMostDispatch) -> AtMostDispatch {
    AtMostDispatch::clone(irql)
}
