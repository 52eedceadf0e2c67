//! What protocols and NDIS may do and drivers forget: sends are cancelled, packets come while a
//! module does not run, and sends come back as receives.

use std::cell::Cell;

use lab_rules::event::NblPath;

use super::nbl::{self, Making};
use super::{adapter, data_space, own, path, stack, traffic};
use crate::rt::mem::BadAddress;
use crate::rt::sched;
use crate::watch::OrFault;
use crate::watch::situation::met;
use crate::{Direction, Frame};

/// One in so many batches of sends is cancelled, if there is anything left to cancel.
const CANCELLED: u64 = 4;
/// One in so many batches of sends is looped back.
const LOOPED_BACK: u64 = 8;

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
    static IS_SCRIPTED: Cell<bool> = const { Cell::new(false) };
}

/// A run begins, with or without such things.
pub(super) fn configure(is_on: bool) {
    IS_ON.set(is_on);
}

/// Whether this run has such things.
pub(super) fn is_on() -> bool {
    IS_ON.get()
}

/// A run begins in which a script says what is asked and indicated, or in which that is left to the lab.
pub(super) fn follow_script(is_scripted: bool) {
    IS_SCRIPTED.set(is_scripted);
}

/// Whether this run follows a script: nobody asks for anything beside it.
pub(super) fn is_scripted() -> bool {
    IS_SCRIPTED.get()
}

/// Whether what can be had may be refused all the same.
pub(super) fn may_refuse() -> bool {
    IS_ON.get() || !IS_SCRIPTED.get()
}

/// A protocol has sent with this cancel id, and may think better of it.
pub(super) fn cancel(adapter: u32, id: u64) {
    if IS_ON.get() && sched::chance(1, CANCELLED) {
        traffic::at_some_level(|| path::cancel(adapter, id));
    }
}

/// A packet each way for a module that is pausing or paused.
pub(super) fn intrude(adapter: u32) {
    if !IS_ON.get() {
        return;
    }
    for (path, direction) in [
        (NblPath::Send, Direction::Send),
        (NblPath::Receive, Direction::Receive),
    ] {
        if let Some(frame) = any_frame(adapter, direction) {
            let making = Making {
                is_extra: true,
                ..Making::of(direction)
            };
            let nbls = vec![nbl::build(adapter, &[frame], making)];
            traffic::at_some_level(|| match path {
                NblPath::Send => path::send_down(adapter, nbls),
                NblPath::Receive => path::indicate_up(adapter, nbls, false),
            });
        }
    }
}

fn any_frame(adapter: u32, direction: Direction) -> Option<Frame> {
    adapter::with(adapter, |adapter| {
        let frames: Vec<&Frame> = adapter
            .frames
            .iter()
            .filter(|frame| frame.direction == direction)
            .collect();
        let at = sched::random(frames.len().max(1) as u64) as usize;
        frames.get(at).map(|frame| (*frame).clone())
    })
}

/// Whether a batch of sends asks NDIS to look for receivers of its own.
pub(super) fn wants_loopback() -> bool {
    IS_ON.get() && sched::chance(1, LOOPED_BACK)
}

/// NDIS indicates a frame that was sent. Called from within a send.
pub(super) fn loop_back(adapter: u32, frame: Frame) {
    // What is left to the hardware does not come back like that.
    if frame.segments > 1 || frame.checksum_offloaded {
        return;
    }
    let source = Making::of(Direction::Receive).source;
    adapter::enter(adapter, NblPath::Receive);
    indicate_loopback(adapter, frame, source);
    adapter::leave(adapter, NblPath::Receive);
}

/// NDIS indicates what the filter itself has sent; the list that it makes for that names the same source. Called from
/// within that send, while the filter runs.
pub(super) fn loop_back_own(adapter: u32, nbls: &[u64], module: u64) {
    if !IS_ON.get() || adapter::is_closed(adapter, NblPath::Receive) {
        return;
    }
    for nbl in nbls {
        if own::is_own(*nbl) && sched::chance(1, LOOPED_BACK) {
            let frame = read_frame(*nbl).or_fault();
            met("own-looped-back", 1);
            adapter::enter(adapter, NblPath::Receive);
            indicate_loopback(adapter, frame, module);
            adapter::leave(adapter, NblPath::Receive);
        }
    }
}

/// Bytes of the first NET_BUFFER of a list.
fn read_frame(nbl: u64) -> Result<Frame, BadAddress> {
    let first = data_space::buffers(nbl)?.first().copied();
    let data = first.map_or_else(|| Ok(Vec::new()), data_space::frame)?;
    Ok(Frame {
        direction: Direction::Receive,
        data,
        vlan: None,
        time_ns: 0,
        segments: 1,
        checksum_offloaded: false,
    })
}

/// Indicates a frame as looped back, at times in one call with another that is not.
fn indicate_loopback(adapter: u32, frame: Frame, source: u64) {
    let direction = Direction::Receive;
    let making = Making {
        source,
        is_extra: true,
        is_loopback: true,
        ..Making::of(direction)
    };
    stack::at_bottom(|| {
        let mut nbls = vec![nbl::build(adapter, &[Frame { direction, ..frame }], making)];
        if sched::chance(1, 2)
            && let Some(other) = any_frame(adapter, direction)
        {
            let making = Making {
                is_extra: true,
                ..Making::of(direction)
            };
            let at = sched::random(2) as usize;
            nbls.insert(at, nbl::build(adapter, &[other], making));
        }
        let low_resources = sched::chance(1, 2);
        traffic::at_some_level(|| path::indicate_up(adapter, nbls, low_resources));
    });
}
