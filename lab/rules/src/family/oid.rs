//! OID requests: given, answered, cloned, sent, completed, cancelled.

mod finish;
mod watched;

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{
    Callback, Event, HandlerSet, Header, Kind, ModuleEvent, OidAlteration, OidEvent, OidKind,
    OidPath, OidRequest, PASSIVE_LEVEL, PoolEvent, Registration,
};
use crate::family::running::Running;
use crate::family::state::{ModuleState, PENDING, States};
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

const NDIS_STATUS_NOT_SUPPORTED: u32 = 0xC000_00BB;

/// A request that NDIS gave to the filter.
#[derive(Clone, Copy, Debug)]
struct Given {
    adapter: u32,
    path: OidPath,
    since_ns: u64,
    processor: u8,
    /// The handler has returned NDIS_STATUS_PENDING.
    is_pending: bool,
    /// When its cancellation was asked for.
    cancelled_ns: Option<u64>,
    id: u64,
    /// A clone of it has been below, with what came back.
    below: Option<OidRequest>,
    /// For how long that was pending there: others' time.
    below_ns: u64,
    /// A clone of it was made.
    is_cloned: bool,
    oid: u32,
    /// Bytes of its buffer when it was given.
    buffer_len: u32,
}

/// A cancellation that the filter is told of.
#[derive(Clone, Debug)]
struct Cancelling {
    adapter: u32,
    id: u64,
    /// Clones of the request that are below when it comes: what goes down later it need not find.
    below: Vec<u64>,
    /// Ids that it has passed on.
    passed_on: Vec<u64>,
}

/// `OID_GEN_MEDIA_SUPPORTED`, `OID_GEN_MEDIA_IN_USE`, `OID_GEN_PHYSICAL_MEDIUM` and `OID_802_3_CURRENT_ADDRESS`.
const IN_PARAMETERS: [u32; 4] = [0x0001_0103, 0x0001_0104, 0x0001_0202, 0x0101_0102];

/// A request of the filter's: its own, or a clone.
#[derive(Clone, Copy, Debug)]
struct Own {
    adapter: u32,
    /// The original, for a clone.
    source: Option<u64>,
    id: u64,
    is_below: bool,
    /// When it was left pending there.
    below_since_ns: u64,
}

/// Follows every request.
#[derive(Debug, Default)]
pub(crate) struct OidMonitor {
    states: States,
    running: Running,
    given: BTreeMap<u64, Given>,
    /// Requests that were finished, until their address is used again.
    finished: BTreeMap<u64, OidPath>,
    own: BTreeMap<u64, Own>,
    /// Own requests that have come back, until their memory is freed or used again.
    ended: BTreeSet<u64>,
    /// Originals whose clone could not be had, and the thread that asked for it.
    refused: Vec<(u64, u32)>,
    /// A running module has finished a request.
    has_finished: bool,
    /// What is registered.
    handlers: HandlerSet,
    /// The cancellations that run, by thread.
    cancelling: BTreeMap<u32, Cancelling>,
}

