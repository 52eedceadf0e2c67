//! A hash of the event stream: equal for equal schedules.

use std::hash::{Hash, Hasher};

use lab_rules::Event;

/// Bytes that are hashed in one go: events come as many small pieces.
const BUFFER: usize = 16 << 10;

/// BLAKE3 over the events in order.
#[derive(Default)]
pub(super) struct Digest {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Digest {
    pub(super) fn update(&mut self, event: &Event) {
        event.hash(&mut Feed(&mut self.buffer));
        if self.buffer.len() >= BUFFER {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    pub(super) fn hex(mut self) -> String {
        self.hasher.update(&self.buffer);
        self.hasher.finalize().to_hex().to_string()
    }
}

/// A digest of digests.
pub(super) fn join<'a>(digests: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    digests.for_each(|digest| {
        hasher.update(digest.as_bytes());
    });
    hasher.finalize().to_hex().to_string()
}

/// Lets `#[derive(Hash)]` write into it. The lab runs on x86-64 only, so the bytes are the same
/// everywhere.
struct Feed<'a>(&'a mut Vec<u8>);

impl Hasher for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
