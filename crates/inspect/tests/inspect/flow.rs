//! Conversations: what belongs together, what is counted, and what happens when the table is full.

use inspect::{
    Direction, Flow, FlowChange, FlowEnd, FlowKind, FlowTable, PacketFacts, Recorded, Slot,
    TcpState, Traffic, parse,
};

use crate::frame::{ethernet, extensions, fragment6, ipv4, ipv6, join, samples, tcp};

fn facts(frame: &[u8]) -> PacketFacts {
    parse(frame, frame.len() as u32, None)
}

/// A UDP packet between two hosts whose low bytes are given, and ports likewise.
fn datagram(from: (u8, u16), to: (u8, u16)) -> PacketFacts {
    let ports = join(&[&from.1.to_be_bytes(), &to.1.to_be_bytes(), &[0, 8, 0, 0]]);
    let mut packet = ipv4(17, &[], 0, &ports);
    packet[15] = from.0;
    packet[19] = to.0;
    facts(&ethernet(0x0800, &packet))
}

fn table(slots: usize) -> FlowTable<Vec<Slot>> {
    FlowTable::new(vec![Slot::EMPTY; slots], 42, 1_000)
}

fn all<S: AsRef<[Slot]> + AsMut<[Slot]>>(table: &FlowTable<S>) -> Vec<Flow> {
    table.flows(0).map(|(_, flow)| *flow).collect()
}

#[test]
fn both_ways_are_one_flow_and_the_first_sender_is_a() {
    for (a, b) in [
        ((1, 5000), (2, 53)),
        ((2, 53), (1, 5000)),
        ((1, 53), (1, 54)),
        ((1, 9), (1, 9)),
    ] {
        let mut table = table(16);
        let (there, back) = (datagram(a, b), datagram(b, a));
        assert_eq!(table.record(&there, Direction::Receive, 10), Recorded::New);
        assert_eq!(table.record(&back, Direction::Send, 30), Recorded::Known);
        assert_eq!(
            table.record(&there, Direction::Receive, 20),
            Recorded::Known
        );
        let [flow] = all(&table)[..] else {
            panic!("one flow")
        };
        assert_eq!((flow.a().port, flow.b().port), (a.1, b.1));
        let length = u64::from(there.wire_length);
        let same_end = a == b;
        let expected = |packets| Traffic {
            packets,
            bytes: packets * length,
        };
        assert_eq!(flow.ab, expected(if same_end { 3 } else { 2 }));
        assert_eq!(flow.ba, expected(if same_end { 0 } else { 1 }));
        assert_eq!(
            (flow.first_ns, flow.last_ns),
            (10, 30),
            "time does not run backwards"
        );
        assert_eq!(flow.first_direction, Direction::Receive);
        assert_eq!(flow.tcp, None);
    }
}

#[test]
fn a_stripped_tag_counts_as_bytes_and_does_not_part_flows() {
    let frame = ethernet(0x0800, &ipv4(6, &[], 0, &tcp(2, &[], &[])));
    let mut table = table(16);
    table.record(&parse(&frame, frame.len() as u32, None), Direction::Send, 0);
    table.record(
        &parse(&frame, frame.len() as u32, Some(0)),
        Direction::Send,
        0,
    );
    let [flow] = all(&table)[..] else {
        panic!("one flow")
    };
    assert_eq!(
        flow.ab,
        Traffic {
            packets: 2,
            bytes: 2 * frame.len() as u64 + 4
        }
    );
}

