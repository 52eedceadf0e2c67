// error[E0308]: a module that is not running sends nothing of its own.
// says: expected `&Running<'_, _>`, found `&Attached<'_, M>`

use ndis::filter::{Attached, OriginatePath, Running};
use ndis::irql::AtMostDispatch;
use ndis::nbl::Tx;

pub fn originate<M: OriginatePath>(module: &Attached<'_, M>, irql: &mut AtMostDispatch) {
    let _ = Running::originate::<Tx>(module, &[0; 60], 0, irql);
}
