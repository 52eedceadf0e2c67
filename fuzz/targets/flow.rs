//! Packets into a small table: every packet is counted once, somewhere.
//!
//! The input is a series of records: two bytes of length, one of time to let pass, then the frame.

#![no_main]

use inspect::{Direction, FlowTable, Recorded, Slot, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut table = FlowTable::new([Slot::EMPTY; 5], 0x5EED, 100);
    let (mut new, mut known, mut full) = (0, 0, 0);
    let (mut rest, mut now_ns) = (input, 0);
    while let Some((&[high, low, pause], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(after.len());
        let (frame, after) = after.split_at(length);
        rest = after;
        now_ns += u64::from(pause);
        let direction = if pause & 1 == 0 { Direction::Send } else { Direction::Receive };
        match table.record(&parse(frame, length as u32, None), direction, now_ns) {
            Recorded::New => new += 1,
            Recorded::Known => known += 1,
            Recorded::Full => full += 1,
            Recorded::NoFlow => {}
        }
    }
    assert_eq!(table.created(), new);
    assert_eq!(table.refused(), full);
    assert_eq!(u64::from(table.active()), new - table.evicted());
    let flows: Vec<_> = table.flows(0).map(|(_, flow)| *flow).collect();
    assert_eq!(flows.len(), table.active() as usize);
    let counted: u64 = flows.iter().map(|flow| flow.ab.packets + flow.ba.packets).sum();
    assert!(if table.evicted() == 0 { counted == new + known } else { counted <= new + known });
    for flow in &flows {
        assert!(flow.key.low <= flow.key.high && flow.first_ns <= flow.last_ns);
        assert!(flow.ab.packets > 0, "A sent the first packet");
        assert_eq!(flows.iter().filter(|other| other.key == flow.key).count(), 1);
    }
});
