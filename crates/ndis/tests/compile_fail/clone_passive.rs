// error[E0277]: there is one token for an activation.
// says: the trait bound `Passive: Clone` is not satisfied

use ndis::irql::Passive;

pub fn two(irql: &mut Passive) -> Passive {
    Passive::clone(irql)
}
