//! The ledger of NET_BUFFER_LIST structures: whose each one is, and who holds it.

mod inside;
mod ledger;
mod watched;

use crate::event::{
    Alteration, Callback, Chain, Event, HandedNbl, Kind, NblCall, NblEvent, NblPath, Overdue,
};
use crate::family::count_text;
use crate::family::running::Running;
use crate::family::state::{ModuleState, PAUSED, States};
use crate::family::under_way::UnderWay;
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};
use inside::Inside;
use ledger::{Entry, Holder, Ledger, Origin};
use watched::ALL;

/// Index of `NetBufferListCancelId` in `NetBufferListInfo`.
const CANCEL_ID: u8 = 5;

/// Follows every structure that the filter touches.
#[derive(Debug, Default)]
pub(crate) struct NblMonitor {
    states: States,
    ledger: Ledger,
    inside: Inside,
    running: Running,
    under_way: UnderWay,
}

impl Monitor for NblMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        ALL
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let transition = self.states.observe(event);
        if let Some(transition) = transition
            && transition.to == ModuleState::Paused
            && let Some(finding) = self.check_paused(transition.adapter)
        {
            return Some(finding);
        }
        let through = self.inside.observe(event);
        self.running.observe(event);
        self.under_way.observe(event);
        match &event.kind {
            Kind::Nbl(nbl) => {
                let is_work_item = self.running.inside(event.thread, Callback::is_work_item);
                let finding = self.observe_nbl(nbl, event.thread)?;
                // Of what a work item originates another rule says more.
                let says_less = [&rule::PAUSE_NO_NEW_SEND, &rule::PAUSE_NO_NEW_RECEIVE];
                let is_told = is_work_item.is_some()
                    && says_less.iter().any(|rule| rule.id == finding.rule.id);
                (!is_told).then_some(finding)
            }
            Kind::Leave { call, .. } if call.callback == Callback::FilterDetach => {
                self.check_left(call.adapter, "FilterDetach returned")
            }
            Kind::Leave { call, .. } if !through.is_empty() => {
                let adapter = call.adapter?;
                let is_paused = self.states.of(adapter) == ModuleState::Paused;
                let kept = |(nbl, _): &(u64, Entry)| {
                    is_paused && through.contains(nbl) && !self.inside.has(*nbl)
                };
                self.held_over_pause(adapter).find(kept).map(pause_finding)
            }
            Kind::Left(_) => self.check_left(None, "the driver was unloaded"),
            Kind::Overdue(Overdue::Sends {
                adapter, waited_ns, ..
            }) => self.overdue(*adapter, NblPath::Send, *waited_ns),
            Kind::Overdue(Overdue::Receives {
                adapter, waited_ns, ..
            }) => self.overdue(*adapter, NblPath::Receive, *waited_ns),
            _ => None,
        }
    }
}

impl NblMonitor {
    /// What the filter still holds long after the last packet.
    fn overdue(&self, adapter: u32, path: NblPath, waited_ns: u64) -> Option<Finding> {
        let is_held = |(_, entry): &(u64, Entry)| {
            entry.adapter == adapter
                && entry.origin == Origin::Foreign(path)
                && entry.holder == Holder::Filter
        };
        let mut held = self.ledger.iter().filter(is_held);
        let (nbl, _) = held.next()?;
        let (rule, what) = match path {
            NblPath::Send => (
                &rule::NBL_EVERY_SEND_SETTLED,
                "neither passed down nor completed",
            ),
            NblPath::Receive => (
                &rule::NBL_EVERY_RECEIVE_SETTLED,
                "neither passed up nor returned",
            ),
        };
        let seconds = waited_ns / 1_000_000_000;
        let count = count_text(1 + held.count(), "NET_BUFFER_LIST");
        let happened = format!("{count} {what} after {seconds} s, first {nbl:#x}");
        let finding = Finding::new(rule, happened).with(BugCheck::new(0x7C, &[0x27, 1]));
        Some(finding.since(crate::Origin::Given(nbl)))
    }

