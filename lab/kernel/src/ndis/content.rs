//! The frames of structures as numbers: a structure of the filter's with those of one that it was given is a copy of it.

use std::hash::{DefaultHasher, Hasher};

use lab_rules::event::{Content, HandedNbl, NblCall};

use super::nbl::{self, mark};
use super::{data_space, own};
use crate::rt::mem::{self, BadAddress};

/// What is in structures that the filter is about to be given.
pub(super) fn of_given(nbls: &[u64]) -> Vec<Content> {
    let may_be_copied = mark::is_on() && own::has_pools();
    let content = |nbl: &u64| Content {
        buffers: nbl::buffers(*nbl),
        frames: may_be_copied.then(|| frames(*nbl).ok().flatten()).flatten(),
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
            // What leads nowhere is an event of its own.
            handed.frames = frames(handed.nbl).ok().flatten();
        }
    }
}

/// A number for the frames of a structure; `None` without any byte.
fn frames(nbl: u64) -> Result<Option<u64>, BadAddress> {
    let mut hasher = DefaultHasher::new();
    let mut bytes = Vec::new();
    let mut is_empty = true;
    for nb in data_space::buffers(nbl)? {
        bytes.clear();
        for piece in data_space::pieces(nb)? {
            let start = bytes.len();
            let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
            bytes.resize(start.saturating_add(length), 0);
            mem::read_into(piece.address, &mut bytes[start..])?;
        }
        is_empty &= bytes.is_empty();
        hasher.write_usize(bytes.len());
        hasher.write(&bytes);
    }
    Ok((!is_empty).then(|| hasher.finish()))
}
