// error[E0308]: a copy may be short or fail, and nothing is read of it before that is looked at.
// says: expected `[u8; 2]`, found `Result<[u8; 2], Unreadable>`

use ndis::nbl::Packet;

pub fn ether_type(packet: &Packet<'_>) -> [u8; 2] {
    packet.read::<2>(12)
}
