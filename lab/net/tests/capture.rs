//! Capture files of every format, whole and damaged.
#![forbid(unsafe_code)]

use lab_net::generator::{ADAPTER, Datagrams, PEER};
use lab_net::{Capture, CaptureError, Direction, DirectionRule, Frame, Mac, write_pcapng};

/// Bytes of a number in one of the two orders.
struct Order {
    big: bool,
}

impl Order {
    fn u16(&self, value: u16) -> Vec<u8> {
        if self.big {
            value.to_be_bytes().to_vec()
        } else {
            value.to_le_bytes().to_vec()
        }
    }

    fn u32(&self, value: u32) -> Vec<u8> {
        if self.big {
            value.to_be_bytes().to_vec()
        } else {
            value.to_le_bytes().to_vec()
        }
    }

    /// A classic pcap file; the packets are of 14 bytes and of the given times.
    fn pcap(&self, magic: u32, link_type: u32, times: &[(u32, u32)]) -> Vec<u8> {
        let mut file = [self.u32(magic), self.u16(2), self.u16(4), vec![0; 8]].concat();
        file.extend([self.u32(65535), self.u32(link_type)].concat());
        for &(s, fraction) in times {
            file.extend([self.u32(s), self.u32(fraction), self.u32(14), self.u32(14)].concat());
            file.extend(header(ADAPTER));
        }
        file
    }

    fn block(&self, kind: u32, body: &[u8]) -> Vec<u8> {
        let length = self.u32(body.len() as u32 + 12);
        [&self.u32(kind), &length, body, &length].concat()
    }

    fn section(&self) -> Vec<u8> {
        let body = [
            self.u32(0x1A2B_3C4D),
            self.u16(1),
            self.u16(0),
            vec![0xFF; 8],
        ]
        .concat();
        self.block(0x0A0D_0D0A, &body)
    }

    fn option(&self, code: u16, value: &[u8]) -> Vec<u8> {
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [
            self.u16(code),
            self.u16(value.len() as u16),
            value.to_vec(),
            padding,
        ]
        .concat()
    }

    fn interface(&self, link_type: u16, snapshot_length: u32, options: &[u8]) -> Vec<u8> {
        let body = [
            &self.u16(link_type),
            &self.u16(0),
            &self.u32(snapshot_length),
            options,
        ]
        .concat();
        self.block(1, &body)
    }

    fn packet(
        &self,
        interface: u32,
        ticks: u64,
        data: &[u8],
        wire: u32,
        options: &[u8],
    ) -> Vec<u8> {
        let padding = vec![0; data.len().next_multiple_of(4) - data.len()];
        let body = [
            self.u32(interface),
            self.u32((ticks >> 32) as u32),
            self.u32(ticks as u32),
            self.u32(data.len() as u32),
            self.u32(wire),
            data.to_vec(),
            padding,
            options.to_vec(),
        ];
        self.block(6, &body.concat())
    }
}

const LITTLE: Order = Order { big: false };
const BIG: Order = Order { big: true };

/// An Ethernet header with no payload.
fn header(source: Mac) -> Vec<u8> {
    [&[0xFF; 6][..], &source.0, &[0x88, 0xB5]].concat()
}

fn parse(bytes: &[u8]) -> Capture {
    Capture::parse(bytes, &[]).expect("a capture with frames")
}

fn times(capture: &Capture) -> Vec<u64> {
    capture.frames.iter().map(|frame| frame.time_ns).collect()
}

#[test]
fn classic_pcap_in_both_orders_and_resolutions() {
    for order in [LITTLE, BIG] {
        let micro = parse(&order.pcap(0xA1B2_C3D4, 1, &[(5, 10), (6, 11), (5, 0), (7, 10)]));
        assert_eq!(
            times(&micro),
            [0, 1_000_001_000, 1_000_001_000, 2_000_000_000]
        );
        let nano = parse(&order.pcap(0xA1B2_3C4D, 1, &[(5, 10), (6, 11)]));
        assert_eq!(times(&nano), [0, 1_000_000_001]);
        assert_eq!(nano.adapter_mac, ADAPTER);
        assert_eq!(nano.direction_rule, DirectionRule::MostFrequentSource);
        assert_eq!(nano.frames[0].direction, Direction::Send);
        assert!(nano.damage.is_none() && nano.skipped.is_empty() && nano.cut_frames == 0);
    }
}

