//! Structures that go from one filter of a stack to the next.

use lab_rules::event::NblPath;

use super::{Making, RECORDS, Record, Shadow, away, slot_value};
use crate::abi::constant::{Ieee8021QNetBufferListInfo, NetBufferListCancelId};
use crate::abi::ndis::{NET_BUFFER, NET_BUFFER_LIST};
use crate::ndis::adapter::{self, side};
use crate::ndis::{data_space, own, stack};
use crate::rt::mem::BadAddress;
use crate::rt::sched;
use crate::watch::{self, OrFault};

/// A structure as the image that passes it on knows it.
pub(crate) struct Passed {
    nbl: u64,
    record: Record,
}

/// What the running image passes on: what it was given by a neighbour, and its own.
pub(crate) fn describe(adapter: u32, path: NblPath, nbls: &[u64]) -> Vec<Passed> {
    let describe = |nbl: &u64| {
        let blocks = away::reopen(*nbl).or_fault();
        known(*nbl).unwrap_or_else(|| of_own(adapter, path, *nbl, blocks).or_fault())
    };
    nbls.iter().map(describe).collect()
}

/// A structure of a neighbour's. The next image may do to it what this one may.
fn known(nbl: u64) -> Option<Passed> {
    RECORDS.with_borrow(|records| {
        let record = records.get(&nbl)?;
        let record = Record {
            shadow: record.shadow.renewed(),
            blocks: record.blocks.clone(),
            read_only: record.read_only.clone(),
            ..*record
        };
        Some(Passed { nbl, record })
    })
}

/// A structure of the running image's own.
fn of_own(adapter: u32, path: NblPath, nbl: u64, blocks: Vec<u64>) -> Result<Passed, BadAddress> {
    let mut shadow = Shadow::default();
    shadow.keep_nbl(nbl)?;
    let buffers = data_space::buffers(nbl)?;
    let mut bytes = 0;
    for nb in &buffers {
        shadow.keep_nb(*nb)?;
        bytes += u64::from(NET_BUFFER::DataLength.read(*nb)?);
    }
    let packets = buffers.len() as u64;
    // A tag that is to be put in is on the wire.
    if slot_value(nbl, Ieee8021QNetBufferListInfo)? != 0 {
        bytes += 4 * packets;
    }
    let parent = own::parent(nbl);
    let segments =
        RECORDS.with_borrow(|records| records.get(&parent).map(|record| record.segments));
    let record = Record {
        origin: None,
        adapter,
        path,
        making: Making {
            source: NET_BUFFER_LIST::SourceHandle.read(nbl)?,
            cancel_id: slot_value(nbl, NetBufferListCancelId)?,
            is_loopback: false,
            is_extra: true,
            port: 0,
            waiter: 0,
        },
        packets,
        bytes,
        segments: segments.unwrap_or(packets),
        shadow,
        blocks,
        read_only: Vec::new(),
        unused: None,
        header: None,
        empty_mdls: 0,
        is_header_gone: false,
        was_given: false,
        was_passed: false,
    };
    Ok(Passed { nbl, record })
}

/// How many structures of the ends of the stack the running image has passed to the next filter, and not got back:
/// sends and receives.
pub(crate) fn with_next_filter(adapter: u32) -> [usize; 2] {
    let running = sched::image();
    let mut counts = [0; 2];
    for image in stack::from_top().filter(|image| *image != running) {
        let adopted: Vec<(u64, NblPath)> = sched::on_behalf(image, || {
            RECORDS.with_borrow(|records| {
                let from_here = |record: &Record| {
                    record.adapter == adapter
                        && record.origin.is_some_and(|(from, _)| from == running)
                };
                let adopted = records.iter().filter(|(_, record)| from_here(record));
                adopted.map(|(nbl, record)| (*nbl, record.path)).collect()
            })
        });
        RECORDS.with_borrow(|records| {
            for (_, path) in adopted.iter().filter(|(nbl, _)| records.contains_key(nbl)) {
                counts[side(*path)] += 1;
            }
        });
    }
    counts
}

/// The running image has structures from the filter `from`, beside those of the ends of the stack.
pub(crate) fn adopt(from: u8, passed: Vec<Passed>, is_lent: bool) {
    for Passed { nbl, record } in passed {
        watch::note_parts(nbl, &record.blocks);
        let record = Record {
            origin: Some((from, is_lent)),
            making: Making {
                // The image at the end of the stack counts it.
                is_extra: true,
                ..record.making
            },
            was_given: false,
            was_passed: false,
            ..record
        };
        let (adapter, side) = (record.adapter, side(record.path));
        adapter::with_mut(adapter, |adapter| adapter.outstanding[side] += 1);
        RECORDS.with_borrow_mut(|records| records.insert(nbl, record));
    }
}