    fn observe_nbl(&mut self, event: &NblEvent, thread: u32) -> Option<Finding> {
        match event {
            NblEvent::Given {
                adapter,
                path,
                nbls,
                low_resources,
                ..
            } => {
                let in_running = self.states.of(*adapter) == ModuleState::Running;
                for nbl in nbls {
                    let origin = Origin::Foreign(*path);
                    let entry = Entry {
                        adapter: *adapter,
                        origin,
                        holder: Holder::Filter,
                        lent: *low_resources,
                        pool: None,
                        in_running,
                        was_away: false,
                    };
                    self.ledger.insert(*nbl, entry);
                }
                None
            }
            NblEvent::Back { nbls, .. } => {
                for nbl in nbls {
                    self.ledger.take_back(*nbl);
                }
                None
            }
            NblEvent::Handed {
                adapter,
                call,
                nbls,
                chain,
                count,
                low_resources,
                ..
            } => check_chain(*call, *chain)
                .or_else(|| {
                    nbls.iter()
                        .find_map(|nbl| self.hand(*adapter, thread, *call, *nbl, *low_resources))
                })
                .or_else(|| check_count(*call, nbls.len(), (*count)?)),
            NblEvent::LentBack { given, now, .. } => self.check_lent(given, now),
            NblEvent::HandlerReturned {
                adapter,
                path,
                nbls,
            } => {
                if self.states.of(*adapter) == ModuleState::Running {
                    return None;
                }
                let kept = nbls.iter().find(|nbl| {
                    self.ledger.get(**nbl).is_some_and(|entry| {
                        entry.holder == Holder::Filter
                            && entry.origin == Origin::Foreign(*path)
                            && !entry.in_running
                            // What has come back meanwhile, another handler has.
                            && !entry.was_away
                    })
                })?;
                let rule = match path {
                    NblPath::Send => &rule::PAUSE_REJECT_SENDS,
                    NblPath::Receive => &rule::PAUSE_RECEIVE_NOT_KEPT,
                };
                Some(Finding::new(
                    rule,
                    format!("NBL {kept:#x} arrived while not running and was kept"),
                ))
            }
            NblEvent::Altered {
                nbl, alteration, ..
            } => {
                let (rule, what): (_, String) = match alteration {
                    Alteration::SourceHandle => {
                        (&rule::NBL_SOURCEHANDLE_FOREIGN, "SourceHandle".into())
                    }
                    Alteration::Buffers => (
                        &rule::NB_NOT_MOVED_BETWEEN_NBLS,
                        "its NET_BUFFER list".into(),
                    ),
                    Alteration::Offset => {
                        (&rule::NB_RETREAT_ADVANCE_BALANCED, "its data offset".into())
                    }
                    Alteration::Mdl => (&rule::MDL_NOT_MODIFIED, "the range of an MDL".into()),
                    Alteration::Context => {
                        (&rule::NBL_CONTEXT_BALANCED, "its context areas".into())
                    }
                    Alteration::Parent => (
                        &rule::NBL_PARENT_NOT_OVERWRITTEN,
                        "ParentNetBufferList".into(),
                    ),
                    Alteration::OutOfBand(CANCEL_ID) => {
                        (&rule::CANCEL_FOREIGN_ID_KEPT, "its cancel id".into())
                    }
                    Alteration::Chain => (
                        &rule::NBL_NB_LIST_UNMODIFIED_AT_HANDBACK,
                        "an MDL chain".into(),
                    ),
                    Alteration::Geometry => (&rule::NBL_DESCRIPTOR_UNDO, "a data length".into()),
                    Alteration::OutOfBand(slot) => (
                        &rule::LAB_NBL_OOB_INTACT,
                        format!("NetBufferListInfo[{slot}]"),
                    ),
                    Alteration::Reserved => (
                        &rule::NBL_RESERVED_FIELDS,
                        "a member reserved for others".into(),
                    ),
                    Alteration::Data => {
                        (&rule::NBL_READ_ONLY, "its frame, which is read-only".into())
                    }
                };
                Some(Finding::new(
                    rule,
                    format!("NBL {nbl:#x} of another driver came back with {what} changed"),
                ))
            }
            NblEvent::CancelAsked { .. }
            | NblEvent::Away { .. }
            | NblEvent::HeaderGone { .. }
            | NblEvent::Unused { .. }
            | NblEvent::Home { .. }
            | NblEvent::PoolAllocated { .. } => None,
            NblEvent::Allocated { nbl, pool } => {
                let entry = Entry {
                    adapter: 0,
                    origin: Origin::Own(None),
                    holder: Holder::Filter,
                    lent: false,
                    pool: Some(*pool),
                    in_running: true,
                    was_away: false,
                };
                self.ledger.insert(*nbl, entry);
                None
            }
            NblEvent::PoolFreed { pool } => {
                let (nbl, _) = self
                    .ledger
                    .iter()
                    .find(|(_, entry)| entry.pool == Some(*pool))?;
                let happened = format!("NBL pool {pool:#x} was freed before its NBL {nbl:#x}");
                Some(
                    Finding::new(&rule::POOL_FREED_AFTER_NBLS, happened)
                        .since(crate::Origin::Allocated(nbl)),
                )
            }
            NblEvent::Freed { nbl, known } => {
                let entry = self.ledger.remove(*nbl);
                let is_own = entry.is_some_and(|entry| {
                    matches!(entry.origin, Origin::Own(_)) && entry.holder == Holder::Filter
                });
                (!known || !is_own).then(|| {
                    let happened =
                        format!("NBL {nbl:#x} was freed and is not the filter's own to free");
                    Finding::new(&rule::NBL_FREE_OWNED_ONLY, happened)
                })
            }
        }
    }