#[test]
fn classic_pcap_with_check_sequences_leaves_them_out() {
    let mut file = LITTLE.pcap(0xA1B2_C3D4, 0x2400_0001, &[(1, 0)]);
    // A length of 18 in the record, and four more bytes.
    for at in [32, 36] {
        file[at] = 18;
    }
    file.extend([1, 2, 3, 4]);
    assert_eq!(parse(&file).frames[0].data, header(ADAPTER));
}

#[test]
fn pcapng_sections_interfaces_resolutions_and_directions() {
    for (first, second) in [(LITTLE, BIG), (BIG, LITTLE)] {
        let frame = header(ADAPTER);
        let flags = |order: &Order, flags| order.option(2, &order.u32(flags));
        let file = [
            first.section(),
            first.interface(1, 0, &[]),
            first.interface(1, 0, &first.option(9, &[9])),
            first.interface(1, 0, &first.option(9, &[0x80 | 10])),
            // Interface statistics, a name resolution block, and an unknown block.
            first.block(5, &[0; 12]),
            first.block(4, &[0; 4]),
            first.block(0x7777, &[1, 2, 3, 4]),
            first.packet(0, 1_000_000, &frame, 14, &flags(&first, 1)),
            first.packet(1, 1_000_000_500, &frame, 14, &flags(&first, 2)),
            first.packet(2, 2048, &frame, 14, &flags(&first, 2)),
            second.section(),
            second.interface(1, 0, &second.option(9, &[3])),
            second.packet(0, 3000, &frame, 14, &flags(&second, 0x11)),
        ];
        let capture = parse(&file.concat());
        assert!(capture.damage.is_none(), "{:?}", capture.damage);
        assert_eq!(times(&capture), [0, 500, 1_000_000_000, 2_000_000_000]);
        let directions: Vec<_> = capture.frames.iter().map(|frame| frame.direction).collect();
        use Direction::*;
        assert_eq!(directions, [Receive, Send, Send, Receive]);
        assert_eq!(capture.direction_rule, DirectionRule::Recorded);
    }
}

#[test]
fn pcapng_time_offset_and_check_sequence() {
    for order in [LITTLE, BIG] {
        let frame = [header(ADAPTER), vec![9, 9, 9, 9]].concat();
        let offset = if order.big {
            2i64.to_be_bytes()
        } else {
            2i64.to_le_bytes()
        };
        let file = [
            order.section(),
            order.interface(1, 0, &order.option(13, &[32])),
            order.interface(1, 0, &order.option(14, &offset)),
            order.packet(0, 0, &frame, 18, &[]),
            order.packet(1, 0, &frame, 18, &[]),
        ];
        let capture = parse(&file.concat());
        assert_eq!(times(&capture), [0, 2_000_000_000]);
        assert_eq!(capture.frames[0].data.len(), 14);
        assert_eq!(capture.frames[1].data.len(), 18);
    }
}

#[test]
fn simple_packets_take_the_interface_snapshot_length() {
    for order in [LITTLE, BIG] {
        let data = [header(ADAPTER), vec![7, 7]].concat();
        let body = [order.u32(100), data.clone()].concat();
        let file = [
            order.section(),
            order.interface(1, 15, &[]),
            order.block(3, &body),
        ]
        .concat();
        let capture = parse(&file);
        assert_eq!(capture.cut_frames, 1);
        // What was not captured is zeros.
        assert_eq!(capture.frames[0].data, [&data[..15], &[0; 85]].concat());
    }
}

#[test]
fn frames_cut_by_the_capture_keep_their_length() {
    let file = [
        LITTLE.section(),
        LITTLE.interface(1, 0, &[]),
        LITTLE.packet(0, 0, &header(ADAPTER), 1514, &[]),
    ];
    let capture = parse(&file.concat());
    assert_eq!(
        (capture.frames[0].wire_length(), capture.cut_frames),
        (1514, 1)
    );
}

#[test]
fn a_small_file_cannot_claim_all_memory() {
    let packet = LITTLE.packet(0, 0, &header(ADAPTER), 262_144, &[]);
    let mut file = [LITTLE.section(), LITTLE.interface(1, 0, &[])].concat();
    (0..300).for_each(|_| file.extend(&packet));
    let capture = parse(&file);
    assert_eq!(capture.frames.len(), 256);
    let problem = capture.damage.unwrap().problem;
    assert_eq!(problem, "packets lack more than 67108864 bytes together");
}

