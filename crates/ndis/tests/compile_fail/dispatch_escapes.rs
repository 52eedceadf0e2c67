// error: what a lock hands out does not outlive the lock.
// says: lifetime may not live long enough
// says: has type `Dispatch<'1>`

use ndis::irql::{Dispatch, Passive};
use ndis::lock::SpinLock;

pub fn escape<'a>(lock: &'a SpinLock<u32>, irql: &'a mut Passive) -> Dispatch<'a> {
    lock.with(irql, |_, dispatch| dispatch)
}
