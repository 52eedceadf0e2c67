//! What happened to each object that the driver has to do with, and who has it: for reports.

mod step;

use std::collections::BTreeMap;

use lab_rules::event::{NblEvent, Region};
use lab_rules::{Event, Kind, ObjectHistory, Origin};

use super::Place;
use crate::rt::sched::{self, ThreadId};
use crate::rt::trace::StackId;
use step::{
    ALLOCATED, ASKED, CLONED, DISPATCHED, DRIVER, GIVEN, HANDED, MODULE, Noun, OPENED, QUEUED,
    SENT, SET, STARTED, THREAD, each_step,
};

/// Steps of an object that are kept, at most: the first ones and the last ones.
const KEPT: usize = 16;
/// Objects that a report tells of, at most.
const TOLD: usize = 2;

/// Who has an object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The driver.
    Driver,
    /// NDIS, the I/O manager, or another driver.
    Others,
    /// Nobody: it is gone.
    Nobody,
}

impl Holder {
    /// The holder, for a person.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Driver => "held by the driver",
            Self::Others => "held by the system or another driver",
            Self::Nobody => "gone",
        }
    }
}

/// Something that happened to an object.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) place: Place,
    pub(super) what: &'static str,
    pub(super) stack: StackId,
}

/// An object that something happened to.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) noun: Noun,
    pub(super) holder: Holder,
    /// Whether the last step was one that only whoever has the object may do, and the driver had it not.
    is_odd: bool,
    pub(super) steps: Vec<Step>,
    /// Steps between the first ones and the last ones that are not kept.
    pub(super) left_out: u64,
}

/// All objects of a run, by address.
#[derive(Default)]
pub(super) struct Histories {
    objects: BTreeMap<u64, Object>,
    /// The structure that a block is a part of, or was.
    parts: BTreeMap<u64, u64>,
    /// The module on each adapter, the last one.
    modules: BTreeMap<u32, u64>,
    /// The driver itself.
    driver: u64,
    /// The handler that is about to get a structure.
    handlers: BTreeMap<u64, StackId>,
}

impl Histories {
    /// Takes an event; `stack` is asked for if it is about an object.
    pub(super) fn note(&mut self, place: Place, kind: &Kind, stack: impl Fn() -> StackId) {
        match kind {
            Kind::Nbl(NblEvent::Home { nbl, blocks } | NblEvent::Away { nbl, blocks }) => {
                self.note_parts(*nbl, blocks);
            }
            Kind::Nbl(NblEvent::HeaderGone { nbl, block } | NblEvent::Unused { nbl, block }) => {
                self.note_parts(*nbl, &[*block])
            }
            _ => {}
        }
        let mut known = None;
        let mut stack = || *known.get_or_insert_with(&stack);
        each_step(kind, |noun, address, what, holder| {
            let handler = self.handlers.remove(&address);
            let stack = handler.unwrap_or_else(&mut stack);
            self.add(noun, address, Step { place, what, stack }, holder);
        });
        let thread = sched::thread_object(ThreadId(place.thread));
        if let Some(what) = step::of_level(kind, place.irql) {
            let stack = stack();
            self.add(THREAD, thread, Step { place, what, stack }, Holder::Driver);
        }
        if let Some((adapter, what, holder)) = step::of_life(kind) {
            let (noun, address) = match adapter {
                Some(adapter) => (MODULE, self.modules.get(&adapter).copied()),
                None => (DRIVER, Some(self.driver)),
            };
            if let Some(address) = address {
                let stack = stack();
                self.add(noun, address, Step { place, what, stack }, holder);
            }
        }
    }

