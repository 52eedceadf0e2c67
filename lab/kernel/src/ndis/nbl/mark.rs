//! Frames that no other packet of a run has, so that a copy can be told by its frame.
//!
//! What senders count anyway has the number: the identification of IPv4, the flow label of IPv6. Neither is in the
//! checksum of what is inside. Other frames get bytes behind them, as adapters pad short ones.

use std::cell::Cell;

use crate::Frame;

thread_local! {
    /// The number of the next frame; `None` in a run in which frames stay as they are.
    static NEXT: Cell<Option<u32>> = const { Cell::new(None) };
}

const ETHERTYPE: usize = 12;
const TAG: usize = 4;

/// A run begins, with frames that are marked or not.
pub(in crate::ndis) fn configure(is_on: bool) {
    NEXT.set(is_on.then_some(0));
}

/// Whether this run has marked frames.
pub(in crate::ndis) fn is_on() -> bool {
    NEXT.get().is_some()
}

/// A frame with a mark, if this run has marked ones and the frame has a byte.
pub(super) fn marked(frame: &Frame) -> Frame {
    let mut frame = frame.clone();
    if let Some(number) = NEXT.get()
        && !frame.data.is_empty()
    {
        NEXT.set(Some(number.wrapping_add(1)));
        write(&mut frame.data, number);
    }
    frame
}

fn write(data: &mut Vec<u8>, number: u32) {
    let mut at = ETHERTYPE;
    while let Some([0x81, 0x00] | [0x88, 0xA8]) = data.get(at..at + 2) {
        at += TAG;
    }
    let ethertype = data.get(at..at + 2).map(<[u8]>::to_vec);
    let header = data.get_mut(at + 2..).unwrap_or_default();
    match (ethertype.as_deref(), header) {
        (Some([0x08, 0x00]), [0x45..=0x4F, _, _, _, id0, id1, _, _, _, _, sum0, sum1, ..]) => {
            let before = u16::from_be_bytes([*id0, *id1]);
            let sum = u16::from_be_bytes([*sum0, *sum1]);
            let after = number as u16;
            [*id0, *id1] = after.to_be_bytes();
            // Nobody has computed one that is zero yet.
            if sum != 0 {
                [*sum0, *sum1] = updated(sum, before, after).to_be_bytes();
            }
        }
        (Some([0x86, 0xDD]), [0x60..=0x6F, label0, label1, label2, _, ..]) => {
            let [_, high, middle, low] = number.to_be_bytes();
            *label0 = *label0 & 0xF0 | high & 0x0F;
            (*label1, *label2) = (middle, low);
        }
        _ => data.extend(number.to_be_bytes()),
    }
}

/// A header checksum when a word of the header has changed: right if it was, and wrong if it was that.
fn updated(sum: u16, before: u16, after: u16) -> u16 {
    let mut total = u32::from(!sum) + u32::from(!before) + u32::from(after);
    while total > 0xFFFF {
        total = (total & 0xFFFF) + (total >> 16);
    }
    !(total as u16)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sum(header: &[u8]) -> u32 {
        let words = header.chunks(2);
        let mut total: u32 = words
            .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
            .sum();
        while total > 0xFFFF {
            total = (total & 0xFFFF) + (total >> 16);
        }
        total
    }

    fn ipv4(tags: &[u8]) -> Vec<u8> {
        let mut header = vec![
            0x45, 0, 0, 28, 0xFF, 0xFE, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        let checksum = (!sum(&header) as u16).to_be_bytes();
        header[10..12].copy_from_slice(&checksum);
        [&[2; 12][..], tags, &[8, 0], &header, &[7; 8]].concat()
    }

    #[test]
    fn all_frames_differ_and_headers_stay_right() {
        let ipv6 = [&[2; 12][..], &[0x86, 0xDD, 0x6A, 0xBC, 1, 2], &[0; 40]].concat();
        let arp = [&[2; 12][..], &[8, 6], &[0; 28]].concat();
        let table = [
            (ipv4(&[]), 0),
            (ipv4(&[0x81, 0, 0, 5]), 0),
            (ipv4(&[0x88, 0xA8, 0, 5, 0x81, 0, 0, 6]), 0),
            (ipv6, 0),
            (arp, 4),
            (ipv4(&[])[..20].to_vec(), 4),
            (vec![1; 3], 4),
        ];
        for (frame, longer) in table {
            let mut seen = BTreeSet::new();
            for number in [0, 1, 2, 0x1234, 0xFFFE, 0xFFFF] {
                let mut marked = frame.clone();
                write(&mut marked, number);
                assert_eq!(marked.len(), frame.len() + longer);
                if longer == 0 && frame[12] != 0x86 {
                    let header = marked.len() - 28;
                    assert_eq!(sum(&marked[header..header + 20]), 0xFFFF, "{number}");
                }
                assert!(seen.insert(marked), "{number}");
            }
        }
    }

    #[test]
    fn what_is_wrong_or_left_out_stays_so() {
        for checksum in [[0, 0], [0x12, 0x34]] {
            let mut frame = ipv4(&[]);
            frame[24..26].copy_from_slice(&checksum);
            write(&mut frame, 77);
            assert_eq!(frame[24..26] == [0, 0], checksum == [0, 0]);
            assert_ne!(sum(&frame[14..34]), 0xFFFF);
        }
    }

    #[test]
    fn only_runs_that_ask_have_marked_frames() {
        let frame = |data| Frame {
            direction: crate::Direction::Send,
            data,
            vlan: None,
            time_ns: 0,
            segments: 1,
            checksum_offloaded: false,
        };
        let (some, none) = (frame(ipv4(&[])), frame(Vec::new()));
        configure(false);
        assert_eq!(marked(&some).data, some.data);
        configure(true);
        assert_ne!(marked(&some).data, some.data);
        assert!(marked(&none).data.is_empty());
        assert_eq!(NEXT.get(), Some(1));
        configure(false);
    }
}
