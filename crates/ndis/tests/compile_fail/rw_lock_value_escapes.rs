// error: the value is lent for as long as the lock is held.
// says: lifetime may not live long enough
// says: has type `&'1 u32`

use ndis::irql::Passive;
use ndis::lock::RwLock;

pub fn keep<'a>(lock: &'a RwLock<u32>, irql: &mut Passive) -> &'a u32 {
    lock.read(irql, |value, _| value)
}
