//! What structures look like when they are handed over, how long they stayed, and who cancels them.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{
    Callback, Event, HandedNbl, Kind, ModuleEvent, NblCall, NblEvent, NblFacts, NblPath,
    Registration,
};
use crate::family::running::Running;
use crate::family::state::{ModuleState, States};
use crate::family::under_way::UnderWay;
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// `NDIS_STATUS_SEND_ABORTED`.
const SEND_ABORTED: u32 = 0xC023_000C;
/// Bytes of an Ethernet header without a tag.
const ETHERNET_HEADER: u32 = 14;
/// Driver Verifier's limits for sends of miniports, which stand for what filters hold, in ns.
const SEND_NS: u64 = 30_000_000_000;
const PROGRESS_NS: u64 = 22_000_000_000;
/// What the sample would copy rather than hold, in ns.
const HOLD_NS: u64 = 10_000_000_000;

/// Functions that make a list from another.
const DERIVES: [&str; 3] = [
    "NdisAllocateCloneNetBufferList",
    "NdisAllocateFragmentNetBufferList",
    "NdisAllocateReassembledNetBufferList",
];

/// A foreign structure with the filter.
#[derive(Clone, Copy, Debug)]
struct Given {
    adapter: u32,
    path: NblPath,
    since_ns: u64,
}

/// Looks into every structure that is handed over.
#[derive(Debug, Default)]
pub(crate) struct FrameMonitor {
    states: States,
    running: Running,
    under_way: UnderWay,
    given: BTreeMap<u64, Given>,
    own: BTreeSet<u64>,
    /// Own structures that were indicated with NDIS_RECEIVE_FLAGS_RESOURCES and not freed since.
    lent: BTreeSet<u64>,
    /// What the cancellation asks for that a thread runs.
    cancelled: BTreeMap<u32, Vec<u64>>,
    /// Threads whose cancellation began while another thread was in the driver, and may have had the list in hand.
    cancelled_in_hand: BTreeSet<u32>,
    /// When a send of an adapter was last settled.
    progress_ns: BTreeMap<u32, u64>,
    /// Adapters whose last restart failed.
    failed: BTreeSet<u32>,
    has_no_cancel: bool,
    /// What derived lists are of.
    parents: BTreeMap<u64, u64>,
    /// Modules whose handlers have changed, and whether each has none that cancels sends.
    changed_no_cancel: BTreeMap<u32, bool>,
}

impl Monitor for FrameMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::NB_GEOMETRY_CONSISTENT,
            &rule::ETH_RX_ONE_NB,
            &rule::ETH_RX_HEADER_SPLIT,
            &rule::ETH_TX_MAC_HEADER,
            &rule::ETH_TX_HOMOGENEOUS,
            &rule::LSO_SINGLE_NB,
            &rule::CANCEL_SEND_SCAN,
            &rule::CANCEL_SEND_STATUS,
            &rule::REG_QUEUE_SENDS_NEEDS_CANCEL,
            &rule::DV_FILTER_TIMED_SEND,
            &rule::DV_FILTER_TIMED_RECEIVE,
            &rule::SDV_NDISTIMEDDATASEND,
            &rule::SDV_NDISTIMEDDATAHANG,
            &rule::HOLD_NOT_UNBOUNDED,
            &rule::RX_RESOURCES_RECLAIM_INLINE,
            &rule::RESTART_NO_OWN_RECEIVE,
            &rule::RESTART_FAILURE_KEEPS_PAUSED,
            &rule::WI_NO_TRAFFIC_AFTER_PAUSE,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let finding = match &event.kind {
            Kind::Nbl(nbl) => self.observe_nbl(event, nbl),
            Kind::Registration(Registration { handlers, .. })
            | Kind::Module(ModuleEvent::HandlersChanged { handlers, .. }) => {
                let has_none = !handlers.cancel_send;
                match &event.kind {
                    Kind::Module(ModuleEvent::HandlersChanged { adapter, .. }) => {
                        self.changed_no_cancel.insert(*adapter, has_none);
                    }
                    _ => self.has_no_cancel = has_none,
                }
                None
            }
            Kind::Returned(returned) if DERIVES.contains(&returned.name) => {
                let parent = returned.arguments.word(0);
                self.parents.insert(returned.result, parent);
                None
            }
            Kind::Enter(call) if call.callback == Callback::FilterAttach => {
                self.changed_no_cancel
                    .retain(|adapter, _| Some(*adapter) != call.adapter);
                None
            }
            Kind::Enter(call) if call.callback == Callback::FilterRestart => {
                self.failed.retain(|failed| Some(*failed) != call.adapter);
                None
            }
            Kind::Leave { call, status } => {
                if let Some(adapter) = call.adapter
                    && call.callback == Callback::FilterRestart
                    && status.is_some_and(|status| status >= 0x8000_0000)
                {
                    self.failed.insert(adapter);
                }
                (call.callback == Callback::FilterCancelSendNetBufferLists)
                    .then(|| self.check_cancelled(event.thread))
                    .flatten()
            }
            Kind::Left(_) => {
                let nbl = self.lent.first()?;
                let happened = format!(
                    "NBL {nbl:#x} was indicated with NDIS_RECEIVE_FLAGS_RESOURCES and never freed; nobody returns it"
                );
                let finding = Finding::new(&rule::RX_RESOURCES_RECLAIM_INLINE, happened);
                Some(finding.since(Origin::Handed(*nbl)))
            }
            _ => None,
        };
        self.states.observe(event);
        self.running.observe(event);
        self.under_way.observe(event);
        finding
    }
}

