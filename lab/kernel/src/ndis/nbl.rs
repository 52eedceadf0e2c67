//! NET_BUFFER_LISTs of protocol and miniport: built, remembered, compared, taken apart.

mod adopt;
mod answer;
mod away;
mod build;
pub(super) mod count;
mod facts;
pub(super) mod mark;
mod offload;
mod shadow;

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{Chain, HandedNbl, NblEvent, NblFacts, NblPath};

use super::adapter::{self, side};
use super::{path, stack};
use crate::Direction;
use crate::TrafficCount;
use crate::abi::constant::NDIS_NET_BUFFER_LIST_INFO;
use crate::abi::ndis::NET_BUFFER_LIST;
use crate::driver;
use crate::per_image::per_image;
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched;
use crate::watch::situation::met;
use crate::watch::{OrFault, emit};
pub(crate) use adopt::with_next_filter;
pub(super) use adopt::{adopt, describe};
pub(crate) use away::configure as configure_reach;
pub(super) use away::{hand_back, withdraw};
pub(super) use build::build;
use shadow::Shadow;

/// More structures than any list has.
const LIST_LIMIT: usize = 100_000;

/// Source handles of the neighbours: opaque to the filter.
const PROTOCOL: u64 = 0x6000_0000_7072_0000;
const MINIPORT: u64 = 0x6000_0000_6D70_0000;

/// Whose a structure is, and what is special about it.
#[derive(Clone, Copy)]
pub(super) struct Making {
    /// Its owner.
    pub(super) source: u64,
    /// What a protocol can cancel it with.
    pub(super) cancel_id: u64,
    /// A send that comes back.
    pub(super) is_loopback: bool,
    /// Beside the frames of the adapter: no progress when it is home.
    pub(super) is_extra: bool,
    /// The port that it is for, or comes from.
    pub(super) port: u32,
    /// Who waits for it, by a number of [`count`]; 0 for nobody.
    pub(super) waiter: u32,
}

impl Making {
    /// An ordinary packet of this direction, with a cancel id of its own.
    pub(super) fn of(direction: Direction) -> Self {
        let source = match direction {
            Direction::Send => PROTOCOL,
            Direction::Receive => MINIPORT,
        };
        Self {
            source,
            cancel_id: sched::random(u64::MAX),
            is_loopback: false,
            is_extra: false,
            port: 0,
            waiter: 0,
        }
    }
}

/// One NET_BUFFER_LIST of protocol or miniport, or of the next filter.
struct Record {
    /// The image that has passed it on, and whether it is only lent.
    origin: Option<(u8, bool)>,
    adapter: u32,
    path: NblPath,
    making: Making,
    packets: u64,
    bytes: u64,
    /// Frames on the wire.
    segments: u64,
    shadow: Shadow,
    /// Everything that it is made of.
    blocks: Vec<u64>,
    /// Blocks of them that the filter may only read.
    read_only: Vec<u64>,
    /// The block with nothing but unused space, if there is one that nobody may use.
    unused: Option<u64>,
    /// The block with the headers, if header and data are split.
    header: Option<u64>,
    /// MDLs of length zero between used bytes.
    empty_mdls: usize,
    /// The miniport has taken the headers back.
    is_header_gone: bool,
    /// The filter has been given it.
    was_given: bool,
    /// The filter has passed it on.
    was_passed: bool,
}

per_image! {
    static RECORDS: RefCell<BTreeMap<u64, Record>> = const { RefCell::new(BTreeMap::new()) };
}

/// The address of an out-of-band slot.
fn slot(nbl: u64, index: NDIS_NET_BUFFER_LIST_INFO) -> u64 {
    NET_BUFFER_LIST::NetBufferListInfo.of(nbl) + 8 * u64::from(index.unsigned_abs())
}

/// What an out-of-band slot holds.
pub(super) fn slot_value(nbl: u64, index: NDIS_NET_BUFFER_LIST_INFO) -> Result<u64, BadAddress> {
    mem::read(slot(nbl, index))
}

/// Fills an out-of-band slot.
pub(super) fn set_slot(
    nbl: u64,
    index: NDIS_NET_BUFFER_LIST_INFO,
    value: u64,
) -> Result<(), BadAddress> {
    mem::write(slot(nbl, index), value)
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    RECORDS.take();
    count::reset();
}

/// Notes that the filter is given structures.
pub(super) fn note_given(nbls: &[u64]) {
    note(nbls, |record| record.was_given = true);
    away::tell_unused(nbls);
    away::lend(nbls);
}

/// Notes that the filter passes structures on.
pub(super) fn note_passed(nbls: &[u64]) {
    note(nbls, |record| record.was_passed = true);
}

