// error[E0451]: tokens are made in thunks only.
// says: field `_here` of struct `Passive` is private

use core::marker::PhantomData;

use ndis::irql::Passive;

pub fn forge() -> Passive {
    Passive { _here: PhantomData }
}