impl FrameMonitor {
    fn observe_nbl(&mut self, event: &Event, nbl: &NblEvent) -> Option<Finding> {
        match nbl {
            NblEvent::Given {
                adapter,
                path,
                nbls,
                low_resources: false,
                ..
            } => {
                let given = Given {
                    adapter: *adapter,
                    path: *path,
                    since_ns: event.time_ns,
                };
                self.given.extend(nbls.iter().map(|nbl| (*nbl, given)));
                None
            }
            NblEvent::Allocated { nbl, .. } => {
                self.own.insert(*nbl);
                None
            }
            NblEvent::Freed { nbl, .. } => {
                self.own.remove(nbl);
                self.parents.remove(nbl);
                self.lent.remove(nbl);
                None
            }
            NblEvent::CancelAsked { nbls, .. } => {
                self.cancelled.insert(event.thread, nbls.clone());
                if self.running.is_elsewhere(event.thread) {
                    self.cancelled_in_hand.insert(event.thread);
                }
                None
            }
            NblEvent::HandlerReturned {
                adapter,
                path: NblPath::Send,
                nbls,
            } if self.has_no_cancel(*adapter)
                && self.states.of(*adapter) == ModuleState::Running =>
            {
                let kept = nbls.iter().find(|nbl| self.given.contains_key(nbl))?;
                let happened = format!(
                    "NBL {kept:#x} was kept by FilterSendNetBufferLists, and there is no FilterCancelSendNetBufferLists"
                );
                Some(Finding::new(&rule::REG_QUEUE_SENDS_NEEDS_CANCEL, happened))
            }
            NblEvent::Handed {
                adapter,
                call,
                nbls,
                low_resources,
                ..
            } => {
                let found: Vec<Finding> = nbls
                    .iter()
                    .filter_map(|handed| self.hand(event, *adapter, *call, handed, *low_resources))
                    .collect();
                found.into_iter().min_by_key(|finding| !finding.is_fatal())
            }
            _ => None,
        }
    }

    /// Whether a module has no handler that cancels sends.
    fn has_no_cancel(&self, adapter: u32) -> bool {
        let changed = self.changed_no_cancel.get(&adapter).copied();
        changed.unwrap_or(self.has_no_cancel)
    }

    fn hand(
        &mut self,
        event: &Event,
        adapter: u32,
        call: NblCall,
        handed: &HandedNbl,
        low_resources: bool,
    ) -> Option<Finding> {
        let nbl = handed.nbl;
        let given = self.given.remove(&nbl);
        let looks = check_looks(call, handed, self.own.contains(&nbl));
        let originates =
            self.own.contains(&nbl) && matches!(call, NblCall::Send | NblCall::Indicate);
        if originates && call == NblCall::Indicate && low_resources {
            self.lent.insert(nbl);
        }
        looks
            .or_else(|| {
                originates
                    .then(|| self.check_origin(event.thread, adapter, call, nbl))
                    .flatten()
            })
            .or_else(|| self.check_status(event.thread, call, handed))
            .or_else(|| self.check_age(event.time_ns, call, nbl, given?))
    }

    /// Own traffic at a time when there must be none.
    fn check_origin(&self, thread: u32, adapter: u32, call: NblCall, nbl: u64) -> Option<Finding> {
        let state = self.states.of(adapter);
        let in_work_item = self
            .running
            .inside(thread, Callback::is_work_item)
            .is_some();
        let is_stopped = match state {
            // Work items are the pause's own to wait for, and to give nothing more to do.
            ModuleState::Pausing if in_work_item => {
                !self.under_way.began_before_pause(thread, adapter)
            }
            ModuleState::Pausing => !self.under_way.is_older_than_pause(thread, adapter),
            state => state == ModuleState::Paused,
        };
        let (rule, why) = if is_stopped && in_work_item {
            let why = "by a work item after the pause began";
            (&rule::WI_NO_TRAFFIC_AFTER_PAUSE, why)
        } else if is_stopped && self.failed.contains(&adapter) {
            let why = "though the restart failed";
            (&rule::RESTART_FAILURE_KEEPS_PAUSED, why)
        } else if state == ModuleState::Restarting && call == NblCall::Indicate {
            let why = "before the restart was complete";
            (&rule::RESTART_NO_OWN_RECEIVE, why)
        } else {
            return None;
        };
        let happened = format!("NBL {nbl:#x} was originated {why}");
        Some(Finding::new(rule, happened))
    }

