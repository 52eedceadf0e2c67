//! What was measured, in figures.

use serde::{Deserialize, Serialize};

use super::Load;

/// The difference that one wants to tell.
pub(super) const WANTED: f64 = 0.05;

/// What was measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Summary {
    /// File names of the images: one or two.
    pub images: Vec<String>,
    /// The processor of this machine, as Linux names it.
    pub processor: String,
    /// Repetitions of the whole.
    pub repetitions: u32,
    /// Turns of each load in a repetition.
    pub turns: u32,
    /// The least time of a sample, in ms.
    pub sample_ms: u64,
    /// Samples that another process has interrupted, and that were taken again.
    pub discarded: u64,
    /// One for each load.
    pub rows: Vec<Row>,
}

/// One load.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Row {
    /// What it was.
    pub load: Load,
    /// The same without a filter: ns per packet.
    pub without_filter_ns: f64,
    /// One for each image.
    pub costs: Vec<Cost>,
    /// The first image's net cost in the second's, where it can be told.
    pub ratio: Option<Ratio>,
}

/// What a packet costs.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Cost {
    /// All of it, in ns.
    pub raw_ns: f64,
    /// What the lab has of it.
    pub lab_ns: f64,
    /// What the driver's code has of it; less than nothing if that is less than the error.
    pub net: Figure,
    /// How far the net may be wrong, as the lab's own part is not known better, in ns.
    pub error_ns: f64,
    /// Calls of imports.
    pub imports: f64,
}

impl Cost {
    /// Whether the net is more than its error.
    pub fn is_above_error(&self) -> bool {
        self.net.median > self.error_ns
    }

    /// Whether a ratio can be made of it: the lab has no more than half, and the net is more than its error.
    pub fn is_told(&self) -> bool {
        self.lab_ns <= self.raw_ns / 2.0 && self.is_above_error()
    }
}

/// A ratio of net costs.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Ratio {
    /// The median of the repetitions.
    pub median: f64,
    /// How far they are apart: the largest less the least, over the median.
    pub spread: f64,
    /// How far it may be wrong beyond that, as the lab's own part is not known better; a part of it.
    pub doubt: f64,
}

impl Ratio {
    /// Whether it would show that one image costs 5 % more.
    pub fn decides(&self) -> bool {
        self.spread + self.doubt <= WANTED
    }
}

/// A median of the repetitions, and how far they are apart.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Figure {
    /// The median.
    pub median: f64,
    /// The largest less the least, over the median; 0 for one repetition.
    pub spread: f64,
}

impl Figure {
    pub(super) fn of(values: &[f64]) -> Self {
        let median = median(values.iter().copied());
        let spread = if median > 0.0 {
            Self::range(values) / median
        } else {
            0.0
        };
        Self { median, spread }
    }

    /// The largest less the least; 0 of none.
    pub(super) fn range(values: &[f64]) -> f64 {
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        (most - least).max(0.0)
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}
