//! What `inspect` counts is what `tshark` counts, for each committed capture: no driver and no lab between them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use inspect::{Direction, Flow, FlowKind, FlowTable, Slot, ip_protocol, parse};
use lab_net::{Capture, Frame};
use tests::captures;
use tests::tshark::{self, Amount, Conversation};

#[test]
fn packets_bytes_and_conversations_equal_those_of_tshark() {
    for file in captures() {
        let name = file.display();
        let expected = tshark::count(&file);
        let inspected = inspect(&file, |_| {});
        assert_eq!(inspected.all, expected.all, "{name}");
        assert_eq!(inspected.conversations, expected.conversations, "{name}");
        assert_eq!(inspected.addresses, expected.addresses, "{name}");
        for protocol in ["tcp", "udp"] {
            let ours = inspected
                .conversations
                .iter()
                .filter(|((of, ..), _)| *of == protocol);
            let packets: BTreeMap<_, _> =
                ours.map(|(key, amount)| (*key, amount.packets)).collect();
            assert_eq!(
                packets,
                tshark::conversation_table(&file, protocol),
                "{name}"
            );
        }
    }
}

#[test]
fn a_tag_beside_the_frame_changes_no_count() {
    let mut stripped = 0;
    for file in captures() {
        let beside = inspect(&file, |frame| {
            frame.strip_vlan();
            stripped += u32::from(frame.vlan.is_some());
        });
        assert_eq!(beside, inspect(&file, |_| {}), "{}", file.display());
    }
    assert!(stripped > 0, "a capture has tags");
}

/// What `inspect` makes of a capture.
#[derive(Debug, Default, PartialEq, Eq)]
struct Inspected {
    all: Amount,
    conversations: BTreeMap<Conversation, Amount>,
    addresses: BTreeMap<(IpAddr, IpAddr), Amount>,
}

/// Inspects the frames of a capture, each after `change`. Nothing in the captures is malformed.
fn inspect(file: &Path, mut change: impl FnMut(&mut Frame)) -> Inspected {
    let capture = Capture::open(file, &[]).expect("a capture");
    assert!(capture.damage.is_none(), "{:?}", capture.damage);
    let mut inspected = Inspected::default();
    let mut table = FlowTable::new(vec![Slot::EMPTY; 256], 0, u64::MAX);
    for mut frame in capture.frames {
        change(&mut frame);
        let length = u32::try_from(frame.data.len()).expect("a frame's length");
        let facts = parse(&frame.data, length, frame.vlan);
        assert_eq!(facts.error, None, "{}: {:02x?}", file.display(), frame.data);
        inspected.all.add(1, facts.wire_length.into());
        let direction = match frame.direction {
            lab_net::Direction::Send => Direction::Send,
            lab_net::Direction::Receive => Direction::Receive,
        };
        table.record(&facts, direction, frame.time_ns);
    }
    assert_eq!((table.refused(), table.evicted()), (0, 0));
    for (_, flow) in table.flows(0) {
        inspected.add(flow);
    }
    inspected
}

impl Inspected {
    fn add(&mut self, flow: &Flow) {
        let (low, high) = (flow.key.low, flow.key.high);
        let (packets, bytes) = (
            flow.ab.packets + flow.ba.packets,
            flow.ab.bytes + flow.ba.bytes,
        );
        let pair = (low.address, high.address);
        self.addresses.entry(pair).or_default().add(packets, bytes);
        if flow.key.kind == FlowKind::Port {
            let protocol = match flow.key.protocol {
                ip_protocol::TCP => "tcp",
                ip_protocol::UDP => "udp",
                other => panic!("protocol {other} has no ports"),
            };
            let end = |end: inspect::Endpoint| SocketAddr::new(end.address, end.port);
            let key = tshark::conversation(protocol, end(low), end(high));
            let conversation = self.conversations.entry(key).or_default();
            conversation.add(packets, bytes);
        }
    }
}
