// error[E0599]: packet memory is copied, never lent.
// says: no method named `as_slice` found for reference `&'a Packet<'_>`

use ndis::nbl::Packet;

pub fn bytes<'a>(packet: &'a Packet<'_>) -> &'a [u8] {
    packet.as_slice()
}
