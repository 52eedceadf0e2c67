//! A capture as traffic of one simulated adapter.

use std::path::Path;

use lab_kernel::{AdapterConfig, Direction, Frame};
use lab_net::{Capture, DirectionRule, Local};

use crate::error::Error;

/// Where a VLAN tag travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum VlanTags {
    /// Beside the frame, in out-of-band data: hardware strips and inserts it
    OutOfBand,
    /// In the frame, as on the wire
    InFrame,
}

/// What a capture gives to an adapter.
pub(crate) struct Traffic {
    /// The adapter.
    pub(crate) adapter: AdapterConfig,
    /// How directions were decided.
    pub(crate) direction_by: String,
    /// What a reader of the counts should know.
    pub(crate) notes: Vec<String>,
    /// Why frames are missing at the end.
    pub(crate) damage: Option<String>,
}

/// Reads the capture at `path` for an adapter that people call `name`.
///
/// # Errors
///
/// When the file gives no frame.
pub(crate) fn read(
    path: &Path,
    name: String,
    local: &[Local],
    tags: VlanTags,
) -> Result<Traffic, Error> {
    let capture = Capture::open(path, local)
        .map_err(|error| Error::bad_input(format!("{} {error}", path.display())))?;
    let mut notes = Vec::new();
    if capture.cut_frames > 0 {
        notes.push(format!(
            "{} frames were cut short when captured; their rest is zeros",
            capture.cut_frames
        ));
    }
    for (link_type, packets) in &capture.skipped {
        notes.push(format!(
            "{packets} packets of link type {link_type} are left out"
        ));
    }
    Ok(Traffic {
        adapter: AdapterConfig {
            name,
            mac: capture.adapter_mac.0,
            frames: capture
                .frames
                .into_iter()
                .map(|frame| convert(frame, tags))
                .collect(),
        },
        direction_by: match capture.direction_rule {
            DirectionRule::Recorded => "recorded",
            DirectionRule::Given => "by --local",
            DirectionRule::MostFrequentSource => "most frequent source",
        }
        .to_owned(),
        notes,
        damage: capture
            .damage
            .map(|damage| format!("{} is {damage}", path.display())),
    })
}

/// A frame as the lab takes it.
pub(crate) fn convert(mut frame: lab_net::Frame, tags: VlanTags) -> Frame {
    if tags == VlanTags::OutOfBand {
        frame.strip_vlan();
    }
    Frame {
        direction: match frame.direction {
            lab_net::Direction::Send => Direction::Send,
            lab_net::Direction::Receive => Direction::Receive,
        },
        data: frame.data,
        vlan: frame.vlan,
        time_ns: frame.time_ns,
        segments: frame.segments,
        checksum_offloaded: frame.checksum_offloaded,
    }
}
