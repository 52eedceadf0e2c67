//! What NDIS keeps for drivers that were written before 6.20: their timers, reader-writer locks, strings and memory.

use crate::abi::constant::{NDIS_STATUS_FAILURE, NDIS_STATUS_SUCCESS};
use crate::abi::ndis::{LOCK_STATE, NDIS_RW_LOCK};
use crate::abi::nt::{KTIMER, UNICODE_STRING as U};
use crate::memory;
use crate::nt::shared_lock::{self, Mode};
use crate::nt::{dpc, imports, status, timer};
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::pool::Kind;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisInitializeTimer => initialize_timer,
    NdisSetTimer => set_timer,
    NdisSetPeriodicTimer => set_periodic_timer,
    NdisCancelTimer => cancel_timer,
    NdisInitializeReadWriteLock => initialize_lock,
    NdisAcquireReadWriteLock => acquire_lock,
    NdisReleaseReadWriteLock => release_lock,
    NdisInitializeString => initialize_string,
    NdisAllocateMemoryWithTag => allocate,
}

/// The tag of what is asked for without one.
const NO_TAG: u32 = u32::from_le_bytes(*b"NDst");
/// 100 ns in a millisecond.
const PER_MILLISECOND: i64 = 10_000;

/// An NDIS_TIMER is a KTIMER and the KDPC behind it.
fn dpc_of(timer: u64) -> u64 {
    timer.wrapping_add(KTIMER::SIZE as u64)
}

/// What NDIS calls gets the same four arguments as the routine of a DPC.
fn initialize_timer(call: &Call<'_>) -> u64 {
    let (at, routine, context) = (call.arg(0), call.arg(1), call.arg(2));
    timer::initialize_at(at, 0);
    dpc::initialize_at(dpc_of(at), routine, context)
}

fn set_timer(call: &Call<'_>) -> u64 {
    start(call.arg(0), call.arg_u32(1), 0)
}

fn set_periodic_timer(call: &Call<'_>) -> u64 {
    start(call.arg(0), call.arg_u32(1), call.arg_u32(1))
}

fn start(at: u64, delay_ms: u32, period_ms: u32) -> u64 {
    timer::set(
        at,
        -PER_MILLISECOND * i64::from(delay_ms),
        period_ms,
        dpc_of(at),
    );
    0
}

/// As the page says of NdisCancelTimer: whether the timer was set and its function is not called.
fn cancel_timer(call: &Call<'_>) -> u64 {
    let was_set = timer::cancel_at(call.arg(0));
    mem::write(call.arg(1), u8::from(was_set)).or_fault();
    0
}

fn initialize_lock(call: &Call<'_>) -> u64 {
    mem::fill(call.arg(0), NDIS_RW_LOCK::SIZE, 0).or_fault();
    0
}

fn acquire_lock(call: &Call<'_>) -> u64 {
    let (lock, state) = (call.arg(0), call.arg(2));
    mem::read::<u64>(lock).or_fault();
    let mode = if call.arg_u8(1) == 0 {
        Mode::Shared
    } else {
        Mode::Exclusive
    };
    let old = shared_lock::acquire(lock, mode);
    LOCK_STATE::OldIrql.write(state, old).or_fault();
    0
}

fn release_lock(call: &Call<'_>) -> u64 {
    let old = LOCK_STATE::OldIrql.read(call.arg(1)).or_fault();
    shared_lock::release_to(call.arg(0), old);
    0
}

/// A Unicode string of its own for a text of bytes: `NdisFreeString` frees it as NDIS memory.
fn initialize_string(call: &Call<'_>) -> u64 {
    let (string, source) = (call.arg(0), call.arg(1));
    let mut length = 0_u64;
    while mem::read::<u8>(source.wrapping_add(length)).or_fault() != 0 {
        length += 1;
    }
    let bytes = u16::try_from(2 * length).unwrap_or(u16::MAX - 3) & !1;
    let room = bytes + 2;
    let buffer = memory::allocate(NO_TAG, room.into(), Kind::NonPaged, true);
    let fill = || {
        U::Buffer.write(string, buffer)?;
        let (bytes, room) = if buffer == 0 { (0, 0) } else { (bytes, room) };
        U::Length.write(string, bytes)?;
        U::MaximumLength.write(string, room)?;
        for index in 0..u64::from(bytes / 2) {
            let byte = mem::read::<u8>(source.wrapping_add(index))?;
            mem::write(buffer + 2 * index, u16::from(byte))?;
        }
        Ok(())
    };
    let filled: Result<(), mem::BadAddress> = fill();
    filled.or_fault();
    0
}

/// NULL and a status where there is nothing to have.
fn allocate(call: &Call<'_>) -> u64 {
    let (out, bytes, tag) = (call.arg(0), call.arg_u32(1), call.arg_u32(2));
    let block = memory::allocate(tag, bytes.into(), Kind::NonPaged, false);
    mem::write(out, block).or_fault();
    status(if block == 0 {
        NDIS_STATUS_FAILURE
    } else {
        NDIS_STATUS_SUCCESS
    })
}