    fn check_status(&self, thread: u32, call: NblCall, handed: &HandedNbl) -> Option<Finding> {
        let cancels = |callback| callback == Callback::FilterCancelSendNetBufferLists;
        self.running.inside(thread, cancels)?;
        let is_wrong = call == NblCall::SendComplete
            && self.cancelled.get(&thread)?.contains(&handed.nbl)
            && handed.status != SEND_ABORTED;
        is_wrong.then(|| {
            let happened = format!(
                "NBL {:#x} was cancelled and completed with status {:#x}",
                handed.nbl, handed.status
            );
            Finding::new(&rule::CANCEL_SEND_STATUS, happened)
        })
    }

    fn check_age(&mut self, now_ns: u64, call: NblCall, nbl: u64, given: Given) -> Option<Finding> {
        let age_ns = now_ns.saturating_sub(given.since_ns);
        let last_ns = self.progress_ns.get(&given.adapter).copied();
        if given.path == NblPath::Send {
            self.progress_ns.insert(given.adapter, now_ns);
        }
        let stood_ns = now_ns.saturating_sub(last_ns.unwrap_or(0).max(given.since_ns));
        let (rule, code) = match (given.path, call) {
            (NblPath::Send, NblCall::SendComplete) if age_ns > SEND_NS => {
                (&rule::DV_FILTER_TIMED_SEND, 0x0009_2011)
            }
            (NblPath::Send, _) if age_ns > SEND_NS => (&rule::SDV_NDISTIMEDDATASEND, 0x0009_200D),
            (NblPath::Receive, _) if age_ns > SEND_NS => {
                (&rule::DV_FILTER_TIMED_RECEIVE, 0x0009_2012)
            }
            (NblPath::Send, _) if stood_ns > PROGRESS_NS => {
                (&rule::SDV_NDISTIMEDDATAHANG, 0x0009_200F)
            }
            _ if age_ns > HOLD_NS => {
                let happened = format!("NBL {nbl:#x} was held for {} s", age_ns / 1_000_000_000);
                return Some(Finding::new(&rule::HOLD_NOT_UNBOUNDED, happened));
            }
            _ => return None,
        };
        let happened = format!("NBL {nbl:#x} was held for {} s", age_ns / 1_000_000_000);
        Some(Finding::new(rule, happened).with(BugCheck::new(0xC4, &[code])))
    }

    /// `FilterCancelSendNetBufferLists` returned.
    fn check_cancelled(&mut self, thread: u32) -> Option<Finding> {
        let cancelled = self.cancelled.remove(&thread)?;
        // What another thread has in hand, or had when the scan began, need not be in a queue.
        let was_in_hand = self.cancelled_in_hand.remove(&thread);
        if was_in_hand || self.running.is_elsewhere(thread) {
            return None;
        }
        // Nor is what waits for a list that was made from it.
        let is_parent = |nbl: &u64| self.parents.values().any(|parent| parent == nbl);
        let is_kept = |nbl: &&u64| self.given.contains_key(nbl) && !is_parent(nbl);
        let kept = cancelled.iter().find(is_kept)?;
        let happened = format!(
            "FilterCancelSendNetBufferLists returned, and NBL {kept:#x} with that id is still held"
        );
        Some(Finding::new(&rule::CANCEL_SEND_SCAN, happened))
    }
}

fn check_looks(call: NblCall, handed: &HandedNbl, is_own: bool) -> Option<Finding> {
    let NblFacts {
        buffers,
        data_len,
        first_span,
        is_large_send,
        is_mixed,
        is_inconsistent,
        ..
    } = handed.facts;
    let is_split = data_len >= ETHERNET_HEADER && first_span < ETHERNET_HEADER;
    let (rule, why) = match call {
        _ if is_inconsistent => (
            &rule::NB_GEOMETRY_CONSISTENT,
            "its offsets, lengths and MDLs contradict each other",
        ),
        NblCall::Indicate if is_own && buffers > 1 => {
            (&rule::ETH_RX_ONE_NB, "a receive has one NET_BUFFER")
        }
        NblCall::Indicate if is_own && is_split => (
            &rule::ETH_RX_HEADER_SPLIT,
            "its Ethernet header is spread over MDLs",
        ),
        NblCall::Send if is_own && is_split => (
            &rule::ETH_TX_MAC_HEADER,
            "its Ethernet header is spread over MDLs",
        ),
        NblCall::Send if is_own && is_mixed => (
            &rule::ETH_TX_HOMOGENEOUS,
            "its NET_BUFFERs differ in addresses or EtherType",
        ),
        NblCall::Send if is_large_send && buffers > 1 => {
            (&rule::LSO_SINGLE_NB, "a large send has one NET_BUFFER")
        }
        _ => return None,
    };
    Some(Finding::new(
        rule,
        format!("{} was given NBL {:#x}: {why}", call.name(), handed.nbl),
    ))
}

#[cfg(test)]
mod tests;
