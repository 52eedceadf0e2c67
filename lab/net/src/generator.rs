//! Traffic of known counts, for tests that need more of it, or other, than a capture holds.

use crate::frame::{Direction, Frame, Mac};

/// MAC address of the adapter that generated frames pass.
pub const ADAPTER: Mac = Mac([0x02, 0, 0, 0, 0, 0x01]);

/// MAC address of the machine at the other end.
pub const PEER: Mac = Mac([0x02, 0, 0, 0, 0, 0x02]);

/// Time between two generated frames, in nanoseconds.
pub const INTERVAL_NS: u64 = 1_000;

/// UDP packets over IPv4 between 10.0.0.1, the adapter's side, and 10.0.0.2.
#[derive(Clone, Copy, Debug)]
pub struct Datagrams {
    /// Packets.
    pub count: u32,
    /// Conversations over which they are spread in turn, by the port of the adapter's side, 1024 and up.
    pub conversations: u16,
    /// Bytes of UDP payload of each.
    pub payload_length: u16,
}

impl Datagrams {
    /// The frames. In each conversation the adapter's side sends first, then the two take turns.
    ///
    /// ```
    /// use lab_net::generator::Datagrams;
    ///
    /// let frames = Datagrams { count: 10, conversations: 3, payload_length: 100 }.frames();
    /// assert_eq!((frames.len(), frames[0].wire_length()), (10, 142));
    /// ```
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        let conversations = u32::from(self.conversations).max(1);
        let frame = |number: u32| {
            let direction = match (number / conversations) % 2 {
                0 => Direction::Send,
                _ => Direction::Receive,
            };
            let port = 1024_u16.wrapping_add((number % conversations) as u16);
            let data = datagram(direction, port, self.payload_length);
            Frame::new(direction, data, u64::from(number) * INTERVAL_NS)
        };
        (0..self.count).map(frame).collect()
    }
}

/// A frame with a UDP datagram between `port` of the adapter's side and port 7 of the peer's.
fn datagram(direction: Direction, port: u16, payload_length: u16) -> Vec<u8> {
    const PEER_PORT: u16 = 7;
    let (adapter, peer) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (macs, addresses, ports) = match direction {
        Direction::Send => ([PEER, ADAPTER], [adapter, peer], [port, PEER_PORT]),
        Direction::Receive => ([ADAPTER, PEER], [peer, adapter], [PEER_PORT, port]),
    };
    let udp_length = 8 + payload_length;
    let mut ip = [
        &[0x45, 0][..],
        &(20 + udp_length).to_be_bytes(),
        &[0, 0, 0, 0, 64, 17, 0, 0],
        &addresses.concat(),
    ]
    .concat();
    let checksum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&checksum);
    let [source, destination] = ports.map(u16::to_be_bytes);
    // A UDP checksum of zero says that there is none.
    let udp = [source, destination, udp_length.to_be_bytes(), [0, 0]].concat();
    let payload = (0..payload_length).map(|at| at as u8).collect::<Vec<_>>();
    [
        &macs.map(|mac| mac.0).concat()[..],
        &[8, 0],
        &ip,
        &udp,
        &payload,
    ]
    .concat()
}

/// The Internet checksum of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks_exact(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}
