// error[E0277]: an IRQL belongs to the processor that runs at it.
// says: OfThisProcessor` cannot be sent between threads safely
// says: required because it appears within the type `Passive`

use ndis::irql::Passive;

fn to_another_thread<T: Send>(_: T) {}

pub fn give(irql: &mut Passive) {
    to_another_thread(irql);
}