#[test]
fn what_is_not_ethernet_is_named() {
    let error = |file: &[u8]| Capture::parse(file, &[]).unwrap_err().to_string();
    let sll = "is not an Ethernet capture: link type LINUX_SLL (113)";
    assert_eq!(error(&LITTLE.pcap(0xA1B2_C3D4, 113, &[(1, 1)])), sll);
    assert_eq!(error(&LITTLE.pcap(0xA1B2_C3D4, 113, &[])), sll);
    assert_eq!(
        error(&LITTLE.pcap(0xA1B2_C3D4, 147, &[(1, 1)])),
        "is not an Ethernet capture: link type 147"
    );
    // Beside Ethernet it is left out and counted.
    let file = [
        LITTLE.section(),
        LITTLE.interface(101, 0, &[]),
        LITTLE.interface(1, 0, &[]),
        LITTLE.packet(0, 0, &[0x45; 20], 20, &[]),
        LITTLE.packet(1, 0, &header(ADAPTER), 14, &[]),
    ];
    let capture = parse(&file.concat());
    assert_eq!(capture.frames.len(), 1);
    assert_eq!(
        capture
            .skipped
            .iter()
            .map(|(name, n)| (name.as_str(), *n))
            .collect::<Vec<_>>(),
        [("RAW (101)", 1)]
    );
}

#[test]
fn files_without_frames_say_why() {
    let error = |file: &[u8]| Capture::parse(file, &[]).unwrap_err().to_string();
    assert_eq!(error(&[]), "is empty");
    assert_eq!(error(b"MZ"), "is neither pcap nor pcapng");
    assert_eq!(error(b"GIF89a and more"), "is neither pcap nor pcapng");
    assert_eq!(error(&LITTLE.pcap(0xA1B2_C3D4, 1, &[])), "has no packets");
    assert_eq!(
        error(&[LITTLE.section(), LITTLE.interface(1, 0, &[])].concat()),
        "has no packets"
    );
    assert_eq!(error(&LITTLE.section()), "has no packets");
    assert_eq!(
        error(&LITTLE.pcap(0xA1B2_C3D4, 1, &[])[..20]),
        "is damaged at byte 0: the file header goes on beyond the end of the file"
    );
    for order in [LITTLE, BIG] {
        assert_eq!(
            error(&order.section()[..20]),
            "is damaged at byte 0: a block of 28 bytes, 20 before the end of the file"
        );
    }
    assert_eq!(
        error(&LITTLE.section()[..6]),
        "is damaged at byte 0: the file ends within the header of a block"
    );
    assert!(matches!(
        Capture::open("does/not/exist".as_ref(), &[]),
        Err(CaptureError::Unreadable(_))
    ));
}

#[test]
fn what_comes_before_damage_is_delivered() {
    let good = LITTLE.pcap(0xA1B2_C3D4, 1, &[(1, 0), (2, 0)]);
    for end in 24 + 30 + 1..good.len() {
        let capture = parse(&good[..end]);
        assert_eq!(capture.frames.len(), 1);
        assert_eq!(
            capture.damage.unwrap().to_string(),
            "damaged at byte 54: the record goes on beyond the end of the file"
        );
    }
    let mut wild = good;
    wild[54 + 12..54 + 16].copy_from_slice(&0x7FFF_FFFFu32.to_le_bytes());
    let damage = parse(&wild).damage.unwrap();
    assert_eq!(
        damage.to_string(),
        "damaged at byte 54: a packet of 2147483647 bytes"
    );

    let start = [LITTLE.section(), LITTLE.interface(1, 0, &[])].concat();
    let packet = LITTLE.packet(0, 0, &header(ADAPTER), 14, &[]);
    let good = [start.clone(), packet.clone(), packet.clone()].concat();
    let second = start.len() + packet.len();
    for end in second + 1..good.len() {
        let capture = parse(&good[..end]);
        assert_eq!(capture.frames.len(), 1);
        assert_eq!(capture.damage.unwrap().offset, second);
    }
    // A changed length in the middle, a changed trailing length, an interface that is not described.
    for (at, value) in [(4, 44u32), (packet.len() - 4, 52), (8, 7)] {
        let mut bad = good.clone();
        bad[second + at..second + at + 4].copy_from_slice(&value.to_le_bytes());
        let capture = parse(&bad);
        assert_eq!(capture.frames.len(), 1, "at {at}");
        assert_eq!(capture.damage.unwrap().offset, second);
    }
    let obsolete = [start, packet, LITTLE.block(2, &[0; 20])].concat();
    assert!(
        parse(&obsolete)
            .damage
            .unwrap()
            .problem
            .contains("obsolete")
    );
}

