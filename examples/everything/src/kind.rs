//! Kinds of traffic: how many packets of each EtherType were received.
//!
//! The table is looked up for every packet, on every processor, and changes only when a kind is new: it is behind a
//! reader-writer lock. What the datapath finds new it leaves in a note, a block of a lookaside list; a DPC takes the notes and
//! writes them into the table.

use ndis::Status;
use ndis::counter::Counter;
use ndis::dpc::Dpc;
use ndis::filter::{Attached, Attaching};
use ndis::irql::{AtMostDispatch, Caller, Passive};
use ndis::lock::{RwLock, SpinLock};
use ndis::mem::{Lookaside, LookasideBox, Tag};
use ndis::nbl::{Nbls, Rx};

use crate::Everything;

/// Tag of the notes.
const TAG: Tag = Tag::new(*b"EvKi");
/// Kinds that the table can tell apart.
const KINDS: usize = 32;
/// Notes that can wait for the DPC.
const NOTES: u32 = 16;

/// What a module knows of kinds of traffic.
pub(crate) struct Kinds {
    table: RwLock<Table>,
    notes: SpinLock<Notes>,
    blocks: Lookaside<Note>,
    learn: Dpc<Everything>,
    /// Packets by which their kind was found in the table.
    pub(crate) known: Counter,
    /// Kinds that the DPC has written into the table.
    pub(crate) learned: Counter,
    /// Packets of a new kind for which there was no note.
    pub(crate) missed: Counter,
}

/// The first of them are in use.
#[derive(Default)]
struct Table([Option<Kind>; KINDS]);

struct Kind {
    ether_type: [u8; 2],
    packets: Counter,
}

/// That there is a kind which the table did not have.
struct Note {
    ether_type: [u8; 2],
    next: Option<LookasideBox<Self>>,
}

/// The notes that wait, the last one first.
#[derive(Default)]
struct Notes {
    last: Option<LookasideBox<Note>>,
    count: u32,
}

impl Kinds {
    pub(crate) fn new(
        attaching: &mut Attaching<'_, Everything>,
        irql: &mut Passive,
    ) -> Result<Self, Status> {
        Ok(Self {
            table: RwLock::try_new(Table::default(), irql)?,
            notes: SpinLock::new(Notes::default()),
            blocks: Lookaside::try_new(TAG)?,
            learn: attaching.dpc(learn, irql)?,
            known: Counter::new(),
            learned: Counter::new(),
            missed: Counter::new(),
        })
    }

    /// Counts packets, and leaves notes of kinds that are new.
    pub(crate) fn count(&self, lists: Nbls<'_, Rx>, irql: &mut impl Caller) {
        for packet in lists.flat_map(|list| list.packets()) {
            // Behind the two addresses.
            let Ok(ether_type) = packet.read::<2>(12) else {
                continue;
            };
            let is_known = self.table.read(irql, |table, _| {
                let kind = table.find(ether_type);
                kind.inspect(|kind| kind.packets.add(1)).is_some()
            });
            if is_known {
                self.known.add(1);
            } else if self.leave(ether_type, irql) {
                // Refused only when the module is detaching, and then it learns no more.
                let _ = self.learn.queue(irql);
            } else {
                self.missed.add(1);
            }
        }
    }

    /// Leaves a note, if there is one to be had.
    fn leave(&self, ether_type: [u8; 2], irql: &mut impl Caller) -> bool {
        let note = Note {
            ether_type,
            next: None,
        };
        let Ok(mut note) = self.blocks.allocate(note) else {
            return false;
        };
        self.notes.with(irql, |notes, _| {
            if notes.count >= NOTES {
                return false;
            }
            note.next = notes.last.take();
            notes.last = Some(note);
            notes.count = notes.count.saturating_add(1);
            true
        })
    }
}

/// The DPC: writes into the table what the notes say.
fn learn(this: &Attached<'_, Everything>, irql: &mut AtMostDispatch) {
    let kinds = &this.kinds;
    let mut rest = kinds.notes.with(irql, |notes, _| {
        notes.count = 0;
        notes.last.take()
    });
    while let Some(mut note) = rest {
        rest = note.next.take();
        let is_new = kinds
            .table
            .write(irql, |table, _| table.learn(note.ether_type));
        kinds.learned.add(u64::from(is_new));
    }
}

impl Table {
    fn find(&self, ether_type: [u8; 2]) -> Option<&Kind> {
        let mut kinds = self.0.iter().map_while(Option::as_ref);
        kinds.find(|kind| kind.ether_type == ether_type)
    }

    /// Whether it was new, and there was room.
    fn learn(&mut self, ether_type: [u8; 2]) -> bool {
        if self.find(ether_type).is_some() {
            return false;
        }
        let free = self.0.iter_mut().find(|kind| kind.is_none());
        free.is_some_and(|place| {
            *place = Some(Kind {
                ether_type,
                packets: Counter::new(),
            });
            true
        })
    }
}