impl Monitor for OidMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        watched::ALL
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let finding = match &event.kind {
            Kind::Oid(oid) => self.observe_oid(event, oid),
            Kind::Registration(Registration { handlers, .. })
            | Kind::Module(ModuleEvent::HandlersChanged { handlers, .. }) => {
                self.handlers = *handlers;
                None
            }
            Kind::Returned(returned)
                if returned.name == "NdisAllocateCloneOidRequest"
                    && returned.result & 0xFFFF_FFFF != 0 =>
            {
                // A call that was made to fail has no event of its own.
                self.refused.push((returned.arguments.0[1], event.thread));
                None
            }
            Kind::Pool(PoolEvent::Freed { block, size, .. }) => {
                self.ended
                    .retain(|ended| ended.wrapping_sub(*block) >= *size);
                let is_within = |(request, own): &(&u64, &Own)| {
                    own.is_below && own.source.is_none() && request.wrapping_sub(*block) < *size
                };
                let (request, _) = self.own.iter().find(is_within)?;
                Some(about(
                    &rule::OID_REQUEST_NOT_TOUCHED_PENDING,
                    *request,
                    "was freed while it is pending below",
                ))
            }
            Kind::Import(import) => {
                let waits = import.name == "NdisWaitEvent";
                let is_below = |own: &Own| own.is_below && own.source.is_none();
                (waits && event.irql > PASSIVE_LEVEL && self.own.values().any(is_below)).then(
                    || {
                        let happened = "NdisWaitEvent was called for an OID request of the filter's above PASSIVE_LEVEL";
                        Finding::new(&rule::OID_WAIT_PASSIVE, happened)
                            .with(BugCheck::new(0x7C, &[0x14, event.irql.into()]))
                    },
                )
            }
            Kind::Leave { call, .. }
                if matches!(
                    call.callback,
                    Callback::FilterCancelOidRequest | Callback::FilterCancelDirectOidRequest
                ) =>
            {
                self.check_cancel(event.thread, call.callback)
            }
            Kind::Leave { call, .. } if call.callback == Callback::FilterDetach => {
                let is_left =
                    |(_, own): &(&u64, &Own)| own.is_below && Some(own.adapter) == call.adapter;
                let (request, _) = self.own.iter().find(is_left)?;
                let happened = format!("FilterDetach returned with OID request {request:#x} below");
                let finding = Finding::new(&rule::DETACH_NO_OWN_OID, happened);
                Some(finding.since(Origin::Sent(*request)))
            }
            Kind::Left(_) => {
                let (clone, _) = self.own.iter().find(|(_, own)| own.source.is_some())?;
                let happened = format!("OID clone {clone:#x} is left after unload");
                let finding = Finding::new(&rule::OID_CLONE_BALANCED, happened);
                Some(finding.since(Origin::Allocated(*clone)))
            }
            _ => None,
        };
        self.states.observe(event);
        self.running.observe(event);
        finding
    }
}

/// A finding about one request.
fn about(rule: &'static Rule, request: u64, why: &str) -> Finding {
    Finding::new(rule, format!("OID request {request:#x} {why}"))
}