#[test]
fn protocols_and_versions_and_kinds_part_flows() {
    let mut table = table(64);
    let mut made = 0;
    for (name, frame) in samples() {
        let recorded = table.record(&facts(&frame), Direction::Send, 0);
        made += u32::from(recorded == Recorded::New);
        let without = ["arp", "llc", "lldp"].contains(&name);
        assert_eq!(
            recorded == Recorded::NoFlow,
            without,
            "{name}: {recorded:?}"
        );
    }
    assert_eq!(table.active(), made);
    assert_eq!(all(&table).len() as u32, made);
    let mut kinds: Vec<_> = all(&table)
        .iter()
        .map(|flow| {
            (
                flow.a().address.is_ipv6(),
                flow.key.protocol,
                flow.key.kind == FlowKind::Port,
            )
        })
        .collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            (false, 1, false),
            (false, 6, true),
            (false, 17, false), // the later fragment
            (false, 17, true),
            (true, 6, true),
            (true, 17, false),
            (true, 17, true),
            (true, 58, false),
        ]
    );
}

#[test]
fn fragments_after_the_first_count_by_address_only() {
    let mut table = table(16);
    for frame in [
        ethernet(
            0x86DD,
            &ipv6(44, &fragment6(6, 0, true, &tcp(0x10, &[], &[0; 60]))),
        ),
        ethernet(
            0x86DD,
            &ipv6(44, &fragment6(6, 80, true, &tcp(0x10, &[], &[0; 60]))),
        ),
        ethernet(0x86DD, &ipv6(44, &fragment6(6, 160, false, &[0; 9]))),
        // The first fragment's header goes on in the second: no ports can be told.
        ethernet(
            0x86DD,
            &ipv6(44, &fragment6(6, 0, true, &tcp(0x10, &[], &[])[..16])),
        ),
        ethernet(
            0x86DD,
            &ipv6(
                44,
                &fragment6(0, 0, true, &extensions(6, &tcp(0x10, &[], &[]))),
            ),
        ),
    ] {
        table.record(&facts(&frame), Direction::Send, 0);
    }
    let mut packets: Vec<_> = all(&table)
        .iter()
        .map(|flow| {
            (
                flow.key.kind == FlowKind::Port,
                flow.ab.packets + flow.ba.packets,
            )
        })
        .collect();
    packets.sort_unstable();
    assert_eq!(packets, [(false, 3), (true, 2)]);
}

#[test]
fn a_packet_inside_an_icmp_error_is_no_packet() {
    let mut table = table(16);
    let (_, frame) = samples()
        .into_iter()
        .find(|(name, _)| *name == "icmp error")
        .unwrap();
    table.record(&facts(&frame), Direction::Receive, 0);
    let [flow] = all(&table)[..] else {
        panic!("one flow")
    };
    assert_eq!((flow.key.kind, flow.key.protocol), (FlowKind::Address, 1));
}

#[test]
fn a_reused_port_pair_is_the_same_conversation() {
    let mut table = table(16);
    let segment = |flags| facts(&ethernet(0x0800, &ipv4(6, &[], 0, &tcp(flags, &[], &[]))));
    for (now_ns, flags) in [(0, 2), (1, 4), (2, 2)] {
        table.record(&segment(flags), Direction::Send, now_ns);
    }
    let [flow] = all(&table)[..] else {
        panic!("one flow")
    };
    assert_eq!(flow.ab.packets, 3);
    assert_eq!(flow.tcp.unwrap().state(), TcpState::SynSent);
}

#[test]
fn a_full_table_refuses_and_counts() {
    let mut table = table(8);
    let packet = |port| datagram((1, port), (2, 53));
    let recorded: Vec<_> = (0..12)
        .map(|port| table.record(&packet(port), Direction::Send, 0))
        .collect();
    assert_eq!(recorded.iter().filter(|r| **r == Recorded::New).count(), 8);
    assert_eq!(recorded.iter().filter(|r| **r == Recorded::Full).count(), 4);
    assert_eq!(
        (table.capacity(), table.active(), table.created()),
        (8, 8, 8)
    );
    assert_eq!((table.refused(), table.evicted()), (4, 0));
    // Those that are in go on.
    assert_eq!(
        table.record(&packet(0), Direction::Send, 5),
        Recorded::Known
    );
}

