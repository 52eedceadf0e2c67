//! What the driver counts is what `tshark` counts, for each committed capture.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use lab_cli::summary::{Flow, Summary};
use tests::tshark::{self, Amount, Conversation};
use tests::{Lab, capture, captures, driver};

#[test]
fn packets_bytes_and_conversations_equal_those_of_tshark() {
    for capture in captures() {
        let name = capture.display();
        let expected = tshark::count(&capture);
        let summary = Lab::run(&driver("deferlwf")).pcap(&capture).seed(1).clean();

        assert_eq!(driver_total(&summary), expected.all, "{name}");
        assert_eq!(summary.packets.driver.not_inspected, Some(0), "{name}");
        let flows = conversations(summary.flows.as_deref().unwrap_or_default());
        assert_eq!(flows, expected.conversations, "{name}");
        assert_eq!(address_pairs(&summary), expected.addresses, "{name}");
        for protocol in ["tcp", "udp"] {
            let ours = flows.iter().filter(|((of, ..), _)| *of == protocol);
            let packets: BTreeMap<_, _> =
                ours.map(|(key, amount)| (*key, amount.packets)).collect();
            assert_eq!(
                packets,
                tshark::conversation_table(&capture, protocol),
                "{name}"
            );
        }
    }
}

#[test]
fn a_tag_beside_the_frame_changes_no_count() {
    let capture = capture("vlan");
    let run = |place: &str| {
        Lab::run(&driver("deferlwf"))
            .pcap(&capture)
            .with(["--vlan-tags", place])
            .clean()
    };
    let (beside, within) = (run("out-of-band"), run("in-frame"));
    assert_eq!(driver_total(&beside), driver_total(&within));
    assert_eq!(address_pairs(&beside), address_pairs(&within));
}

#[test]
fn one_adapter_per_capture_adds_up() {
    let mut lab = Lab::run(&driver("deferlwf"));
    let mut packets = 0;
    for capture in captures() {
        packets += tshark::count(&capture).all.packets;
        lab = lab.pcap(&capture);
    }
    let summary = lab.seed(1).clean();
    assert_eq!(summary.adapters.len(), captures().len());
    assert_eq!(driver_total(&summary).packets, packets);
    assert_eq!(summary.rules.broken, 0);
    assert_eq!(summary.pool.left_bytes, 0);
    assert_eq!(summary.passed, summary.packets.ndis);
}

/// Packets also come while the module pauses: after the adapter's counts were read, and counted in the total.
#[test]
fn both_count_alike_whatever_disturbs() {
    for mode in [1, 2] {
        for seed in 0..8 {
            let lab = Lab::run(&driver("deferlwf"))
                .pcap(&capture("http1"))
                .set("Mode", mode)
                .with(["--disturb"])
                .seed(seed);
            let summary = lab.clean();
            let adapter = &summary.adapters[0];
            assert_eq!(
                adapter.packets.driver.seen.send,
                Some(adapter.packets.ndis.send)
            );
            assert!(adapter.packets.ndis.send < summary.packets.ndis.send);
        }
    }
}

fn driver_total(summary: &Summary) -> Amount {
    let (packets, bytes) = (summary.packets.driver.seen, summary.bytes.driver);
    Amount {
        packets: packets.send.unwrap_or_default() + packets.receive.unwrap_or_default(),
        bytes: bytes.send.unwrap_or_default() + bytes.receive.unwrap_or_default(),
    }
}

/// All flows by the pair of their addresses, the lesser first.
fn address_pairs(summary: &Summary) -> BTreeMap<(IpAddr, IpAddr), Amount> {
    let mut pairs = BTreeMap::<_, Amount>::new();
    for flow in summary.flows.as_deref().unwrap_or_default() {
        let address = |text: &str| {
            let end = text.parse::<SocketAddr>().map(|end| end.ip());
            end.unwrap_or_else(|_| text.parse().expect("an address"))
        };
        let (a, b) = (address(&flow.a), address(&flow.b));
        pairs.entry((a.min(b), a.max(b))).or_default().add(
            flow.a_to_b.packets + flow.b_to_a.packets,
            flow.a_to_b.bytes + flow.b_to_a.bytes,
        );
    }
    pairs
}

fn conversations(flows: &[Flow]) -> BTreeMap<Conversation, Amount> {
    let mut conversations = BTreeMap::<_, Amount>::new();
    for flow in flows.iter().filter(|flow| flow.by_port) {
        let protocol = match flow.protocol.as_str() {
            "tcp" => "tcp",
            "udp" => "udp",
            other => panic!("{other} has no ports: {flow:?}"),
        };
        let end = |text: &str| text.parse().expect("address and port");
        conversations
            .entry(tshark::conversation(protocol, end(&flow.a), end(&flow.b)))
            .or_default()
            .add(
                flow.a_to_b.packets + flow.b_to_a.packets,
                flow.a_to_b.bytes + flow.b_to_a.bytes,
            );
    }
    conversations
}