impl OidMonitor {
    fn observe_oid(&mut self, event: &Event, oid: &OidEvent) -> Option<Finding> {
        match oid {
            OidEvent::Given {
                adapter,
                path,
                request,
            } => {
                self.take(event, *adapter, *path, request);
                None
            }
            OidEvent::Answered {
                request,
                status,
                path,
                ..
            } => self
                .answer(event, *path, request, *status)
                // The handler has returned: its stack is gone.
                .map(|finding| finding.since(Origin::Given(request.request))),
            OidEvent::Completed {
                path,
                request,
                status,
                ..
            } => self.complete(event, *path, request, *status),
            OidEvent::Cloned {
                adapter,
                source,
                clone,
            } => self.clone_made(event.thread, *adapter, *source, *clone),
            OidEvent::CloneRefused { source } => {
                let why = "has a wrong header, and was to be cloned";
                let finding = about(&rule::OID_REQUEST_HEADER, *source, why);
                Some(finding.with(BugCheck::new(0x7C, &[0x21, 0, *source])))
            }
            OidEvent::CloneFreed { adapter, clone } => self.clone_freed(*adapter, *clone),
            OidEvent::Sent {
                adapter,
                path,
                request,
                header,
            } => self.send(*adapter, *path, request, header),
            OidEvent::Back {
                request, status, ..
            } => {
                let own = self.own.get_mut(&request.request)?;
                let was_below = std::mem::replace(&mut own.is_below, *status == PENDING);
                let source = own.source;
                if *status == PENDING {
                    own.below_since_ns = event.time_ns;
                } else {
                    let since_ns = own.below_since_ns;
                    if source.is_none() {
                        self.own.remove(&request.request);
                        self.ended.insert(request.request);
                    } else if let Some(given) = source.and_then(|it| self.given.get_mut(&it)) {
                        given.below = Some(*request);
                        if was_below {
                            given.below_ns += event.time_ns.saturating_sub(since_ns);
                        }
                    }
                }
                None
            }
            OidEvent::CancelGiven { adapter, id } => {
                let cancelling = Cancelling {
                    adapter: *adapter,
                    id: *id,
                    below: self.clones_below(*adapter, *id),
                    passed_on: Vec::new(),
                };
                self.cancelling.insert(event.thread, cancelling);
                for given in self.given.values_mut() {
                    // A handler that runs may not have got as far as to know of its request.
                    if (given.adapter, given.id) == (*adapter, *id) && given.is_pending {
                        given.cancelled_ns = Some(event.time_ns);
                    }
                }
                None
            }
            OidEvent::CancelSent { id, .. } => {
                if let Some(cancelling) = self.cancelling.get_mut(&event.thread) {
                    cancelling.passed_on.push(*id);
                }
                None
            }
            OidEvent::Overdue {
                request, waited_ns, ..
            } => {
                let given = self.given.get(request)?;
                let is_its = |own: &Own| own.source == Some(*request) && own.is_below;
                if self.own.values().any(is_its) {
                    // Those below have it, and are asked themselves.
                    return None;
                }
                let seconds = waited_ns / 1_000_000_000;
                let is_paused = self.has_finished
                    && matches!(
                        self.states.of(given.adapter),
                        ModuleState::Pausing | ModuleState::Paused
                    );
                let (rule, why) = if is_paused {
                    (
                        &rule::PAUSE_OIDS_CONTINUE,
                        "is not finished while the module is paused,",
                    )
                } else if given.is_pending {
                    (&rule::OID_TIMED, "was left pending")
                } else {
                    (&rule::OID_ONE_AT_A_TIME, "is still in its handler")
                };
                let finding = about(rule, *request, &format!("{why} for {seconds} s"))
                    .since(Origin::Given(*request));
                Some(finding.with(BugCheck::new(0x7C, &[0x25, 0x24, 0, given.oid.into()])))
            }
            OidEvent::Altered {
                request,
                alteration,
                ..
            } => {
                let (rule, why) = match alteration {
                    OidAlteration::Reserved => (
                        &rule::OID_RESERVED_AREAS,
                        "has a member changed that is reserved for others",
                    ),
                    OidAlteration::Synchronous => (
                        &rule::SYNC_OID_FIELD_ACCESS,
                        "is synchronous and has a member changed that is read-only",
                    ),
                    OidAlteration::Pending => (
                        &rule::OID_REQUEST_NOT_TOUCHED_PENDING,
                        "was changed or freed while it was pending below",
                    ),
                };
                let origin = match alteration {
                    OidAlteration::Pending => Origin::Sent(*request),
                    OidAlteration::Reserved | OidAlteration::Synchronous => Origin::Given(*request),
                };
                Some(about(rule, *request, why).since(origin))
            }
        }
    }

    fn take(&mut self, event: &Event, adapter: u32, path: OidPath, request: &OidRequest) {
        self.finished.remove(&request.request);
        self.ended.remove(&request.request);
        self.given.insert(
            request.request,
            Given {
                adapter,
                path,
                since_ns: event.time_ns,
                processor: event.processor,
                is_pending: false,
                cancelled_ns: None,
                id: request.id,
                below: None,
                below_ns: 0,
                is_cloned: false,
                oid: request.oid,
                buffer_len: request.buffer_len,
            },
        );
    }

