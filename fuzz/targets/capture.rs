//! Capture files: whatever the bytes, there are frames or a reason, and the same frames when written and read again.

#![no_main]

use lab_net::{Capture, write_pcapng};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let capture = match Capture::parse(input, &[]) {
        Ok(capture) => capture,
        Err(error) => {
            assert!(!error.to_string().contains('\n'));
            return;
        }
    };
    assert!(!capture.frames.is_empty());
    assert!(capture.frames.is_sorted_by_key(|frame| frame.time_ns));
    let mut file = Vec::new();
    write_pcapng(&capture.frames, &mut file).expect("memory takes what is written");
    let again = Capture::parse(&file, &[]).expect("what was written can be read");
    assert_eq!(again.damage, None);
    assert_eq!(again.frames.len(), capture.frames.len());
    for (a, b) in again.frames.iter().zip(&capture.frames) {
        assert_eq!((a.direction, &a.data), (b.direction, &b.data));
    }
});