    /// Adds a step to an object.
    pub(super) fn add(&mut self, noun: Noun, address: u64, step: Step, holder: Holder) {
        let object = self.objects.entry(address).or_insert_with(|| Object {
            noun,
            holder,
            is_odd: false,
            steps: Vec::new(),
            left_out: 0,
        });
        object.is_odd = object.holder != Holder::Driver && holder != Holder::Driver;
        (object.noun, object.holder) = (noun, holder);
        if object.steps.len() == KEPT {
            object.steps.remove(ObjectHistory::FIRST);
            object.left_out += 1;
        }
        object.steps.push(step);
    }

    /// Blocks that a structure is made of.
    pub(super) fn note_parts(&mut self, structure: u64, blocks: &[u64]) {
        self.parts
            .extend(blocks.iter().map(|block| (*block, structure)));
    }

    /// The driver, or the module that it has on an adapter from now on.
    pub(super) fn note_life(&mut self, adapter: Option<u32>, address: u64) {
        match adapter {
            Some(adapter) => {
                self.modules.insert(adapter, address);
            }
            None => self.driver = address,
        }
    }

    /// The handler that structures are given to next.
    pub(super) fn note_handler(&mut self, nbls: &[u64], handler: StackId) {
        self.handlers.extend(nbls.iter().map(|nbl| (*nbl, handler)));
    }

    /// Where what a finding blames began.
    pub(super) fn stack_of(&self, origin: Origin) -> Option<StackId> {
        let steps = |address| self.objects.get(address).map(|object| object.steps.iter());
        let step = match &origin {
            Origin::Allocated(address) => {
                steps(address)?.find(|step| [ALLOCATED, CLONED, OPENED].contains(&step.what))
            }
            Origin::Queued(address) => steps(address)?.rfind(|step| step.what == QUEUED),
            Origin::Set(address) => steps(address)?.rfind(|step| step.what == SET),
            Origin::Started(address) => steps(address)?.rfind(|step| step.what == STARTED),
            Origin::Given(address) => steps(address)?.rfind(|step| {
                [ASKED, DISPATCHED].contains(&step.what) || GIVEN.contains(&step.what)
            }),
            Origin::Sent(address) => steps(address)?.rfind(|step| step.what == SENT),
            Origin::Handed(address) => steps(address)?.rfind(|step| HANDED.contains(&step.what)),
        };
        step.map(|step| step.stack)
    }

    /// The objects that a finding about an event is about: what it blames or names, else what was touched, else those of
    /// the event that the driver should have had. Where that is nothing: who raised the level, and the module
    /// (`adapter` is the one of the routine that runs) or driver in whose life it happened.
    pub(super) fn of(
        &self,
        origin: Option<Origin>,
        happened: &str,
        event: &Event,
        adapter: Option<u32>,
    ) -> Vec<(u64, Object)> {
        let kind = &event.kind;
        let mut addresses: Vec<u64> = Vec::new();
        addresses.extend(origin.map(Origin::address));
        let whole = |address: u64| self.parts.get(&address).copied().unwrap_or(address);
        let known = |address: u64| match self.objects.contains_key(&address) {
            true => Some(address),
            false => Some(whole(address)).filter(|whole| self.objects.contains_key(whole)),
        };
        // What NULL is the beginning of has no name, though handles are as small.
        let is_null = matches!(kind, Kind::Fault(fault) if fault.region == Region::Null);
        addresses.extend(named(happened).filter(|_| !is_null).filter_map(known));
        if let Kind::Fault(fault) = kind {
            addresses.extend(self.touched(fault.region));
        }
        if addresses.is_empty() {
            each_step(kind, |_, address, _, _| addresses.push(address));
            let is_odd = |address: &u64| self.objects.get(address).is_some_and(|it| it.is_odd);
            if addresses.iter().any(is_odd) {
                addresses.retain(is_odd);
            }
        }
        if !addresses
            .iter()
            .any(|address| self.objects.contains_key(address))
        {
            if event.irql > 0 {
                addresses.push(sched::thread_object(ThreadId(event.thread)));
            }
            let adapter = step::adapter_of(kind).or(adapter);
            let module = adapter.and_then(|adapter| self.modules.get(&adapter));
            addresses.push(module.copied().unwrap_or(self.driver));
        }
        let mut told = Vec::new();
        for address in addresses {
            if let Some(object) = self.objects.get(&address)
                && told.len() < TOLD
                && !told.iter().any(|(known, _)| *known == address)
            {
                told.push((address, object.clone()));
            }
        }
        told
    }

