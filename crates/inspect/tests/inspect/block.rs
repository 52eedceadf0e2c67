//! Rules that block.

use inspect::{BadRules, BlockTable, Verdict, ethertype, parse};

use crate::frame;

fn blocks(rules: &str, frame: &[u8]) -> bool {
    let table = BlockTable::parse(rules.as_bytes()).expect("rules");
    table.verdict(&parse(frame, frame.len() as u32, None)) == Verdict::Block
}

#[test]
fn a_rule_blocks_what_all_its_parts_name() {
    let tcp = frame::ethernet(
        ethertype::IPV4,
        &frame::ipv4(6, &[], 0, &frame::tcp(2, &[], b"")),
    );
    let udp = frame::ethernet(ethertype::IPV6, &frame::ipv6(17, &frame::udp(b"query")));
    for (rules, by_tcp, by_udp) in [
        ("", false, false),
        ("tcp", true, false),
        ("17", false, true),
        (":53", false, true),
        ("tcp:443", true, false),
        ("tcp:40000", true, false),
        ("tcp:53", false, false),
        ("@10.0.0.0/8", true, false),
        ("@10.0.0.2", true, false),
        ("@10.0.0.3", false, false),
        ("@10.0.0.3/31", true, false),
        ("@0.0.0.0/0", true, false),
        ("@fd00::/16", false, true),
        ("@fd00::2", false, true),
        ("@fd00::3", false, false),
        ("@::/0", false, true),
        ("udp:53@fd00:0:0:0:0:0:0:1/128", false, true),
        ("icmp, tcp:443@10.0.0.1 ,udp:9", true, false),
    ] {
        assert_eq!(blocks(rules, &tcp), by_tcp, "{rules:?}");
        assert_eq!(blocks(rules, &udp), by_udp, "{rules:?}");
    }
}

#[test]
fn what_is_no_ip_packet_passes() {
    assert!(!blocks(
        "@0.0.0.0/0, @::/0",
        &frame::ethernet(ethertype::ARP, &[0; 28])
    ));
    assert!(!blocks("tcp", &[]));
}

#[test]
fn bad_rules_are_named() {
    for bad in [
        "tpc",
        "256",
        ":",
        "tcp:",
        ":65536",
        "tcp:-1",
        "@",
        "@10.0.0",
        "@10.0.0.0.0",
        "@10.0.0.256",
        "@10.0.0.0/33",
        "@10.0.0.0/",
        "@:",
        "@1:2",
        "@1::2::3",
        "@::12345",
        "@1:2:3:4:5:6:7:8:9",
        "@1:2:3:4:5:6:7::8:9",
        "@fd00::/129",
        "tcp:1:2",
        "@::g",
    ] {
        let rules = format!("tcp,{bad}");
        assert_eq!(
            BlockTable::parse(rules.as_bytes()),
            Err(BadRules::Rule(1)),
            "{bad:?}"
        );
    }
    assert_eq!(BlockTable::parse(b"tcp,,udp"), Err(BadRules::Rule(1)));
    let many = ["tcp"; BlockTable::CAPACITY + 1].join(",");
    assert_eq!(BlockTable::parse(many.as_bytes()), Err(BadRules::TooMany));
}