#[test]
fn no_bytes_upset_the_reader() {
    let frames = Datagrams {
        count: 6,
        conversations: 2,
        payload_length: 3,
    }
    .frames();
    let mut pcapng = Vec::new();
    write_pcapng(&frames, &mut pcapng).unwrap();
    for file in [
        pcapng,
        LITTLE.pcap(0xA1B2_C3D4, 1, &[(1, 0); 3]),
        BIG.pcap(0xA1B2_C3D4, 1, &[(1, 0); 3]),
    ] {
        for end in 0..file.len() {
            let _ = Capture::parse(&file[..end], &[]);
        }
        for at in 0..file.len() {
            let mut changed = file.clone();
            for value in [0, 1, 2, 0x0A, 0x7F, 0x80, 0xFE, 0xFF] {
                changed[at] = value;
                let _ = Capture::parse(&changed, &[]);
            }
        }
    }
}

#[test]
fn direction_follows_what_is_local() {
    // A packet of the adapter, two of the peer, and an ARP question of the adapter.
    let mut arp = header(ADAPTER);
    arp[12..14].copy_from_slice(&[8, 6]);
    arp.extend([
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    ]);
    let datagrams = Datagrams {
        count: 4,
        conversations: 1,
        payload_length: 0,
    }
    .frames();
    let [sent, received] = [&datagrams[0].data, &datagrams[1].data];
    let mut file = [LITTLE.section(), LITTLE.interface(1, 0, &[])].concat();
    for data in [sent, received, received, &arp, &header(PEER)] {
        file.extend(LITTLE.packet(0, 0, data, data.len() as u32, &[]));
    }
    use Direction::*;
    let choose = |local: &[&str]| {
        let local: Vec<_> = local.iter().map(|text| text.parse().unwrap()).collect();
        let capture = Capture::parse(&file, &local).unwrap();
        let directions: Vec<_> = capture.frames.iter().map(|frame| frame.direction).collect();
        (directions, capture.adapter_mac, capture.direction_rule)
    };
    let by_adapter = vec![Send, Receive, Receive, Send, Receive];
    let by_peer = vec![Receive, Send, Send, Receive, Send];
    assert_eq!(
        choose(&[]),
        (by_peer.clone(), PEER, DirectionRule::MostFrequentSource)
    );
    let given = DirectionRule::Given;
    assert_eq!(
        choose(&["02:00:00:00:00:01"]),
        (by_adapter.clone(), ADAPTER, given)
    );
    assert_eq!(choose(&["10.0.0.1/32"]), (by_adapter, ADAPTER, given));
    assert_eq!(choose(&["10.0.0.2"]), (by_peer, PEER, given));
    assert_eq!(choose(&["10.0.0.0/8"]).0, [Send; 5]);
    assert_eq!(choose(&["fd00::/8"]).0, [Receive; 5]);
}

#[test]
fn written_files_read_back() {
    let mut frames = Datagrams {
        count: 50,
        conversations: 7,
        payload_length: 31,
    }
    .frames();
    let original = frames.clone();
    for frame in &mut frames {
        frame.vlan = Some(0x2005);
    }
    let mut file = Vec::new();
    write_pcapng(&frames, &mut file).unwrap();
    let mut capture = parse(&file);
    assert_eq!(capture.adapter_mac, ADAPTER);
    assert_eq!(capture.direction_rule, DirectionRule::Recorded);
    let lengths = |frames: &[Frame]| frames.iter().map(Frame::wire_length).collect::<Vec<_>>();
    assert_eq!(lengths(&capture.frames), lengths(&frames));
    capture.frames.iter_mut().for_each(Frame::strip_vlan);
    assert_eq!(capture.frames, frames);
    // Once is enough, and there is nothing to strip from what has no tag.
    capture.frames.iter_mut().for_each(Frame::strip_vlan);
    assert_eq!(capture.frames, frames);
    let mut plain = original.clone();
    plain.iter_mut().for_each(Frame::strip_vlan);
    assert_eq!(plain, original);
}

#[test]
fn a_tag_that_is_all_zero_stays_in_the_frame() {
    let mut frame = Datagrams {
        count: 1,
        conversations: 1,
        payload_length: 31,
    }
    .frames()
    .remove(0);
    frame.data.splice(12..12, [0x81, 0x00, 0x00, 0x00]);
    let tagged = frame.clone();
    frame.strip_vlan();
    assert_eq!(frame, tagged);
    // VLAN 0 with a priority is something to tell, so it travels beside the frame.
    frame.data[14] = 0x20;
    frame.strip_vlan();
    assert_eq!(frame.vlan, Some(0x2000));
    assert_eq!(frame.wire_length(), tagged.wire_length());
}
