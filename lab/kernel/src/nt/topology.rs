//! How the machine's processors belong together: each is a core of its own, all are in one package, one NUMA node and one
//! group, and share no cache.

use super::imports;
use super::system::{all_processors, index_of};
use super::{SUCCESS, status};
use crate::abi::constant::{
    STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED,
};
use crate::abi::nt::GROUP_AFFINITY as G;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    KeQueryLogicalProcessorRelationship => relationship,
    KeQueryActiveProcessors => active_processors,
    KeQueryHighestNodeNumber => node,
    KeGetCurrentNodeNumber => node,
    KeQueryNodeActiveAffinity => node_affinity,
    KeQueryNodeActiveAffinity2 => node_affinities,
    KeQueryNodeActiveProcessorCount => node_count,
    KeQueryNodeMaximumProcessorCount => node_count,
    KeGetCurrentProcessorIndex => current_index,
    KeGetRecommendedSharedDataAlignment => cache_line,
    KeInvalidateAllCaches => invalidate,
    KeQueryAuxiliaryCounterFrequency => no_counter,
    MmIsThisAnNtAsSystem => no_server,
    MmQuerySystemSize => system_size,
}

/// `LOGICAL_PROCESSOR_RELATIONSHIP`.
mod relation {
    pub(super) const PROCESSOR_CORE: u32 = 0;
    pub(super) const NUMA_NODE: u32 = 1;
    pub(super) const CACHE: u32 = 2;
    pub(super) const PROCESSOR_PACKAGE: u32 = 3;
    pub(super) const GROUP: u32 = 4;
    pub(super) const PROCESSOR_DIE: u32 = 5;
    pub(super) const NUMA_NODE_EX: u32 = 6;
    pub(super) const PROCESSOR_MODULE: u32 = 7;
    pub(super) const ALL: u32 = 0xFFFF;
}

/// Bytes of a `SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX` before what differs.
const HEAD_BYTES: usize = 8;
/// Bytes of a `PROCESSOR_RELATIONSHIP` and a `NUMA_NODE_RELATIONSHIP` with one group, and where that is.
const MASKED_BYTES: usize = 40;
const MASKS: usize = 24;
/// Bytes of a `GROUP_RELATIONSHIP` with one group.
const GROUP_BYTES: usize = 72;

/// One record of a relation.
fn record(kind: u32, body_bytes: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let size = HEAD_BYTES + body_bytes;
    let mut bytes = vec![0; size];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[4..8].copy_from_slice(&(size as u32).to_le_bytes());
    fill(&mut bytes[HEAD_BYTES..]);
    bytes
}

/// A record about the processors of a mask.
fn of_mask(kind: u32, mask: u64) -> Vec<u8> {
    record(kind, MASKED_BYTES, |body| {
        // GroupCount is the last member before the masks, in both structures.
        body[MASKS - 2] = 1;
        body[MASKS..MASKS + 8].copy_from_slice(&mask.to_le_bytes());
    })
}

/// The records of one relation; about one processor, or all of `count`.
fn records(kind: u32, one: Option<u32>, count: u32) -> Vec<u8> {
    let all = 1_u64.checked_shl(count).map_or(u64::MAX, |bit| bit - 1);
    let chosen = (0..count).filter(|number| one.is_none_or(|one| one == *number));
    match kind {
        relation::PROCESSOR_CORE => chosen
            .flat_map(|number| of_mask(kind, 1 << number))
            .collect(),
        relation::PROCESSOR_PACKAGE | relation::PROCESSOR_DIE | relation::PROCESSOR_MODULE => {
            of_mask(kind, all)
        }
        relation::NUMA_NODE | relation::NUMA_NODE_EX => of_mask(relation::NUMA_NODE, all),
        relation::GROUP => record(kind, GROUP_BYTES, |body| {
            // Groups that may be and that are; then those of the one: processors that may be, that are, and which.
            const INFO: usize = 24;
            (body[0], body[2]) = (1, 1);
            (body[INFO], body[INFO + 1]) = (count as u8, count as u8);
            body[INFO + 40..INFO + 48].copy_from_slice(&all.to_le_bytes());
        }),
        relation::ALL => [
            relation::PROCESSOR_CORE,
            relation::PROCESSOR_PACKAGE,
            relation::NUMA_NODE,
            relation::GROUP,
        ]
        .into_iter()
        .flat_map(|kind| records(kind, one, count))
        .collect(),
        _ => Vec::new(),
    }
}

