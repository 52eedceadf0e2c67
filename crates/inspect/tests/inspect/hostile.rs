//! No bytes upset the parser or the table: every truncation, every changed byte, and noise.

use inspect::{Direction, FlowTable, PacketFacts, Problem, Slot, parse};

use crate::frame::samples;

/// Parses, and checks what holds for all facts.
fn check(frame: &[u8], frame_length: u32, tag: Option<u16>) -> PacketFacts {
    let facts = parse(frame, frame_length, tag);
    if let Some(error) = facts.error {
        match error.problem {
            Problem::Truncated | Problem::BadLength | Problem::BeyondSnapshot => {
                assert!(error.had < error.needed, "{error}");
            }
            _ => assert_ne!(error.had, error.needed, "{error}"),
        }
        if frame.len() >= frame_length as usize {
            assert!(
                error.is_malformed(),
                "a whole frame has no snapshot to blame: {error}"
            );
        }
    }
    facts
}

#[test]
fn every_truncation() {
    for (name, frame) in samples() {
        let whole = check(&frame, frame.len() as u32, None);
        for end in 0..frame.len() {
            // As a snapshot: what is told is what the whole tells, or the snapshot is to blame.
            let snapshot = check(&frame[..end], frame.len() as u32, None);
            match snapshot.error {
                None => assert_eq!(snapshot, whole, "{name} at {end}"),
                Some(error) => {
                    assert_eq!(error.problem, Problem::BeyondSnapshot, "{name} at {end}")
                }
            }
            // As a frame.
            check(&frame[..end], end as u32, Some(end as u16));
        }
    }
}

#[test]
fn every_value_of_every_byte() {
    let mut table = FlowTable::new(vec![Slot::EMPTY; 64], 7, 10);
    for (_, frame) in samples() {
        for at in 0..frame.len() {
            let mut changed = frame.clone();
            for value in 0..=255 {
                changed[at] = value;
                let facts = check(&changed, changed.len() as u32, None);
                table.record(&facts, Direction::Send, u64::from(value));
                check(&changed[..at], changed.len() as u32, None);
            }
        }
    }
    assert_eq!(table.flows(0).count() as u32, table.active());
}

#[test]
fn noise() {
    let samples = samples();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let (_, sample) = &samples[next() as usize % samples.len()];
        let mut frame = sample.clone();
        // Keeps the type, so that the noise reaches the upper layers.
        for byte in frame.iter_mut().skip(14) {
            if next() % 4 == 0 {
                *byte = next() as u8;
            }
        }
        let frame_length = next() as u32 >> (next() % 32);
        check(
            &frame,
            frame_length,
            (next() % 2 == 0).then_some(next() as u16),
        );
    }
    for length in [0, 1, u32::MAX] {
        check(&[], length, Some(0));
        check(&[0x81, 0].repeat(2000), length, None);
    }
}
