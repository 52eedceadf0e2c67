//! The adapters and frames of a seed.

use lab_kernel::AdapterConfig;
use lab_net::generator::{ADAPTER, Mixture};

use crate::capture::{self, VlanTags};

/// Frames of a life, over all adapters: at least so many, and half of them each way. Where the stack is torn down
/// early, seven in eight of each direction are home, and that is more than 200.
const FRAMES: u32 = 464;

/// One adapter, or two in every fourth seed, each with frames of many shapes.
pub(crate) fn adapters(seed: u64) -> Vec<AdapterConfig> {
    let count: u32 = if seed % 4 == 3 { 2 } else { 1 };
    (0..count)
        .map(|index| {
            let mixture = Mixture {
                seed: seed ^ u64::from(index) << 63,
                count: FRAMES / count,
            };
            let [first @ .., _] = ADAPTER.0;
            let [a, b, c, d, e] = first;
            AdapterConfig {
                name: format!("{}", index + 1),
                mac: [a, b, c, d, e, 1 + index as u8],
                frames: mixture
                    .frames()
                    .into_iter()
                    .map(|frame| capture::convert(frame, VlanTags::OutOfBand))
                    .collect(),
            }
        })
        .collect()
}