    /// The handler returned.
    fn answer(
        &mut self,
        event: &Event,
        path: OidPath,
        request: &OidRequest,
        status: u32,
    ) -> Option<Finding> {
        let address = request.request;
        if path == OidPath::Synchronous {
            return match status {
                PENDING => Some(about(
                    &rule::SYNC_OID_NO_PENDING,
                    address,
                    "is synchronous and was answered with NDIS_STATUS_PENDING",
                )),
                NDIS_STATUS_NOT_SUPPORTED => Some(about(
                    &rule::SYNC_OID_UNKNOWN_SUCCESS,
                    address,
                    "is synchronous, unknown, and was not passed on",
                )),
                _ => None,
            };
        }
        if status == PENDING {
            let has_clone = self.own.values().any(|own| own.source == Some(address));
            let given = self.given.get_mut(&address)?;
            given.is_pending = true;
            if given.below.is_some() || has_clone {
                return None;
            }
            // Who takes it from a queue meanwhile, on another thread, finishes it.
            if self.refused.contains(&(address, event.thread)) {
                return Some(about(
                    &rule::OID_CLONE_NULL,
                    address,
                    "was left pending though its clone could not be had",
                ));
            }
            let can_cancel = match path {
                OidPath::Direct => self.handlers.cancel_direct_oid_request,
                _ => self.handlers.cancel_oid_request,
            };
            return (!can_cancel).then(|| {
                about(
                    &rule::REG_QUEUE_OIDS_NEEDS_CANCEL,
                    address,
                    "is queued, and there is no FilterCancelOidRequest",
                )
            });
        }
        self.finish(event, path, request, status)
    }

    fn complete(
        &mut self,
        event: &Event,
        path: OidPath,
        request: &OidRequest,
        status: u32,
    ) -> Option<Finding> {
        let address = request.request;
        if path == OidPath::Synchronous {
            return self.end_synchronously(event, request, status);
        }
        let is_clone = self.own.get(&address).map(|own| own.source.is_some());
        let is_own = is_clone.or(self.ended.contains(&address).then_some(false));
        if let Some(is_clone) = is_own {
            let rule = if is_clone {
                &rule::OID_COMPLETE_SAME_POINTER
            } else {
                &rule::OID_OWN_NOT_COMPLETED_UP
            };
            return Some(about(
                rule,
                address,
                "is the filter's and was completed upward",
            ));
        }
        if !self.given.contains_key(&address) {
            let in_work_item = self
                .running
                .inside(event.thread, Callback::is_work_item)
                .is_some();
            let (rule, why) = if !self.finished.contains_key(&address) {
                (
                    &rule::OID_COMPLETE_SAME_POINTER,
                    "was completed and never given to the filter",
                )
            } else if in_work_item {
                (
                    &rule::OID_DOUBLE_COMPLETE_WORKITEM,
                    "was completed a second time, by a work item",
                )
            } else if path == OidPath::Direct {
                (&rule::OID_DOUBLE_COMPLETE_DV, "was completed a second time")
            } else {
                (&rule::OID_COMPLETE_ONCE, "was completed a second time")
            };
            return Some(about(rule, address, why).with(BugCheck::new(0xC4, &[0x0009_1002])));
        }
        self.finish(event, path, request, status)
    }

    fn clone_made(
        &mut self,
        thread: u32,
        adapter: u32,
        source: u64,
        clone: u64,
    ) -> Option<Finding> {
        let path = self.given.get(&source).map(|given| given.path);
        if path == Some(OidPath::Synchronous) {
            let why = "is synchronous and was cloned";
            return Some(about(&rule::SYNC_OID_NO_CLONE, source, why));
        }
        if clone == 0 {
            self.refused.push((source, thread));
            return None;
        }
        if let Some(given) = self.given.get_mut(&source) {
            given.is_cloned = true;
        }
        let own = Own {
            adapter,
            source: Some(source),
            id: 0,
            is_below: false,
            below_since_ns: 0,
        };
        self.own.insert(clone, own);
        None
    }

    fn clone_freed(&mut self, adapter: u32, clone: u64) -> Option<Finding> {
        let own = self.own.remove(&clone);
        let why = match own {
            Some(own) if own.is_below => "is pending below and was freed",
            Some(own) if own.adapter != adapter => "was freed with another module's handle",
            Some(own) if own.source.is_some() => return None,
            _ => "was freed and is no clone, or was freed before",
        };
        Some(about(&rule::OID_CLONE_BALANCED, clone, why))
    }

