//! Traffic of known counts, for tests that need more of it, or other, than a capture holds.

use crate::frame::{Direction, Frame, Mac};

/// MAC address of the adapter that generated frames pass.
pub const ADAPTER: Mac = Mac([0x02, 0, 0, 0, 0, 0x01]);

/// MAC address of the machine at the other end.
pub const PEER: Mac = Mac([0x02, 0, 0, 0, 0, 0x02]);

/// Bytes of the longest jumbo frame that adapters take.
const JUMBO: usize = 9014;

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

/// Frames of many shapes, decided by a seed: datagrams and segments of IPv4 and IPv6, short and jumbo, tagged,
/// fragmented, coalesced (by the adapter, or left to it); headers that break off, runts, and what is no IP at all. Every
/// second frame is sent.
#[derive(Clone, Copy, Debug)]
pub struct Mixture {
    /// Decides everything.
    pub seed: u64,
    /// Packets.
    pub count: u32,
}

impl Mixture {
    /// The frames.
    ///
    /// ```
    /// use lab_net::generator::Mixture;
    ///
    /// let frames = Mixture { seed: 7, count: 100 }.frames();
    /// assert_eq!(frames.len(), 100);
    /// assert_eq!(frames, Mixture { seed: 7, count: 100 }.frames());
    /// ```
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        let mut random = Random(self.seed);
        let frame = |number: u32| {
            let direction = if number.is_multiple_of(2) {
                Direction::Send
            } else {
                Direction::Receive
            };
            let data = shape(direction, &mut random);
            let mut frame = Frame::new(direction, data, u64::from(number) * INTERVAL_NS);
            // On a network with jumbo frames it is one frame as it is.
            if frame.data.len() <= JUMBO && random.below(2) == 0 {
                frame.segments = 1;
            }
            frame
        };
        (0..self.count).map(frame).collect()
    }
}

/// splitmix64 (Steele, Lea and Flood; public domain): small, and the same for ever.
struct Random(u64);

impl Random {
    /// A number below `bound`, which is at least 1.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let word = word ^ (word >> 31);
        ((u128::from(word) * u128::from(bound)) >> 64) as u64
    }

    fn length(&mut self, bound: u64) -> u16 {
        self.below(bound) as u16
    }
}

/// The bytes of one frame.
fn shape(direction: Direction, random: &mut Random) -> Vec<u8> {
    const PORTS: u64 = 8;
    let port = 1024 + random.below(PORTS) as u16;
    match random.below(40) {
        // Left to the adapter, or coalesced by it.
        0 => segment(direction, port, 4000 + random.length(8000)),
        1 => datagram(direction, port, 3000 + random.length(5900)),
        2 => no_ip(direction, 46 + random.below(1400) as usize),
        // A runt.
        3 => {
            let mut frame = datagram(direction, port, 0);
            frame.truncate(1 + random.below(16) as usize);
            frame
        }
        // Headers that break off.
        4 | 5 => {
            let mut frame = segment(direction, port, 100);
            frame.truncate(14 + random.below(52) as usize);
            frame
        }
        6..=8 => fragment(direction, port, random),
        9..=12 => tagged(datagram(direction, port, random.length(200)), random),
        13..=17 => ipv6(direction, port, random.length(200)),
        18..=29 => segment(direction, port, random.length(400)),
        _ => datagram(direction, port, random.length(400)),
    }
}

/// A frame that holds no IP packet.
fn no_ip(direction: Direction, length: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
    [&link_addresses(direction)[..], &[0x88, 0xB5], &payload].concat()
}

/// A frame with an 802.1Q tag.
fn tagged(mut frame: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let [high, low] = (1 + random.below(4094) as u16).to_be_bytes();
    frame.splice(12..12, [0x81, 0x00, high, low]);
    frame
}

