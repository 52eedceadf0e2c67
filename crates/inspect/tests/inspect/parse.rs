//! Each kind of frame gives the facts that it was made of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use inspect::{
    Fragment, Ip, Layer, Network, PacketFacts, ParseError, Problem, Transport, VlanTag, parse,
};

use crate::frame::{arp, ethernet, extensions, fragment6, ipv4, ipv6, join, samples, tcp, udp};

fn whole(frame: &[u8]) -> PacketFacts {
    parse(frame, frame.len() as u32, None)
}

fn sample(name: &str) -> PacketFacts {
    let samples = samples();
    let (_, frame) = samples
        .iter()
        .find(|(other, _)| *other == name)
        .expect("there is such a sample");
    whole(frame)
}

fn ip(facts: &PacketFacts) -> Ip {
    match facts.network {
        Network::Ip(ip) => ip,
        other => panic!("not IP: {other:?}"),
    }
}

/// What a packet without error has for transport: protocol and the two ports.
fn ports(facts: &PacketFacts) -> (char, u16, u16) {
    assert_eq!(facts.error, None);
    match facts.transport {
        Transport::Tcp(tcp) => ('t', tcp.source_port, tcp.destination_port),
        Transport::Udp(udp) => ('u', udp.source_port, udp.destination_port),
        other => panic!("no ports: {other:?}"),
    }
}

#[test]
fn every_sample_parses_without_error() {
    for (name, frame) in samples() {
        assert_eq!(whole(&frame).error, None, "{name}");
        assert_eq!(whole(&frame).wire_length as usize, frame.len());
    }
}

