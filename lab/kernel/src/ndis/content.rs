//! The frames of structures as numbers: a structure of the filter's with those of one that it was given is a copy of it.

use std::hash::{DefaultHasher, Hash, Hasher};

use lab_rules::event::{Content, HandedNbl, NblCall};

use super::nbl::{self, mark};
use super::{data_space, own};

/// What is in structures that the filter is about to be given.
pub(super) fn of_given(nbls: &[u64]) -> Vec<Content> {
    let may_be_copied = mark::is_on() && own::has_pools();
    let content = |nbl: &u64| Content {
        buffers: nbl::buffers(*nbl),
        frames: if may_be_copied { frames(*nbl) } else { None },
    };
    nbls.iter().map(content).collect()
}

/// Looks into the filter's own structures that it is about to send or indicate.
pub(super) fn look_at_handed(call: NblCall, handed: &mut [HandedNbl]) {
    if !mark::is_on() || matches!(call, NblCall::SendComplete | NblCall::Return) {
        return;
    }
    for handed in handed {
        if own::is_own(handed.nbl) {
            handed.frames = frames(handed.nbl);
        }
    }
}

/// A number for the frames of a structure; `None` without any byte, and where it leads nowhere, which is an event of its own.
fn frames(nbl: u64) -> Option<u64> {
    let buffers = data_space::buffers(nbl).ok()?;
    let frames = buffers.into_iter().map(data_space::frame);
    let frames: Vec<Vec<u8>> = frames.collect::<Result<_, _>>().ok()?;
    let mut hasher = DefaultHasher::new();
    frames.hash(&mut hasher);
    let is_empty = frames.iter().all(Vec::is_empty);
    (!is_empty).then(|| hasher.finish())
}