    /// One structure goes from the filter to NDIS.
    fn hand(
        &mut self,
        adapter: u32,
        thread: u32,
        call: NblCall,
        handed: HandedNbl,
        low_resources: bool,
    ) -> Option<Finding> {
        let HandedNbl {
            nbl,
            status,
            source_is_module,
            ..
        } = handed;
        let state = self.states.of(adapter);
        let is_under_way = self.under_way.is_older_than_pause(thread, adapter);
        let name = call.name();
        let Some(entry) = self.ledger.get(nbl) else {
            let (rule, why) = if self.ledger.was_settled(nbl) {
                (settle_rule(call), "it was completed or returned before")
            } else {
                (&rule::POOL_ORIGIN, "no NDIS pool has it")
            };
            return Some(Finding::new(
                rule,
                format!("{name} was given NBL {nbl:#x}: {why}"),
            ));
        };
        let fail = |rule, why: &str| {
            Some(Finding::new(
                rule,
                format!("{name} was given NBL {nbl:#x}: {why}"),
            ))
        };
        if entry.holder != Holder::Filter {
            return fail(settle_rule(call), "it was passed on and has not come back");
        }
        match (call, entry.origin) {
            (NblCall::Send, Origin::Foreign(NblPath::Send)) => {
                let is_late = state != ModuleState::Running && !entry.in_running;
                self.ledger.move_to(nbl, Holder::Ndis);
                if is_late {
                    // What comes of that is no other fault: it is not held, and its status is the miniport's.
                    self.ledger.admit(nbl);
                    return fail(
                        &rule::PAUSE_REJECT_SENDS,
                        "it arrived while the module was not running",
                    );
                }
                None
            }
            (NblCall::Send, Origin::Own(_)) => {
                if !source_is_module {
                    return fail(
                        &rule::NBL_SOURCEHANDLE_OWN_SEND,
                        "its SourceHandle is not the module's",
                    );
                }
                match state {
                    ModuleState::Pausing if is_under_way => {}
                    ModuleState::Pausing | ModuleState::Paused => {
                        return fail(
                            &rule::PAUSE_NO_NEW_SEND,
                            "it was originated after the pause began",
                        );
                    }
                    ModuleState::Restarting => {
                        return fail(
                            &rule::RESTART_NO_OWN_SEND,
                            "it was originated before the restart was complete",
                        );
                    }
                    _ => {}
                }
                self.ledger.originate(nbl, adapter, NblPath::Send);
                None
            }
            (NblCall::SendComplete, Origin::Foreign(NblPath::Send)) => {
                let rejected = !entry.in_running;
                self.ledger.settle(nbl);
                if rejected && status != PAUSED {
                    return fail(
                        &rule::PAUSE_REJECT_STATUS_CODE,
                        "it was rejected with a status other than NDIS_STATUS_PAUSED",
                    );
                }
                None
            }
            (NblCall::SendComplete, Origin::Own(_)) => {
                fail(&rule::NBL_OWN_NOT_COMPLETED_UP, "it is the filter's own")
            }
            (NblCall::Indicate, Origin::Foreign(NblPath::Receive)) => {
                let holder = if entry.lent && !low_resources {
                    Holder::MustRegain
                } else {
                    Holder::Ndis
                };
                self.ledger.move_to(nbl, holder);
                None
            }
            (NblCall::Indicate, Origin::Own(_)) => {
                if !source_is_module {
                    return fail(
                        &rule::NBL_SOURCEHANDLE_OWN_RECEIVE,
                        "its SourceHandle is not the module's",
                    );
                }
                match state {
                    ModuleState::Pausing if is_under_way => {}
                    ModuleState::Pausing | ModuleState::Paused => {
                        return fail(
                            &rule::PAUSE_NO_NEW_RECEIVE,
                            "it was originated after the pause began",
                        );
                    }
                    _ => {}
                }
                self.ledger.originate(nbl, adapter, NblPath::Receive);
                None
            }
            (NblCall::Return, Origin::Foreign(NblPath::Receive)) if entry.lent => fail(
                &rule::NBL_RETURN_NOT_RESOURCES,
                "it was received with NDIS_RECEIVE_FLAGS_RESOURCES and goes back when the handler returns",
            ),
            (NblCall::Return, Origin::Foreign(NblPath::Receive)) => {
                self.ledger.settle(nbl);
                None
            }
            (NblCall::Return, Origin::Own(_)) => {
                fail(&rule::NBL_OWN_NOT_RETURNED_DOWN, "it is the filter's own")
            }
            (NblCall::Send | NblCall::Return, Origin::Foreign(_))
            | (NblCall::SendComplete | NblCall::Indicate, _) => {
                fail(settle_rule(call), "it travels in the other direction")
            }
        }
    }

