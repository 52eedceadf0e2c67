//! Frames to facts: nothing panics, and a snapshot says nothing that the whole frame does not.
//!
//! The last three bytes of the input are the tag beside the frame, if the first of them is odd.

#![no_main]

use inspect::{PacketFacts, Problem, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (frame, tag) = match input.split_last_chunk() {
        Some((frame, &[flag, high, low])) if flag & 1 == 1 => {
            (frame, Some(u16::from_be_bytes([high, low])))
        }
        Some((frame, _)) => (frame, None),
        None => (input, None),
    };
    let length = frame.len() as u32;
    let whole = parse(frame, length, tag);
    assert_eq!(whole.wire_length, length + if tag.is_some() { 4 } else { 0 });
    check(&whole);
    for end in 0..frame.len() {
        let snapshot = parse(&frame[..end], length, tag);
        check(&snapshot);
        match snapshot.error {
            Some(error) if error.problem == Problem::BeyondSnapshot => {}
            _ => assert_eq!(snapshot, whole),
        }
    }
});

fn check(facts: &PacketFacts) {
    if let Some(error) = facts.error {
        assert_ne!(error.needed, error.had);
        assert_eq!(error.is_malformed(), error.problem != Problem::BeyondSnapshot);
        let _ = error.to_string();
    }
}
