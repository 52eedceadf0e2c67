//! The processors and the clock, as NDIS tells of them.

use crate::nt::imports;
use crate::nt::system::{self, INVALID_PROCESSOR_INDEX, all_processors, index_of};
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::{processor, sched};
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisSystemProcessorCount => count,
    NdisSystemActiveProcessorCount => active_count,
    NdisMaxGroupCount => system::one_group,
    NdisActiveGroupCount => system::one_group,
    NdisGroupMaxProcessorCount => count_in_group,
    NdisGroupActiveProcessorCount => count_in_group,
    NdisGroupActiveProcessorMask => system::group_affinity,
    NdisCurrentGroupAndProcessor => current,
    NdisProcessorIndexToNumber => system::processor_number,
    NdisProcessorNumberToIndex => index_of_number,
    NdisGetSystemUpTimeEx => up_time,
    NdisGetSharedDataAlignment => cache_line,
}

fn count(_: &Call<'_>) -> u64 {
    sched::processors().into()
}

fn active_count(call: &Call<'_>) -> u64 {
    if call.arg(0) != 0 {
        mem::write(call.arg(0), all_processors()).or_fault();
    }
    sched::processors().into()
}

/// All processors are in group 0.
fn count_in_group(call: &Call<'_>) -> u64 {
    const ALL_PROCESSOR_GROUPS: u16 = 0xFFFF;
    match call.arg_u16(0) {
        0 | ALL_PROCESSOR_GROUPS => sched::processors().into(),
        _ => 0,
    }
}

/// A PROCESSOR_NUMBER in a register: a group of 16 bits, a number of 8.
fn current(_: &Call<'_>) -> u64 {
    u64::from(sched::processor()) << 16
}

fn index_of_number(call: &Call<'_>) -> u64 {
    index_of(call.arg_u32(0))
        .unwrap_or(INVALID_PROCESSOR_INDEX)
        .into()
}

/// In milliseconds, as of the last clock tick.
fn up_time(call: &Call<'_>) -> u64 {
    const PER_MILLISECOND: u64 = 10_000;
    let time = processor::tick_count(sched::now()) * processor::tick_100ns();
    mem::write(call.arg(0), time / PER_MILLISECOND).or_fault();
    0
}

fn cache_line(_: &Call<'_>) -> u64 {
    const BYTES: u64 = 64;
    BYTES
}