    /// A low-resources indication ends.
    fn check_lent(&mut self, given: &[u64], now: &[u64]) -> Option<Finding> {
        let mut finding = None;
        for nbl in given {
            let Some(entry) = self.ledger.remove(*nbl) else {
                continue;
            };
            let (rule, why) = match entry.holder {
                Holder::Filter => continue,
                Holder::Ndis => (
                    &rule::RX_RESOURCES_REGAIN_BEFORE_RETURN,
                    "has not come back",
                ),
                Holder::MustRegain => (
                    &rule::RX_RESOURCES_INDICATE_FLAG,
                    "was indicated without NDIS_RECEIVE_FLAGS_RESOURCES and not waited for",
                ),
            };
            let happened = format!(
                "FilterReceiveNetBufferLists returned; NBL {nbl:#x}, which was only lent, {why}"
            );
            finding.get_or_insert(Finding::new(rule, happened));
        }
        if finding.is_none() && given != now {
            let happened = format!(
                "FilterReceiveNetBufferLists was lent {} NBLs and left a chain of {} in another order or length",
                given.len(),
                now.len()
            );
            finding = Some(Finding::new(&rule::RX_RESOURCES_CHAIN_RESTORED, happened));
        }
        finding
    }

    /// A module enters Paused: nothing may be held any more.
    fn check_paused(&self, adapter: u32) -> Option<Finding> {
        let mut held = self.held_over_pause(adapter);
        held.find(|(nbl, _)| !self.inside.has(*nbl))
            .map(pause_finding)
    }

