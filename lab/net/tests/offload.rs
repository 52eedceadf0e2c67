//! What a frame's bytes show of work that is the adapter's.
#![forbid(unsafe_code)]

use lab_net::{Direction, Frame};

/// A frame of `protocol` between two addresses with `transport` in one packet, however long.
fn frame(version: u8, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let ethernet = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    let (ethertype, ip) = if version == 4 {
        let total = (20 + transport.len()) as u16;
        let mut ip = vec![0x45, 0];
        ip.extend(total.to_be_bytes());
        ip.extend([0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        ([0x08, 0x00], ip)
    } else {
        let mut ip = vec![0x60, 0, 0, 0];
        ip.extend((transport.len() as u16).to_be_bytes());
        ip.extend([protocol, 64]);
        ip.extend([0xFD; 32]);
        ([0x86, 0xDD], ip)
    };
    [&ethernet[..], &ethertype, &ip, transport].concat()
}

/// A TCP segment with the given checksum and 32 bytes of header.
fn tcp(checksum: u16, payload_length: usize) -> Vec<u8> {
    let mut segment = vec![0; 32 + payload_length];
    segment[12] = 0x80;
    segment[16..18].copy_from_slice(&checksum.to_be_bytes());
    segment
}

fn facts(data: Vec<u8>) -> (u16, bool) {
    let frame = Frame::new(Direction::Send, data, 0);
    (frame.segments, frame.checksum_offloaded)
}

#[test]
fn segments_are_counted_by_the_usual_size() {
    for (version, room) in [(4, 1448), (6, 1428)] {
        for (payload, segments) in [
            (0, 1),
            (1, 1),
            (room, 1),
            (room + 1, 2),
            (2 * room, 2),
            (2 * room + 1, 3),
            (40 * room, 40),
        ] {
            let data = frame(version, 6, &tcp(0, payload));
            assert_eq!(
                facts(data.clone()).0,
                segments,
                "IPv{version} with {payload} bytes"
            );
            // A tag does not make a segment.
            let tagged = [&data[..12], &[0x81, 0, 0, 5], &data[12..]].concat();
            assert_eq!(facts(tagged).0, segments);
        }
    }
    assert_eq!(facts(frame(4, 17, &vec![0; 8 + 3000])).0, 3);
    // No segmentation of other protocols, nor of fragments.
    assert_eq!(facts(frame(4, 1, &vec![0; 3000])).0, 1);
    let mut fragment = frame(4, 6, &tcp(0, 3000));
    fragment[14 + 6] = 0x20;
    assert_eq!(facts(fragment).0, 1);
}

#[test]
fn a_checksum_over_the_pseudo_header_is_left_to_the_adapter() {
    // 10.0.0.1, 10.0.0.2, protocol 6, length 132.
    let partial = 0x0A00 + 0x0001 + 0x0A00 + 0x0002 + 6 + 132;
    assert_eq!(facts(frame(4, 6, &tcp(partial, 100))), (1, true));
    assert_eq!(facts(frame(4, 6, &tcp(partial ^ 0x0100, 100))), (1, false));
    let partial = (u32::from(0xFDFD_u16) * 16 + 17 + 8) % 0xFFFF;
    let datagram = [&[0; 4][..], &[0, 8], &(partial as u16).to_be_bytes()].concat();
    assert_eq!(facts(frame(6, 17, &datagram)), (1, true));
}

#[test]
fn short_frames_stand_for_themselves() {
    let whole = frame(4, 6, &tcp(0, 3000));
    for end in 0..70 {
        assert_eq!(facts(whole[..end].to_vec()), (1, false), "{end} bytes");
    }
}