fn relationship(call: &Call<'_>) -> u64 {
    let (processor, kind, out, length_at) =
        (call.arg(0), call.arg_u32(1), call.arg(2), call.arg(3));
    let one = if processor == 0 {
        None
    } else {
        let Some(index) = index_of(mem::read(processor).or_fault()) else {
            return status(STATUS_INVALID_PARAMETER);
        };
        Some(index)
    };
    if !matches!(
        kind,
        relation::PROCESSOR_CORE..=relation::PROCESSOR_MODULE | relation::ALL
    ) {
        return status(STATUS_INVALID_PARAMETER);
    }
    let room = mem::read::<u32>(length_at).or_fault();
    let bytes = records(kind, one, sched::processors());
    mem::write(length_at, bytes.len() as u32).or_fault();
    if kind == relation::CACHE {
        // The processors of the lab have none.
        return SUCCESS;
    }
    if out == 0 || (room as usize) < bytes.len() {
        return status(STATUS_INFO_LENGTH_MISMATCH);
    }
    mem::write_bytes(out, &bytes).or_fault();
    SUCCESS
}

fn active_processors(_: &Call<'_>) -> u64 {
    all_processors()
}

/// The only node.
fn node(_: &Call<'_>) -> u64 {
    0
}

/// The processors of a node.
fn in_node(node: u16) -> u64 {
    if node == 0 { all_processors() } else { 0 }
}

fn write_affinity(at: u64, mask: u64) {
    let write = || {
        mem::fill(at, G::SIZE, 0)?;
        G::Mask.write(at, mask)
    };
    write().or_fault();
}

fn node_affinity(call: &Call<'_>) -> u64 {
    let (affinity, count) = (call.arg(1), call.arg(2));
    let mask = in_node(call.arg_u16(0));
    if affinity != 0 {
        write_affinity(affinity, mask);
    }
    if count != 0 {
        mem::write(count, mask.count_ones() as u16).or_fault();
    }
    0
}

/// A node with all its groups: there is one.
fn node_affinities(call: &Call<'_>) -> u64 {
    const STATUS_BUFFER_TOO_SMALL: i32 = crate::abi::constant::STATUS_BUFFER_TOO_SMALL;
    let (node, out, room, needed) = (call.arg_u16(0), call.arg(1), call.arg_u16(2), call.arg(3));
    if node != 0 {
        return status(STATUS_INVALID_PARAMETER);
    }
    mem::write(needed, 1_u16).or_fault();
    if out == 0 || room == 0 {
        return status(STATUS_BUFFER_TOO_SMALL);
    }
    write_affinity(out, all_processors());
    SUCCESS
}

fn node_count(call: &Call<'_>) -> u64 {
    in_node(call.arg_u16(0)).count_ones().into()
}

fn current_index(_: &Call<'_>) -> u64 {
    sched::processor().into()
}

/// Bytes that processors share or do not.
fn cache_line(_: &Call<'_>) -> u64 {
    const BYTES: u64 = 64;
    BYTES
}

/// TRUE: what all processors see is the same anyway.
fn invalidate(_: &Call<'_>) -> u64 {
    1
}

fn no_counter(_: &Call<'_>) -> u64 {
    status(STATUS_NOT_SUPPORTED)
}

/// FALSE: a workstation.
fn no_server(_: &Call<'_>) -> u64 {
    0
}

/// `MmLargeSystem`.
fn system_size(_: &Call<'_>) -> u64 {
    const LARGE: u64 = 2;
    LARGE
}

#[cfg(test)]
mod tests {
    use super::{records, relation};

    /// The kinds of the records, by the sizes that they give themselves.
    fn kinds(mut bytes: &[u8]) -> Vec<u32> {
        let mut kinds = Vec::new();
        while let Some((head, _)) = bytes.split_first_chunk::<8>() {
            let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four"));
            kinds.push(word(0));
            bytes = &bytes[word(4) as usize..];
        }
        kinds
    }

    #[test]
    fn records_follow_one_another() {
        let all = records(relation::ALL, None, 2);
        assert_eq!(kinds(&all), [0, 0, 3, 1, 4]);
        let cores = records(relation::PROCESSOR_CORE, Some(1), 2);
        assert_eq!(kinds(&cores), [0]);
        // One group, whose mask has the second processor.
        assert_eq!(cores[30], 1);
        assert_eq!(cores[32..40], 2_u64.to_le_bytes());
        let group = records(relation::GROUP, None, 16);
        assert_eq!(group.len(), 80);
        assert_eq!(group[72..80], 0xFFFF_u64.to_le_bytes());
        assert!(records(relation::CACHE, None, 2).is_empty());
    }
}
