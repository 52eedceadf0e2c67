//! Frames, and captures of them.

/// A TCP SYN with options, over IPv4.
pub(crate) fn syn() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([
        0x45, 0, 0, 48, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    frame.extend([
        0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x70, 2, 0xFF, 0xFF, 0, 0, 0, 0,
    ]);
    frame.extend([2, 4, 5, 0xB4, 1, 1, 4, 2]);
    frame
}

/// A capture file: each frame whole, a microsecond behind the one before.
pub(crate) fn pcap(frames: &[&[u8]]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (frame, at) in frames.iter().zip(0_u32..) {
        let length = frame.len() as u32;
        for word in [0, at, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(*frame);
    }
    file
}
