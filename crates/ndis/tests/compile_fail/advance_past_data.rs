// error[E0599]: where a packet's data starts cannot be moved, so not behind its end either: reading takes an offset.

use ndis::nbl::Packet;

pub fn skip_header(packet: &Packet<'_>) {
    packet.advance(14);
}
