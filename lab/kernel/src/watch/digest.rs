//! A hash of the event stream: equal for equal schedules.

use std::hash::{Hash, Hasher};

use lab_rules::Event;

/// BLAKE3 over the events in order.
#[derive(Default)]
pub(super) struct Digest {
    hasher: blake3::Hasher,
}

impl Digest {
    pub(super) fn update(&mut self, event: &Event) {
        event.hash(&mut Feed(&mut self.hasher));
    }

    pub(super) fn hex(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

/// Lets `#[derive(Hash)]` write into it. The lab runs on x86-64 only, so the bytes are the same
/// everywhere.
struct Feed<'a>(&'a mut blake3::Hasher);

impl Hasher for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
