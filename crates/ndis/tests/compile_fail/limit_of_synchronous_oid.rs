// error[E0599]: nobody waits for a synchronous request, so nobody can stop waiting for it.
// says: the method `within_ms` exists for struct `Ask<'_, Synchronous>`, but its trait bounds were not satisfied

use ndis::oid::{Ask, Oid, Synchronous};

pub fn ask(address: &mut [u8; 6]) -> Ask<'_, Synchronous> {
    Ask::<Synchronous>::query(Oid::ETHERNET_CURRENT_ADDRESS, address).within_ms(10)
}