#[test]
fn a_full_table_lets_the_longest_silent_flow_go() {
    let mut table = table(4);
    let packet = |port| datagram((1, port), (2, 53));
    for port in 0..4 {
        table.record(&packet(port), Direction::Send, 100 * u64::from(port));
    }
    table.record(&packet(0), Direction::Send, 500);
    assert_eq!(
        table.record(&packet(9), Direction::Send, 1_099),
        Recorded::Full
    );
    assert_eq!(
        table.record(&packet(9), Direction::Send, 1_100),
        Recorded::New
    );
    assert_eq!(
        (table.active(), table.created(), table.evicted()),
        (4, 5, 1)
    );
    let mut ports: Vec<_> = all(&table).iter().map(|flow| flow.a().port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [0, 2, 3, 9]);
}

#[test]
fn no_room_at_all_is_a_full_table() {
    let mut table = table(0);
    assert_eq!(
        table.record(&datagram((1, 1), (2, 2)), Direction::Send, 0),
        Recorded::Full
    );
    assert_eq!(table.flows(0).count(), 0);
    assert_eq!(table.flows(u32::MAX).count(), 0);
}

#[test]
fn half_full_tables_refuse_nothing() {
    let mut table = table(4096);
    for host in 0..64 {
        for port in 0..32 {
            table.record(
                &datagram((host, 1000 + port), (200, 53)),
                Direction::Send,
                0,
            );
        }
    }
    assert_eq!(
        (table.active(), table.refused(), table.evicted()),
        (2048, 0, 0)
    );
}

#[test]
fn a_walk_in_parts_meets_every_flow_once() {
    let mut table = table(100);
    for port in 0..40 {
        table.record(&datagram((1, port), (2, 53)), Direction::Send, 0);
    }
    let whole: Vec<u16> = all(&table).iter().map(|flow| flow.a().port).collect();
    let (mut parts, mut cursor) = (Vec::new(), 0);
    loop {
        let page: Vec<_> = table
            .flows(cursor)
            .take(7)
            .map(|(next, flow)| (next, flow.a().port))
            .collect();
        let Some((next, _)) = page.last() else { break };
        cursor = *next;
        parts.extend(page.iter().map(|(_, port)| *port));
    }
    assert_eq!(parts, whole);
}

#[test]
fn the_seed_decides_the_places_and_nothing_else() {
    let fill = |seed| {
        let mut table = FlowTable::new(vec![Slot::EMPTY; 256], seed, 1_000);
        for port in 0..50 {
            table.record(&datagram((1, port), (2, 53)), Direction::Send, 0);
        }
        all(&table)
            .iter()
            .map(|flow| flow.a().port)
            .collect::<Vec<_>>()
    };
    assert_eq!(fill(1), fill(1));
    assert_ne!(fill(1), fill(2));
    let sorted = |mut ports: Vec<u16>| {
        ports.sort_unstable();
        ports
    };
    assert_eq!(sorted(fill(1)), sorted(fill(2)));
}

#[test]
fn who_watches_is_shown_how_flows_begin_and_end() {
    let mut table = FlowTable::new(vec![Slot::EMPTY; 1], 0, 1_000);
    let mut seen = Vec::new();
    let mut record = |facts: &PacketFacts, now_ns| {
        table.record_observed(facts, Direction::Send, now_ns, |change, flow| {
            seen.push((change, flow.a().port, flow.ab.packets));
        })
    };
    assert_eq!(record(&datagram((1, 7), (2, 53)), 0), Recorded::New);
    assert_eq!(record(&datagram((1, 7), (2, 53)), 1), Recorded::Known);
    assert_eq!(record(&datagram((1, 8), (2, 53)), 2), Recorded::Full);
    assert_eq!(record(&datagram((1, 9), (2, 53)), 2_000), Recorded::New);
    assert_eq!(
        seen,
        [
            (FlowChange::Started, 7, 1),
            (FlowChange::Ended(FlowEnd::Silent), 7, 2),
            (FlowChange::Started, 9, 1),
        ]
    );
}
