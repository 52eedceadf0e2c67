//! Sample frames, byte by byte.

/// Destination and source address.
pub(crate) const MACS: [u8; 12] = [2, 0, 0, 0, 0, 0xB, 2, 0, 0, 0, 0, 0xA];

/// Joins parts.
pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// An Ethernet II frame.
pub(crate) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&MACS, &ethertype.to_be_bytes(), payload])
}

/// An IPv4 packet from 10.0.0.1 to 10.0.0.2 with `options` (a multiple of four bytes), and flags with fragment offset.
pub(crate) fn ipv4(protocol: u8, options: &[u8], fragment: u16, payload: &[u8]) -> Vec<u8> {
    let header_length = 20 + options.len();
    let total = (header_length + payload.len()) as u16;
    let mut header = vec![0x40 | (header_length / 4) as u8, 0xB8];
    header.extend(total.to_be_bytes());
    header.extend([0x12, 0x34]);
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    join(&[&header, options, payload])
}

/// An IPv6 packet from fd00::1 to fd00::2.
pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x6B, 0x80, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([next, 255]);
    for last in [1, 2] {
        header.extend([0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    join(&[&header, payload])
}

/// A TCP segment from port 40000 to 443 with `options` (a multiple of four bytes).
pub(crate) fn tcp(flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x9C, 0x40, 0x01, 0xBB, 0, 0, 0, 7, 0, 0, 0, 9];
    header.extend([
        (((20 + options.len()) / 4) << 4) as u8,
        flags,
        0x20,
        0,
        0,
        0,
        0,
        0,
    ]);
    join(&[&header, options, payload])
}

/// A UDP datagram from port 40001 to 53.
pub(crate) fn udp(payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    join(&[
        &[0x9C, 0x41, 0, 53],
        &length.to_be_bytes(),
        &[0, 0],
        payload,
    ])
}

/// An ARP question.
pub(crate) fn arp() -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
    packet.extend([
        2, 0, 0, 0, 0, 0xA, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    ]);
    packet
}

/// A hop-by-hop header of eight bytes, then routing, destination options and authentication headers, then `next`.
pub(crate) fn extensions(next: u8, payload: &[u8]) -> Vec<u8> {
    let hop_by_hop = [43, 0, 1, 4, 0, 0, 0, 0];
    let routing = [
        60, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let options = [51, 0, 1, 4, 0, 0, 0, 0];
    let authentication = [
        next, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    ];
    join(&[&hop_by_hop, &routing, &options, &authentication, payload])
}

/// An IPv6 fragment header, then `payload`.
pub(crate) fn fragment6(next: u8, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let field = (offset | u16::from(more)).to_be_bytes();
    join(&[&[next, 0], &field, &[0xDE, 0xAD, 0xBE, 0xEF], payload])
}

/// One frame of each kind, with a name.
pub(crate) fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let tagged =
        |tpid: u16, tci: u16, rest: &[u8]| join(&[&tpid.to_be_bytes(), &tci.to_be_bytes(), rest]);
    let syn = tcp(2, &[2, 4, 5, 0xB4, 1, 1, 4, 2], &[]);
    let ipv4_type = join(&[&[8, 0], &ipv4(17, &[], 0, &udp(b"dns"))]);
    let snap = join(&[&[0xAA, 0xAA, 3, 0, 0, 0], &ipv4_type]);
    let icmp_error = join(&[&[3, 3, 0, 0, 0, 0, 0, 0], &ipv4(17, &[], 0, &udp(b"lost"))]);
    vec![
        ("tcp", ethernet(0x0800, &ipv4(6, &[], 0, &syn))),
        (
            "tcp data",
            ethernet(0x0800, &ipv4(6, &[], 0x4000, &tcp(0x18, &[], b"hello"))),
        ),
        (
            "options",
            ethernet(0x0800, &ipv4(17, &[7, 3, 4, 0], 0, &udp(b"dns"))),
        ),
        (
            "first fragment",
            ethernet(0x0800, &ipv4(17, &[], 0x2000, &udp(&[1; 24]))),
        ),
        (
            "later fragment",
            ethernet(0x0800, &ipv4(17, &[], 0x0004, &[2; 32])),
        ),
        (
            "icmp echo",
            ethernet(0x0800, &ipv4(1, &[], 0, &[8, 0, 0, 0, 0, 1, 0, 2, 9])),
        ),
        (
            "icmp error",
            ethernet(0x0800, &ipv4(1, &[], 0, &icmp_error)),
        ),
        ("arp", ethernet(0x0806, &arp())),
        ("vlan", join(&[&MACS, &tagged(0x8100, 0x6064, &ipv4_type)])),
        (
            "two vlans",
            join(&[
                &MACS,
                &tagged(0x88A8, 0x0001, &tagged(0x8100, 0, &ipv4_type)),
            ]),
        ),
        ("ipv6 tcp", ethernet(0x86DD, &ipv6(6, &syn))),
        (
            "ipv6 extensions",
            ethernet(0x86DD, &ipv6(0, &extensions(17, &udp(b"v6")))),
        ),
        (
            "ipv6 first",
            ethernet(0x86DD, &ipv6(44, &fragment6(17, 0, true, &udp(&[3; 40])))),
        ),
        (
            "ipv6 later",
            ethernet(0x86DD, &ipv6(44, &fragment6(17, 1448, false, &[4; 16]))),
        ),
        (
            "icmpv6",
            ethernet(0x86DD, &ipv6(58, &[128, 0, 0, 0, 0, 1, 0, 2])),
        ),
        ("snap", ethernet(snap.len() as u16, &snap)),
        ("llc", ethernet(3, &[0x42, 0x42, 3])),
        ("lldp", ethernet(0x88CC, &[2, 7, 4, 0, 0, 0, 0, 0, 0])),
    ]
}
