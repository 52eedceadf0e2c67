// error[E0277]: there is one token for an activation.

use ndis::irql::Passive;

pub fn two(irql: &mut Passive) -> Passive {
    Passive::clone(irql)
}
