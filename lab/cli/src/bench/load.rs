//! What is measured, and how a process is asked for it.

use std::fmt;

use lab_kernel::{Direction, Sample};
use serde::{Deserialize, Serialize};

/// Packets of one kind.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Sends, or else receives.
    pub is_send: bool,
    /// Bytes of a frame.
    pub bytes: u32,
    /// Packets of one call.
    pub batch: u32,
    /// Whether caches hold the packets.
    pub is_hot: bool,
}

impl Load {
    /// Bytes of the frames.
    pub(super) const FRAMES: [u32; 2] = [64, 1514];
    const BATCHES: [u32; 3] = [1, 32, 256];

    /// All of them.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for is_send in [true, false] {
            for bytes in Self::FRAMES {
                for batch in Self::BATCHES {
                    all.extend([true, false].map(|is_hot| Self {
                        is_send,
                        bytes,
                        batch,
                        is_hot,
                    }));
                }
            }
        }
        all
    }

    /// `send` or `receive`.
    pub(super) fn direction(&self) -> &'static str {
        if self.is_send { "send" } else { "receive" }
    }

    /// `hot` or `cold`.
    pub(super) fn buffers(&self) -> &'static str {
        if self.is_hot { "hot" } else { "cold" }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (direction, buffers) = (self.direction(), self.buffers());
        write!(
            f,
            "{direction}, {} bytes, batches of {}, {buffers}",
            self.bytes, self.batch
        )
    }
}

/// What a process is asked for.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Question {
    pub(super) load: Load,
    pub(super) is_past: bool,
    pub(super) again: u8,
    pub(super) least_ns: u64,
}

impl Question {
    /// As the lab takes it.
    pub(super) fn load(self) -> lab_kernel::Load {
        lab_kernel::Load {
            direction: if self.load.is_send {
                Direction::Send
            } else {
                Direction::Receive
            },
            bytes: self.load.bytes,
            batch: self.load.batch,
            is_hot: self.load.is_hot,
            is_past: self.is_past,
            again: self.again,
            least_ns: self.least_ns,
        }
    }
}

/// One sample.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Taken {
    pub(super) packets: u64,
    pub(super) elapsed_ns: f64,
    pub(super) driver_ns: f64,
    pub(super) doubt_ns: f64,
    pub(super) imports: u64,
    pub(super) is_interrupted: bool,
}

impl Taken {
    /// A whole's part of each packet.
    pub(super) fn per_packet(&self, whole: f64) -> f64 {
        whole / self.packets as f64
    }
}

impl From<Sample> for Taken {
    fn from(sample: Sample) -> Self {
        Self {
            packets: sample.packets,
            elapsed_ns: sample.elapsed_ns,
            driver_ns: sample.driver_ns,
            doubt_ns: sample.doubt_ns,
            imports: sample.imports,
            is_interrupted: sample.is_interrupted,
        }
    }
}
