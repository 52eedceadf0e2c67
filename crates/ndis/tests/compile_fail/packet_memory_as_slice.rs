// error[E0599]: packet memory is copied, never lent.

use ndis::nbl::Packet;

pub fn bytes<'a>(packet: &'a Packet<'_>) -> &'a [u8] {
    packet.as_slice()
}
