// error[E0599]: where a packet's data starts cannot be moved, so not behind its end either: reading takes an offset.
// says: no method named `advance` found for reference `&Packet<'_>`

use ndis::nbl::Packet;

pub fn skip_header(packet: &Packet<'_>) {
    packet.advance(14);
}
