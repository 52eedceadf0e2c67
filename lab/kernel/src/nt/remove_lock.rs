//! Remove locks, in the driver's memory: what is acquired, by lock and tag.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{DeviceEvent, Remaining};

use super::{SUCCESS, imports, ke, status};
use crate::abi::constant::STATUS_DELETE_PENDING;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem::{BadAddress, Field, fill};
use crate::watch::{self, Holder, OrFault, emit};

imports! {
    "ntoskrnl.exe":
    IoInitializeRemoveLockEx => initialize,
    IoAcquireRemoveLockEx => acquire,
    IoReleaseRemoveLockEx => release,
    IoReleaseRemoveLockAndWaitEx => release_and_wait,
}

/// `IO_REMOVE_LOCK_COMMON_BLOCK`: whether the device is being removed, how many have the lock and one, and an event.
const REMOVED: Field<u8> = Field::at(0);
const COUNT: Field<i32> = Field::at(4);
const EVENT: u64 = 8;
const BYTES: usize = 32;

per_image! {
    /// How often each is acquired.
    static HELD: RefCell<BTreeMap<(u64, u64), u32>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    HELD.take();
}

/// Locks that are acquired still.
pub(crate) fn remaining() -> Remaining {
    HELD.with_borrow(|held| Remaining {
        count: held.values().sum(),
        first: held.keys().next().map_or(0, |(lock, _)| *lock),
    })
}

/// Time limits and marks are for checked builds of the system.
fn initialize(call: &Call<'_>) -> u64 {
    let lock = call.arg(0);
    let make = || {
        fill(lock, BYTES, 0)?;
        COUNT.write(lock, 1)?;
        ke::initialize_event_at(lock.wrapping_add(EVENT), false, false)
    };
    make().or_fault();
    0
}

fn acquire(call: &Call<'_>) -> u64 {
    let (lock, tag) = (call.arg(0), call.arg(1));
    let take = || {
        if REMOVED.read(lock)? != 0 {
            return Ok(false);
        }
        let count = COUNT.read(lock)?;
        COUNT.write(lock, count.saturating_add(1))?;
        Ok(true)
    };
    let taken: Result<bool, BadAddress> = take();
    if !taken.or_fault() {
        return status(STATUS_DELETE_PENDING);
    }
    watch::note_object("remove lock", lock, "allocated", Holder::Driver);
    HELD.with_borrow_mut(|held| *held.entry((lock, tag)).or_default() += 1);
    SUCCESS
}

/// Gives one up; tells whether it was acquired.
fn give_up(lock: u64, tag: u64) -> bool {
    let was_held = HELD.with_borrow_mut(|held| {
        let Some(count) = held.get_mut(&(lock, tag)) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            held.remove(&(lock, tag));
        }
        true
    });
    if !was_held {
        emit(Kind::Device(DeviceEvent::LockNotHeld { lock, tag }));
    }
    was_held
}

fn count_down(lock: u64) -> Result<(), BadAddress> {
    let count = COUNT.read(lock)?.saturating_sub(1);
    COUNT.write(lock, count)?;
    if count == 0 {
        ke::set_event_at(lock.wrapping_add(EVENT))?;
    }
    Ok(())
}

fn release(call: &Call<'_>) -> u64 {
    if give_up(call.arg(0), call.arg(1)) {
        count_down(call.arg(0)).or_fault();
    }
    0
}

/// Nobody gets it any more, and who has it still is waited for.
fn release_and_wait(call: &Call<'_>) -> u64 {
    let (lock, tag) = (call.arg(0), call.arg(1));
    if !give_up(lock, tag) {
        return 0;
    }
    let close = || {
        REMOVED.write(lock, 1)?;
        // The caller's, and that of the lock itself.
        count_down(lock)?;
        count_down(lock)?;
        COUNT.read(lock)
    };
    if close().or_fault() > 0 {
        ke::wait_for(lock.wrapping_add(EVENT), None);
    }
    0
}