fn note(nbls: &[u64], change: impl Fn(&mut Record)) {
    RECORDS.with_borrow_mut(|records| {
        for nbl in nbls {
            if let Some(record) = records.get_mut(nbl) {
                change(record);
            }
        }
    });
}

/// The port of structures of one call.
pub(super) fn port(nbls: &[u64]) -> u64 {
    RECORDS.with_borrow(|records| {
        let first = nbls.first().and_then(|nbl| records.get(nbl));
        first.map_or(0, |record| record.making.port.into())
    })
}

/// How many NET_BUFFERs a structure has.
pub(super) fn buffers(nbl: u64) -> u32 {
    let packets = RECORDS.with_borrow(|records| records.get(&nbl).map(|record| record.packets));
    u32::try_from(packets.unwrap_or(0)).unwrap_or(u32::MAX)
}

/// The sends with a cancel id that the filter was given and that are not home.
pub(super) fn given_with(adapter: u32, cancel_id: u64) -> Vec<u64> {
    sends(adapter, |nbl, record| {
        (record.making.cancel_id == cancel_id && record.was_given).then_some(nbl)
    })
}

/// The sends with a cancel id that are not home.
pub(super) fn sends_with(adapter: u32, cancel_id: u64) -> Vec<u64> {
    sends(adapter, |nbl, record| {
        (record.making.cancel_id == cancel_id).then_some(nbl)
    })
}

/// The cancel ids of sends that are not home.
pub(super) fn cancel_ids(adapter: u32) -> Vec<u64> {
    sends(adapter, |_, record| Some(record.making.cancel_id))
}

fn sends(adapter: u32, pick: impl Fn(u64, &Record) -> Option<u64>) -> Vec<u64> {
    RECORDS.with_borrow(|records| {
        let is_send = |record: &Record| (record.adapter, record.path) == (adapter, NblPath::Send);
        let sends = records.iter().filter(|(_, record)| is_send(record));
        sends
            .filter_map(|(nbl, record)| pick(*nbl, record))
            .collect()
    })
}

/// An indication has returned to the miniport, which takes split headers back.
pub(super) fn take_headers(nbls: &[u64]) {
    stack::each(|| take_known_headers(nbls));
}

fn take_known_headers(nbls: &[u64]) {
    let mut gone = Vec::new();
    RECORDS.with_borrow_mut(|records| {
        for nbl in nbls {
            if let Some(record) = records.get_mut(nbl)
                && let Some(header) = record.header
            {
                record.is_header_gone = true;
                gone.push((*nbl, header));
            }
        }
    });
    away::take_headers(&gone);
}

/// Notes that a structure is passed on by way of a clone. Whether it had not been passed on before.
pub(super) fn note_passed_through(parent: u64, path: NblPath) -> bool {
    RECORDS.with_borrow_mut(|records| {
        let record = records.get_mut(&parent);
        record.is_some_and(|record| {
            record.path == path && !std::mem::replace(&mut record.was_passed, true)
        })
    })
}

/// Sends come back, from the miniport or from a filter below.
pub(super) fn take_answers(nbls: &[u64], is_from_miniport: bool) {
    answer::take(nbls, is_from_miniport).or_fault();
}

/// Whether the filter is asked when the structure comes back.
pub(super) fn was_passed(nbl: u64) -> bool {
    RECORDS.with_borrow(|records| records.get(&nbl).is_some_and(|record| record.was_passed))
}

/// Links structures into a list; gives its first.
pub(super) fn link(nbls: &[u64]) -> u64 {
    let mut next = 0;
    for nbl in nbls.iter().rev() {
        NET_BUFFER_LIST::Next.write(*nbl, next).or_fault();
        next = *nbl;
    }
    next
}

/// The structures of a list that the driver left, as far as they go.
pub(super) fn follow(first: u64) -> Result<Vec<u64>, BadAddress> {
    let mut nbls = Vec::new();
    let mut nbl = first;
    while nbl != 0 && nbls.len() < LIST_LIMIT && !nbls.contains(&nbl) {
        nbls.push(nbl);
        nbl = NET_BUFFER_LIST::Next.read(nbl)?;
    }
    Ok(nbls)
}

