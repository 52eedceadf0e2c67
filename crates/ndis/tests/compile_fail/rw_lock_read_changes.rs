// error[E0594]: what is held for reading is not written.
// says: cannot assign to `*value`, which is behind a `&` reference

use ndis::irql::Passive;
use ndis::lock::RwLock;

pub fn change(lock: &RwLock<u32>, irql: &mut Passive) {
    lock.read(irql, |value, _| *value = 1);
}