    /// What must be settled before a pause is complete.
    fn held_over_pause(&self, adapter: u32) -> impl Iterator<Item = (u64, Entry)> {
        self.ledger.iter().filter(move |(_, entry)| {
            entry.adapter == adapter
                && match (entry.origin, entry.holder) {
                    (Origin::Foreign(_), Holder::Filter) => entry.in_running && !entry.lent,
                    (Origin::Own(_), holder) => holder != Holder::Filter,
                    _ => false,
                }
        })
    }

    /// Nothing may be outstanding at the end of a module, or of the driver.
    fn check_left(&self, adapter: Option<u32>, when: &str) -> Option<Finding> {
        let concerns = |entry: &Entry| adapter.is_none_or(|adapter| entry.adapter == adapter);
        let is_left = |entry: &Entry| match entry.origin {
            Origin::Foreign(_) => entry.holder == Holder::Filter,
            Origin::Own(_) => entry.holder != Holder::Filter || adapter.is_none(),
        };
        let (nbl, entry) = self
            .ledger
            .iter()
            .find(|(_, entry)| concerns(entry) && is_left(entry))?;
        let happened = format!("{when} with NBL {nbl:#x} outstanding");
        let finding =
            Finding::new(&rule::DETACH_NO_NBL, happened).with(BugCheck::new(0x7C, &[0x27, 1]));
        let since = match entry.origin {
            Origin::Foreign(_) => crate::Origin::Given(nbl),
            Origin::Own(_) => crate::Origin::Allocated(nbl),
        };
        Some(finding.since(since))
    }
}

/// The rule for giving a function what is not there to give.
fn settle_rule(call: NblCall) -> &'static Rule {
    match call {
        NblCall::Send => &rule::NBL_NO_TOUCH_AFTER_SEND,
        NblCall::SendComplete => &rule::NBL_COMPLETE_ONLY_RECEIVED,
        NblCall::Indicate => &rule::NBL_NO_TOUCH_AFTER_INDICATE,
        NblCall::Return => &rule::NBL_RETURN_ONLY_RECEIVED,
    }
}

fn check_chain(call: NblCall, chain: Chain) -> Option<Finding> {
    let name = call.name();
    let (rule, what) = match chain {
        Chain::WellFormed => return None,
        Chain::Empty => (&rule::NBL_EMPTY_LIST_NOT_PASSED, "called with no NBL"),
        Chain::Cyclic => (&rule::NBL_LIST_WELL_FORMED, "given a list that never ends"),
        Chain::Broken => (
            &rule::NBL_LIST_WELL_FORMED,
            "given a list with a link to what is no NET_BUFFER_LIST",
        ),
    };
    Some(Finding::new(rule, format!("{name} was {what}")))
}

fn check_count(call: NblCall, nbls: usize, count: u32) -> Option<Finding> {
    (usize::try_from(count) != Ok(nbls)).then(|| {
        let happened = format!(
            "{} was called with {nbls} NBLs and NumberOfNetBufferLists {count}",
            call.name()
        );
        Finding::new(&rule::NBL_COUNT_MATCHES, happened)
    })
}

/// The pause is complete, and a structure is still held.
fn pause_finding((nbl, entry): (u64, Entry)) -> Finding {
    let (rule, what) = match entry.origin {
        Origin::Foreign(NblPath::Send) => (
            &rule::PAUSE_FLUSH_HELD_SENDS,
            "a send from above is still held",
        ),
        Origin::Foreign(NblPath::Receive) => (
            &rule::PAUSE_FLUSH_HELD_RECEIVES,
            "a receive from below is still held",
        ),
        Origin::Own(Some(NblPath::Receive)) => (
            &rule::PAUSE_WAIT_OWN_RECEIVES,
            "a receive of the filter's is not back",
        ),
        Origin::Own(_) => (
            &rule::PAUSE_WAIT_OWN_SENDS,
            "a send of the filter's is not back",
        ),
    };
    let happened = format!("the pause is complete, but {what}: NBL {nbl:#x}");
    let since = match entry.origin {
        Origin::Foreign(_) => crate::Origin::Given(nbl),
        Origin::Own(_) => crate::Origin::Handed(nbl),
    };
    Finding::new(rule, happened).since(since)
}

#[cfg(test)]
mod tests;