    /// The object that the memory of a region belongs to, or did.
    fn touched(&self, region: Region) -> Option<u64> {
        match region {
            Region::PoolPast { block, .. }
            | Region::PoolBefore { block, .. }
            | Region::PoolFreed { block, .. }
            | Region::Pool { block, .. }
            | Region::PagedPool { block, .. }
            | Region::GivenAway { block, .. }
            | Region::ReadOnly { block, .. } => {
                Some(self.parts.get(&block).copied().unwrap_or(block))
            }
            _ => None,
        }
    }
}

/// The addresses that a sentence names.
fn named(sentence: &str) -> impl Iterator<Item = u64> {
    sentence.split("0x").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_hexdigit());
        u64::from_str_radix(&rest[..end.unwrap_or(rest.len())], 16).ok()
    })
}

#[cfg(test)]
mod tests {
    use lab_rules::event::{PoolEvent, WorkItemEvent};
    use lab_rules::{Event, Kind};

    use super::{Histories, Holder, KEPT, named};
    use crate::rt::trace;
    use crate::watch::Place;

    const PLACE: Place = Place {
        time_ns: 7,
        processor: 0,
        thread: 1,
        irql: 0,
    };

    fn happens(kind: Kind) -> Event {
        Event {
            time_ns: PLACE.time_ns,
            processor: PLACE.processor,
            thread: PLACE.thread,
            irql: PLACE.irql,
            kind,
        }
    }

    #[test]
    fn an_object_has_its_first_and_its_last_steps() {
        let mut histories = Histories::default();
        let mut note = |kind| histories.note(PLACE, &kind, || trace::of_code(0));
        let routine_is_code = true;
        note(Kind::WorkItem(WorkItemEvent::Allocated {
            item: 16,
            owner: lab_rules::event::WorkItemOwner::Driver,
        }));
        for _ in 0..KEPT {
            note(Kind::WorkItem(WorkItemEvent::Queued {
                item: 16,
                routine: 1,
                routine_is_code,
                context: 0,
            }));
        }
        let freed = Kind::WorkItem(WorkItemEvent::Freed { item: 16 });
        note(freed.clone());
        let told = histories.of(None, "nothing is named", &happens(freed), None);
        let (address, object) = &told[0];
        let steps: Vec<&str> = object.steps.iter().map(|step| step.what).collect();
        assert_eq!((*address, steps.len(), object.left_out), (16, KEPT, 2));
        assert_eq!(
            (steps[0], steps[1], steps[KEPT - 1]),
            ("allocated", "queued", "freed")
        );
        assert!(object.holder == Holder::Nobody);
    }

    #[test]
    fn what_a_sentence_names_comes_first() {
        let mut histories = Histories::default();
        for block in [16, 32] {
            let allocated = PoolEvent::Allocated {
                block,
                size: 8,
                tag: 1,
                paged: false,
            };
            histories.note(PLACE, &Kind::Pool(allocated), || trace::of_code(0));
        }
        let event = Kind::Pool(PoolEvent::BadFree {
            address: 16,
            error: lab_rules::event::PoolFreeError::Unknown,
        });
        let told = histories.of(
            None,
            "block 0x20 (status 0x5), and 0x999",
            &happens(event),
            None,
        );
        assert_eq!(
            told.iter().map(|(address, _)| *address).collect::<Vec<_>>(),
            [32]
        );
        assert_eq!(named("0x1f,0xg 0x").collect::<Vec<_>>(), [0x1f]);
    }
}
