//! What the system is: its version, its processors, its processes, and the stack that a thread is on.

use super::{SUCCESS, imports, status};
use crate::abi::constant::STATUS_INVALID_PARAMETER;
use crate::abi::nt::UNICODE_STRING as U;
use crate::ndis::version;
use crate::rt::Call;
use crate::rt::exception;
use crate::rt::mem;
use crate::rt::sched;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    PsGetVersion => ps_version,
    PsIsSystemThread => yes,
    ExVerifySuite => no,
    ExIsProcessorFeaturePresent => has_feature,
    ExUuidCreate => create_uuid,
    IoGetStackLimits => stack_limits,
    IoIs32bitProcess => no,
    KeQueryMaximumGroupCount => one_group,
    KeQueryGroupAffinity => group_affinity,
    KeGetProcessorIndexFromNumber => processor_index,
    KeGetProcessorNumberFromIndex => processor_number,
    KeShouldYieldProcessor => no,
    KeSaveExtendedProcessorState => save_state,
    KeRestoreExtendedProcessorState => nothing,
    MmGetPhysicalAddress => physical_address,
}

fn yes(_: &Call<'_>) -> u64 {
    1
}

fn no(_: &Call<'_>) -> u64 {
    0
}

fn nothing(_: &Call<'_>) -> u64 {
    0
}

/// FALSE: a free build.
fn ps_version(call: &Call<'_>) -> u64 {
    for (place, value) in [(0, 10), (1, 0), (2, version::build_number())] {
        if call.arg(place) != 0 {
            mem::write::<u32>(call.arg(place), value).or_fault();
        }
    }
    if call.arg(3) != 0 {
        mem::fill(call.arg(3), U::SIZE, 0).or_fault();
    }
    0
}

/// What every x64 processor has that Windows runs on.
fn has_feature(call: &Call<'_>) -> u64 {
    /// `PF_COMPARE_EXCHANGE_DOUBLE`, `PF_MMX_INSTRUCTIONS_AVAILABLE`, `PF_XMMI_INSTRUCTIONS_AVAILABLE`,
    /// `PF_RDTSC_INSTRUCTION_AVAILABLE`, `PF_PAE_ENABLED`, `PF_XMMI64_INSTRUCTIONS_AVAILABLE`, `PF_NX_ENABLED`,
    /// `PF_SSE3_INSTRUCTIONS_AVAILABLE`, `PF_COMPARE_EXCHANGE128`.
    const PRESENT: [u32; 9] = [2, 3, 6, 8, 9, 10, 12, 13, 14];
    u64::from(PRESENT.contains(&call.arg_u32(0)))
}

/// A random one, of version 4.
fn create_uuid(call: &Call<'_>) -> u64 {
    const VERSION: u64 = 4 << 60;
    const VARIANT: u64 = 0x80;
    let (low, high) = (sched::random(u64::MAX), sched::random(u64::MAX));
    // The third part, a number of 16 bits, ends the first word; the variant is in the ninth byte.
    let low = low & !(0xF << 60) | VERSION;
    let high = high & !0xC0 | VARIANT;
    mem::write(call.arg(0), low).or_fault();
    mem::write(call.arg(0).wrapping_add(8), high).or_fault();
    SUCCESS
}

fn stack_limits(call: &Call<'_>) -> u64 {
    let (low, high) = exception::stack_limits();
    mem::write(call.arg(0), low).or_fault();
    mem::write(call.arg(1), high).or_fault();
    0
}

pub(crate) fn one_group(_: &Call<'_>) -> u64 {
    1
}

/// A bit for every processor.
pub(crate) fn all_processors() -> u64 {
    1u64.checked_shl(sched::processors())
        .map_or(u64::MAX, |bit| bit - 1)
}

/// All are in group 0; another has none.
pub(crate) fn group_affinity(call: &Call<'_>) -> u64 {
    if call.arg_u16(0) == 0 {
        all_processors()
    } else {
        0
    }
}

/// The index of a PROCESSOR_NUMBER, a group of 16 bits and a number of 8; none where there is no such processor.
pub(crate) fn index_of(number: u32) -> Option<u32> {
    let (group, index) = (number & 0xFFFF, number >> 16 & 0xFF);
    (group == 0 && index < sched::processors()).then_some(index)
}

/// What stands for no processor.
pub(crate) const INVALID_PROCESSOR_INDEX: u32 = u32::MAX;

fn processor_index(call: &Call<'_>) -> u64 {
    let number = mem::read::<u32>(call.arg(0)).or_fault();
    index_of(number).unwrap_or(INVALID_PROCESSOR_INDEX).into()
}

pub(crate) fn processor_number(call: &Call<'_>) -> u64 {
    let index = call.arg_u32(0);
    if index >= sched::processors() {
        return status(STATUS_INVALID_PARAMETER);
    }
    mem::write(call.arg(1), index << 16).or_fault();
    SUCCESS
}

/// The lab's own code keeps what a driver has in the registers that this is about.
fn save_state(_: &Call<'_>) -> u64 {
    SUCCESS
}

/// Each page of what the lab gives out has a place of its own in physical memory.
fn physical_address(call: &Call<'_>) -> u64 {
    call.arg(0).wrapping_sub(exception::USER_END)
}
