//! Identifiers of activities, one for each thread.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::abi::constant::STATUS_INVALID_PARAMETER;
use crate::nt::{SUCCESS, status};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched::{self, ThreadId};
use crate::watch::OrFault;

/// `EVENT_ACTIVITY_CTRL_…_ID`.
mod code {
    pub(super) const GET: u32 = 1;
    pub(super) const SET: u32 = 2;
    pub(super) const CREATE: u32 = 3;
    pub(super) const GET_SET: u32 = 4;
    pub(super) const CREATE_SET: u32 = 5;
}

/// An identifier as two words; none is set at first.
type Activity = [u64; 2];

per_image! {
    static ACTIVITIES: RefCell<BTreeMap<ThreadId, Activity>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all threads: a run begins.
pub(super) fn reset() {
    ACTIVITIES.take();
}

fn set(activity: Activity) {
    ACTIVITIES.with_borrow_mut(|all| all.insert(sched::current(), activity));
}

/// `EtwActivityIdControl`.
pub(super) fn control(call: &Call<'_>) -> u64 {
    let (code, at) = (call.arg_u32(0), call.arg(1));
    let second = at.wrapping_add(8);
    let read = || [at, second].map(|word| mem::read::<u64>(word).or_fault());
    let write = |[low, high]: Activity| {
        mem::write(at, low).or_fault();
        mem::write(second, high).or_fault();
    };
    let create = || [sched::random(u64::MAX), sched::random(u64::MAX)];
    let before = ACTIVITIES
        .with_borrow(|all| all.get(&sched::current()).copied())
        .unwrap_or_default();
    match code {
        code::GET => write(before),
        code::SET => set(read()),
        code::CREATE => write(create()),
        code::GET_SET => {
            set(read());
            write(before);
        }
        code::CREATE_SET => {
            set(create());
            write(before);
        }
        _ => return status(STATUS_INVALID_PARAMETER),
    }
    SUCCESS
}