    fn send(
        &mut self,
        adapter: u32,
        path: OidPath,
        request: &OidRequest,
        header: &Header,
    ) -> Option<Finding> {
        let address = request.request;
        let fail = |rule, why: &str| Some(about(rule, address, why));
        if let Some(given) = self.given.get(&address) {
            return if given.path == OidPath::Synchronous {
                fail(
                    &rule::SYNC_OID_NO_CLONE,
                    "is synchronous and was sent again",
                )
            } else {
                fail(
                    &rule::OID_FORWARD_NEEDS_CLONE,
                    "was given to the filter and sent on itself",
                )
            };
        }
        if !header.is_valid() {
            let finding = about(&rule::OID_REQUEST_HEADER, address, "has a wrong header");
            return Some(finding.with(BugCheck::new(0x7C, &[0x21, 0, address])));
        }
        if !request.is_resident {
            return fail(
                &rule::OID_REQUEST_NONPAGED,
                "does not lie in nonpaged memory",
            );
        }
        match path {
            OidPath::Regular if !self.handlers.oid_request_complete => {
                return fail(
                    &rule::REG_PAIR_OID_CALL_NEEDS_COMPLETE,
                    "was sent, and there is no FilterOidRequestComplete",
                );
            }
            OidPath::Direct if !self.handlers.direct_oid_request_complete => {
                return fail(
                    &rule::REG_PAIR_DIRECT_CALL_NEEDS_COMPLETE,
                    "was sent, and there is no FilterDirectOidRequestComplete",
                );
            }
            _ => {}
        }
        if matches!(
            self.states.of(adapter),
            ModuleState::Detached | ModuleState::Attaching
        ) {
            return fail(
                &rule::OID_REQUEST_STATE,
                "was sent by a module that is not attached",
            );
        }
        let own = self.own.entry(address).or_insert(Own {
            adapter,
            source: None,
            id: 0,
            is_below: false,
            below_since_ns: 0,
        });
        (own.is_below, own.id) = (true, request.id);
        let Some(source) = own.source else {
            let is_told = request.kind == OidKind::Query && IN_PARAMETERS.contains(&request.oid);
            let oid = request.oid;
            let why = || format!("asks for OID {oid:#x}, which the attach parameters tell");
            return is_told.then(|| about(&rule::ATTACH_PREFER_PARAMETERS, address, &why()));
        };
        let original = self.given.get(&source)?;
        (original.id != request.id).then(|| {
            about(
                &rule::OID_CLONE_REQUEST_ID,
                address,
                "has another RequestId than its original",
            )
        })
    }

    /// The clones of an adapter's requests with this identifier that are below.
    fn clones_below(&self, adapter: u32, id: u64) -> Vec<u64> {
        let is_wanted = |(_, own): &(&u64, &Own)| {
            let source = own.source.and_then(|source| self.given.get(&source));
            own.is_below && source.is_some_and(|given| (given.adapter, given.id) == (adapter, id))
        };
        let clones = self.own.iter().filter(is_wanted);
        clones.map(|(clone, _)| *clone).collect()
    }

    /// `FilterCancelOidRequest`, or that for direct requests, returned.
    fn check_cancel(&mut self, thread: u32, callback: Callback) -> Option<Finding> {
        let Cancelling {
            adapter,
            id,
            below,
            passed_on,
        } = self.cancelling.remove(&thread)?;
        let still = self.clones_below(adapter, id);
        let clone = below.iter().find(|clone| still.contains(clone))?;
        let own = self.own.get(clone)?;
        (!passed_on.contains(&own.id)).then(|| {
            let happened = format!(
                "{} returned; the request with id {id:#x} is below as {:#x} and was not cancelled there",
                callback.name(),
                own.id
            );
            Finding::new(&rule::OID_CANCEL_FORWARD, happened)
        })
    }
}

#[cfg(test)]
mod tests;