/// A list that the driver hands over, for the event and for what happens next.
pub(super) fn read_handed(first: u64, module_handle: u64) -> (Vec<HandedNbl>, Chain) {
    if first == 0 {
        return (Vec::new(), Chain::Empty);
    }
    let mut handed: Vec<HandedNbl> = Vec::new();
    let mut nbl = first;
    while nbl != 0 {
        if handed.len() >= LIST_LIMIT || handed.iter().any(|known| known.nbl == nbl) {
            return (handed, Chain::Cyclic);
        }
        let read = || -> Result<(HandedNbl, u64), BadAddress> {
            let status = NET_BUFFER_LIST::Status.read(nbl)?.cast_unsigned();
            let source_is_module = NET_BUFFER_LIST::SourceHandle.read(nbl)? == module_handle;
            Ok((
                HandedNbl {
                    nbl,
                    status,
                    source_is_module,
                    // A list that leads nowhere contradicts itself.
                    facts: facts::read(nbl).unwrap_or(NblFacts {
                        is_inconsistent: true,
                        ..NblFacts::default()
                    }),
                    frames: None,
                },
                NET_BUFFER_LIST::Next.read(nbl)?,
            ))
        };
        match read() {
            Ok((this, next)) => {
                handed.push(this);
                nbl = next;
            }
            // What was completed before is gone: the ledger says so. Anything else is no list.
            Err(_) if mem::read::<u8>(nbl).is_err() => {
                handed.push(HandedNbl {
                    nbl,
                    ..HandedNbl::default()
                });
                return (handed, Chain::WellFormed);
            }
            Err(_) => return (handed, Chain::Broken),
        }
    }
    (handed, Chain::WellFormed)
}

/// Structures are home with protocol or miniport: compared with what they were, counted, and gone. What another filter
/// has passed on goes back to it.
pub(super) fn bring_home(nbls: Vec<u64>) {
    let mut back: Vec<(u8, u32, NblPath, Vec<u64>)> = Vec::new();
    for nbl in nbls {
        let Some((image, adapter, path)) = end(nbl) else {
            continue;
        };
        match back.last_mut() {
            Some((to, on, way, nbls)) if (*to, *on, *way) == (image, adapter, path) => {
                nbls.push(nbl);
            }
            _ => back.push((image, adapter, path, vec![nbl])),
        }
    }
    for (image, adapter, path, nbls) in back {
        sched::on_behalf(image, || match path {
            NblPath::Send => path::complete_up(adapter, nbls),
            NblPath::Receive => path::return_down(adapter, nbls),
        });
    }
}

/// The running image's part of a structure's way ends. The image that it goes back to, if it does.
fn end(nbl: u64) -> Option<(u8, u32, NblPath)> {
    away::take_back(&[nbl]);
    let record = RECORDS.with_borrow_mut(|records| records.remove(&nbl))?;
    let Record {
        origin,
        adapter,
        path,
        making,
        packets,
        shadow,
        blocks,
        was_given,
        was_passed,
        ..
    } = record;
    if let Some(alteration) = shadow.first_difference() {
        emit(Kind::Nbl(NblEvent::Altered {
            adapter,
            nbl,
            alteration,
        }));
    }
    if origin.is_none() {
        blocks.iter().copied().for_each(driver::release);
    }
    emit(Kind::Nbl(NblEvent::Home { nbl, blocks }));
    adapter::with_mut(adapter, |adapter| {
        adapter.outstanding[side(path)] -= 1;
        if !making.is_extra {
            adapter.done[side(path)] += packets;
        }
        let counts = &mut adapter.counts[side(path)];
        if was_passed {
            counts.passed += packets;
        } else if was_given {
            counts.dropped += packets;
        } else {
            counts.past += packets;
        }
    });
    if origin.is_none() {
        count::note_home(making.waiter, packets, was_passed || !was_given);
    }
    let (image, is_lent) = origin?;
    (!is_lent).then_some((image, adapter, path))
}

/// Counts structures as given to the filter.
pub(super) fn tally(adapter: u32, path: NblPath, nbls: &[u64]) {
    let mut given = TrafficCount::default();
    let mut looped_back = 0;
    RECORDS.with_borrow(|records| {
        for record in nbls.iter().filter_map(|nbl| records.get(nbl)) {
            given.packets += record.packets;
            given.bytes += record.bytes;
            given.segments += record.segments;
            met("empty-mdls", (record.empty_mdls > 0).into());
            met("several-packets", (record.packets > 1).into());
            met("split-headers", record.header.is_some().into());
            met("coalesced", (record.segments > record.packets).into());
            looped_back += usize::from(record.making.is_loopback);
        }
    });
    met("looped-back", looped_back);
    let is_mixed = looped_back > 0 && looped_back < nbls.len();
    met("mixed-loopback", is_mixed.into());
    adapter::with_mut(adapter, |adapter| {
        let counts = &mut adapter.counts[side(path)];
        counts.packets += given.packets;
        counts.bytes += given.bytes;
        counts.segments += given.segments;
    });
}
