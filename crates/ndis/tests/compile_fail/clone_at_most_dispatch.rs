// error[E0277]: there is one token for an activation.

use ndis::irql::AtMostDispatch;

pub fn two(irql: &mut AtMostDispatch) -> AtMostDispatch {
    AtMostDispatch::clone(irql)
}