/// A datagram turned into a first or a later fragment.
fn fragment(direction: Direction, port: u16, random: &mut Random) -> Vec<u8> {
    const MORE_FRAGMENTS: u16 = 0x2000;
    let mut frame = datagram(direction, port, 8 * random.length(40));
    let offset = random.length(4);
    let word = if random.below(2) == 0 {
        offset + 1
    } else {
        offset | MORE_FRAGMENTS
    };
    frame[20..22].copy_from_slice(&word.to_be_bytes());
    frame[24..26].fill(0);
    let checksum = checksum(&frame[14..34]).to_be_bytes();
    frame[24..26].copy_from_slice(&checksum);
    frame
}

/// A frame with a UDP datagram over IPv6, between fd00::1 and fd00::2.
fn ipv6(direction: Direction, port: u16, payload_length: u16) -> Vec<u8> {
    let address = |last: u8| {
        let mut address = [0; 16];
        (address[0], address[15]) = (0xFD, last);
        address
    };
    let addresses = match direction {
        Direction::Send => [address(1), address(2)],
        Direction::Receive => [address(2), address(1)],
    };
    let udp_length = 8 + payload_length;
    [
        &link_addresses(direction)[..],
        &[0x86, 0xDD, 0x60, 0, 0, 0],
        &udp_length.to_be_bytes(),
        &[17, 64],
        &addresses.concat(),
        &udp(direction, port, payload_length),
    ]
    .concat()
}

/// A frame with a TCP segment between `port` of the adapter's side and port 7 of the peer's.
fn segment(direction: Direction, port: u16, payload_length: u16) -> Vec<u8> {
    const TCP: u8 = 6;
    const PUSH_ACK: u8 = 0x18;
    let tcp = [
        &ports(direction, port).concat()[..],
        &[
            0, 0, 0, 1, 0, 0, 0, 1, 0x50, PUSH_ACK, 0xFF, 0xFF, 0, 0, 0, 0,
        ],
        &payload(payload_length),
    ]
    .concat();
    ipv4(direction, TCP, &tcp)
}

/// A frame with a UDP datagram between `port` of the adapter's side and port 7 of the peer's.
fn datagram(direction: Direction, port: u16, payload_length: u16) -> Vec<u8> {
    const UDP: u8 = 17;
    ipv4(direction, UDP, &udp(direction, port, payload_length))
}

fn ipv4(direction: Direction, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let (adapter, peer) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let addresses = match direction {
        Direction::Send => [adapter, peer],
        Direction::Receive => [peer, adapter],
    };
    let total = 20 + transport.len() as u16;
    let mut ip = [
        &[0x45, 0][..],
        &total.to_be_bytes(),
        &[0, 0, 0, 0, 64, protocol, 0, 0],
        &addresses.concat(),
    ]
    .concat();
    let checksum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&checksum);
    [&link_addresses(direction)[..], &[8, 0], &ip, transport].concat()
}

/// Destination and source.
fn link_addresses(direction: Direction) -> Vec<u8> {
    let macs = match direction {
        Direction::Send => [PEER, ADAPTER],
        Direction::Receive => [ADAPTER, PEER],
    };
    macs.map(|mac| mac.0).concat()
}

/// Source and destination port.
fn ports(direction: Direction, port: u16) -> [[u8; 2]; 2] {
    const PEER_PORT: u16 = 7;
    let ports = match direction {
        Direction::Send => [port, PEER_PORT],
        Direction::Receive => [PEER_PORT, port],
    };
    ports.map(u16::to_be_bytes)
}

fn udp(direction: Direction, port: u16, payload_length: u16) -> Vec<u8> {
    let [source, destination] = ports(direction, port);
    // A UDP checksum of zero says that there is none.
    let header = [
        source,
        destination,
        (8 + payload_length).to_be_bytes(),
        [0, 0],
    ]
    .concat();
    [header, payload(payload_length)].concat()
}

fn payload(length: u16) -> Vec<u8> {
    (0..length).map(|at| at as u8).collect()
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