#[test]
fn tcp_over_ipv4() {
    let facts = sample("tcp data");
    assert_eq!(facts.link.destination, [2, 0, 0, 0, 0, 0xB]);
    assert_eq!(facts.link.source, [2, 0, 0, 0, 0, 0xA]);
    let ip = ip(&facts);
    assert_eq!(ip.source, IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
    assert_eq!(ip.destination, IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!(
        (ip.protocol, ip.hop_limit, ip.traffic_class, ip.fragment),
        (6, 64, 0xB8, None)
    );
    let Transport::Tcp(tcp) = facts.transport else {
        panic!("{facts:?}")
    };
    assert_eq!((tcp.source_port, tcp.destination_port), (40000, 443));
    assert_eq!(
        (tcp.sequence, tcp.acknowledgement, tcp.window),
        (7, 9, 0x2000)
    );
    assert_eq!((tcp.flags.bits(), tcp.payload_length), (0x18, 5));
}

#[test]
fn padding_is_no_payload() {
    let mut frame = ethernet(0x0800, &ipv4(17, &[], 0, &udp(b"x")));
    frame.resize(60, 0);
    let Transport::Udp(udp) = whole(&frame).transport else {
        panic!()
    };
    assert_eq!(udp.payload_length, 1);
    let mut frame = ethernet(0x0800, &ipv4(6, &[], 0, &tcp(0x10, &[], &[])));
    frame.resize(60, 0);
    let Transport::Tcp(tcp) = whole(&frame).transport else {
        panic!()
    };
    assert_eq!(tcp.payload_length, 0);
}

#[test]
fn ipv4_options_are_skipped() {
    assert_eq!(ports(&sample("options")), ('u', 40001, 53));
}

#[test]
fn first_fragment_has_ports_and_later_ones_do_not() {
    let first = sample("first fragment");
    assert_eq!(ports(&first), ('u', 40001, 53));
    assert_eq!(
        ip(&first).fragment,
        Some(Fragment {
            id: 0x1234,
            offset: 0,
            more: true
        })
    );
    let later = sample("later fragment");
    assert_eq!(later.transport, Transport::Other);
    assert_eq!(
        ip(&later).fragment,
        Some(Fragment {
            id: 0x1234,
            offset: 32,
            more: false
        })
    );
    let first = sample("ipv6 first");
    assert_eq!(ports(&first), ('u', 40001, 53));
    let id = 0xDEAD_BEEF;
    assert_eq!(
        ip(&first).fragment,
        Some(Fragment {
            id,
            offset: 0,
            more: true
        })
    );
    let later = sample("ipv6 later");
    assert_eq!(
        (later.transport, ip(&later).protocol),
        (Transport::Other, 17)
    );
    assert_eq!(
        ip(&later).fragment,
        Some(Fragment {
            id,
            offset: 1448,
            more: false
        })
    );
}

#[test]
fn ipv6_extensions_lead_to_the_payload() {
    let facts = sample("ipv6 extensions");
    assert_eq!(ports(&facts), ('u', 40001, 53));
    let ip = ip(&facts);
    assert_eq!(
        ip.source,
        IpAddr::V6(Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 1))
    );
    assert_eq!(
        (ip.protocol, ip.hop_limit, ip.traffic_class),
        (17, 255, 0xB8)
    );
    // A fragment header between others.
    let inner = extensions(6, &tcp(2, &[], &[]));
    let frame = ethernet(0x86DD, &ipv6(44, &fragment6(0, 0, true, &inner)));
    assert_eq!(ports(&whole(&frame)), ('t', 40000, 443));
    // Payloads that are no extension header.
    for next in [50, 59, 99] {
        let facts = whole(&ethernet(0x86DD, &ipv6(next, &[0; 8])));
        assert_eq!((facts.error, facts.transport), (None, Transport::Other));
    }
}

#[test]
fn icmp_is_told_by_the_version_of_ip() {
    let Transport::Icmp(echo) = sample("icmp echo").transport else {
        panic!()
    };
    assert_eq!((echo.kind, echo.code, echo.rest), (8, 0, [0, 1, 0, 2]));
    let Transport::Icmp(echo) = sample("icmpv6").transport else {
        panic!()
    };
    assert_eq!(echo.kind, 128);
    let facts = whole(&ethernet(0x0800, &ipv4(58, &[], 0, &[0; 8])));
    assert_eq!(facts.transport, Transport::Other);
}

#[test]
fn arp_names_both_sides() {
    let Network::Arp(arp_facts) = sample("arp").network else {
        panic!()
    };
    assert_eq!(arp_facts.operation, 1);
    assert_eq!(arp_facts.sender, Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(arp_facts.target, Ipv4Addr::new(10, 0, 0, 2));
    assert_eq!(arp_facts.sender_mac, [2, 0, 0, 0, 0, 0xA]);
    // Other hardware.
    let mut other = arp();
    other[1] = 6;
    let facts = whole(&ethernet(0x0806, &other));
    assert_eq!((facts.network, facts.error), (Network::Other, None));
}

/// The matrix of pitfalls: byte order, mask, priority tags, stacks, tags beside the frame, and lengths.
#[test]
fn vlan_tags_in_and_beside_the_frame() {
    let plain = samples()
        .into_iter()
        .find(|(name, _)| *name == "tcp")
        .unwrap()
        .1;
    for tpid in [0x8100u16, 0x88A8, 0x9100] {
        for tci in [0u16, 1, 0x0064, 0x0FFF, 0x1000, 0xE000, 0xFFFF] {
            let tag = join(&[&tpid.to_be_bytes(), &tci.to_be_bytes()]);
            let tagged = join(&[&plain[..12], &tag, &plain[12..]]);
            let facts = whole(&tagged);
            assert_eq!(ports(&facts), ('t', 40000, 443));
            assert_eq!(
                (facts.link.vlan_count, facts.link.outer_vlan),
                (1, Some(VlanTag::new(tci)))
            );
            assert_eq!(facts.link.inner_vlan, None);
            assert_eq!(facts.wire_length as usize, plain.len() + 4);
            // The same packet with the tag stripped is as long, and says the same.
            let stripped = parse(&plain, plain.len() as u32, Some(tci));
            assert_eq!(stripped, facts);
            // Tag beside, tag within: the one beside is the outer one.
            let both = parse(&tagged, tagged.len() as u32, Some(0x0A05));
            assert_eq!(both.link.outer_vlan, Some(VlanTag::new(0x0A05)));
            assert_eq!(both.link.inner_vlan, Some(VlanTag::new(tci)));
            assert_eq!(
                (both.link.vlan_count, both.wire_length as usize),
                (2, tagged.len() + 4)
            );
            // A tag over a tag.
            let double = join(&[&plain[..12], &[0x88, 0xA8, 0, 7], &tag, &plain[12..]]);
            let facts = whole(&double);
            assert_eq!(ports(&facts), ('t', 40000, 443));
            assert_eq!(facts.link.outer_vlan.map(VlanTag::id), Some(7));
            assert_eq!(facts.link.inner_vlan.map(VlanTag::tci), Some(tci));
        }
    }
}

#[test]
fn ethernet_types_and_lengths() {
    let payload = ipv4(17, &[], 0, &udp(b"dns"));
    assert_eq!(ports(&sample("snap")), ('u', 40001, 53));
    // 802.1H bridge tunnel encapsulation.
    let snap = join(&[&[0xAA, 0xAA, 3, 0, 0, 0xF8, 8, 0], &payload]);
    assert_eq!(
        ports(&whole(&ethernet(snap.len() as u16, &snap))),
        ('u', 40001, 53)
    );
    // Another organisation's protocol numbers are not EtherTypes.
    let snap = join(&[&[0xAA, 0xAA, 3, 0, 0, 0x0C, 8, 0], &payload]);
    assert_eq!(
        whole(&ethernet(snap.len() as u16, &snap)).link.ethertype,
        None
    );
    assert_eq!(sample("llc").link.ethertype, None);
    // What is between a length and a type is neither.
    let facts = whole(&ethernet(1501, &payload));
    assert_eq!((facts.link.ethertype, facts.error), (None, None));
    assert_eq!(whole(&ethernet(1536, &payload)).link.ethertype, Some(1536));
    // Behind a VLAN tag it is the same.
    let snap = join(&[&[0xAA, 0xAA, 3, 0, 0, 0, 8, 0], &payload]);
    let inner = join(&[&[0, 5], &(snap.len() as u16).to_be_bytes(), &snap]);
    assert_eq!(ports(&whole(&ethernet(0x8100, &inner))), ('u', 40001, 53));
}

#[test]
fn length_zero_means_that_the_adapter_segments() {
    let mut packet = ipv4(6, &[], 0, &tcp(0x18, &[], &[7; 4000]));
    packet[2..4].fill(0);
    let Transport::Tcp(tcp_facts) = whole(&ethernet(0x0800, &packet)).transport else {
        panic!()
    };
    assert_eq!(tcp_facts.payload_length, 4000);
    let mut packet = ipv6(6, &tcp(0x18, &[], &[7; 4000]));
    packet[4..6].fill(0);
    let Transport::Tcp(tcp_facts) = whole(&ethernet(0x86DD, &packet)).transport else {
        panic!()
    };
    assert_eq!(tcp_facts.payload_length, 4000);
    let mut datagram = udp(&[7; 100]);
    datagram[4..6].fill(0);
    let Transport::Udp(udp_facts) = whole(&ethernet(0x86DD, &ipv6(17, &datagram))).transport else {
        panic!()
    };
    assert_eq!(udp_facts.payload_length, 100);
}

#[test]
fn a_snapshot_knows_what_is_beyond_it() {
    let frame = ethernet(
        0x0800,
        &ipv4(6, &[], 0, &tcp(0x18, &[1, 1, 1, 1], &[7; 1000])),
    );
    // Options and payload do not have to be there.
    let facts = parse(&frame[..54], frame.len() as u32, None);
    let Transport::Tcp(tcp_facts) = facts.transport else {
        panic!("{facts:?}")
    };
    assert_eq!((facts.error, tcp_facts.payload_length), (None, 1000));
    // One byte less of the header does matter.
    let facts = parse(&frame[..53], frame.len() as u32, None);
    let error = ParseError {
        layer: Layer::Tcp,
        problem: Problem::BeyondSnapshot,
        needed: 20,
        had: 19,
    };
    assert_eq!(facts.error, Some(error));
    assert!(!error.is_malformed());
    assert_eq!(ip(&facts).protocol, 6);
    // The same bytes as a whole frame.
    let error = whole(&frame[..53]).error.unwrap();
    assert_eq!(
        error,
        ParseError {
            layer: Layer::Tcp,
            problem: Problem::Truncated,
            needed: 20,
            had: 19
        }
    );
    assert!(error.is_malformed());
    // More bytes than the frame has: only its own count.
    let error = parse(&frame, 53, None).error.unwrap();
    assert_eq!(error.problem, Problem::Truncated);
}

#[test]
fn errors_say_layer_needed_and_had() {
    use Layer::*;
    use Problem::*;
    let changed = |mut packet: Vec<u8>, at: usize, value: u8| {
        packet[at] = value;
        packet
    };
    let packet = ipv4(6, &[], 0, &tcp(2, &[], &[]));
    let short_ip = ipv4(17, &[], 0, &udp(&[]));
    for (frame, layer, problem, needed, had) in [
        (vec![0; 13], Ethernet, Truncated, 14, 13),
        (ethernet(0x8100, &[0, 1, 8]), Vlan, Truncated, 4, 3),
        (ethernet(2, &[0xAA, 0xAA, 3]), Llc, Truncated, 3, 2),
        (
            ethernet(6, &[0xAA, 0xAA, 3, 0, 0, 0, 8, 0]),
            Llc,
            Truncated,
            5,
            3,
        ),
        (ethernet(0x0806, &arp()[..20]), Arp, Truncated, 20, 12),
        (ethernet(0x0800, &packet[..19]), Ipv4, Truncated, 20, 19),
        (
            ethernet(0x0800, &changed(packet.clone(), 0, 0x65)),
            Ipv4,
            BadVersion,
            4,
            6,
        ),
        (
            ethernet(0x0800, &changed(packet.clone(), 0, 0x44)),
            Ipv4,
            BadLength,
            20,
            16,
        ),
        (
            ethernet(0x0800, &changed(packet.clone(), 3, 19)),
            Ipv4,
            BadLength,
            20,
            19,
        ),
        (
            ethernet(0x0800, &changed(short_ip, 0, 0x4F)),
            Ipv4,
            BadLength,
            60,
            28,
        ),
        (
            ethernet(0x0800, &changed(packet.clone(), 3, 39)),
            Tcp,
            Truncated,
            20,
            19,
        ),
        (
            ethernet(0x0800, &changed(packet.clone(), 32, 0x40)),
            Tcp,
            BadLength,
            20,
            16,
        ),
        (
            ethernet(0x0800, &changed(packet, 32, 0x60)),
            Tcp,
            Truncated,
            24,
            20,
        ),
        (
            ethernet(0x0800, &ipv4(17, &[], 0, &changed(udp(&[]), 5, 7))),
            Udp,
            BadLength,
            8,
            7,
        ),
        (
            ethernet(0x0800, &ipv4(1, &[], 0, &[3; 7])),
            Icmp,
            Truncated,
            8,
            7,
        ),
        (ethernet(0x86DD, &[0x60; 39]), Ipv6, Truncated, 16, 15),
        (
            ethernet(0x86DD, &changed(ipv6(6, &[]), 0, 0x40)),
            Ipv6,
            BadVersion,
            6,
            4,
        ),
        (
            ethernet(0x86DD, &ipv6(0, &[6, 1, 0, 0, 0, 0, 0, 0, 0])),
            Ipv6Extension,
            Truncated,
            8,
            1,
        ),
        (
            ethernet(0x86DD, &ipv6(44, &[6; 7])),
            Ipv6Extension,
            Truncated,
            8,
            7,
        ),
    ] {
        let error = whole(&frame).error;
        assert_eq!(
            error,
            Some(ParseError {
                layer,
                problem,
                needed,
                had
            }),
            "{frame:02x?}"
        );
    }
}

#[test]
fn errors_read_like_sentences() {
    let error = whole(&[0; 13]).error.unwrap();
    assert_eq!(
        error.to_string(),
        "Ethernet: 14 bytes needed, 13 left in the packet"
    );
}
