//! From where calls are made: what belongs into one routine, or must stay out of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{
    Call, Callback, DISPATCH_LEVEL, Event, Import, Kind, ModuleEvent, NblCall, NblEvent,
    NetPnpEvent, Overdue, TimerEvent,
};
use crate::family::running::Running;
use crate::family::state::SUCCESS;
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// `NetEventSetPower`.
const SET_POWER: u32 = 0;
/// `NetEventQueryPower`, `NetEventQueryRemoveDevice`: the two that a filter may fail.
const MAY_FAIL: [u32; 2] = [1, 2];
/// `NetEventAllowBindsAbove`, `…InhibitBindsAbove`, `…AllowStart`, `…RequirePause`.
const NOT_FOR_FILTERS: std::ops::RangeInclusive<u32> = 18..=21;

/// Compares every call with the routine that it is made from.
#[derive(Debug, Default)]
pub(crate) struct CallingMonitor {
    running: Running,
    /// `NdisFSetAttributes` calls in the running attach of an adapter.
    attributes: BTreeMap<u32, u32>,
    /// Threads in `FilterCancelSendNetBufferLists` that have passed the id on.
    cancelled: Vec<u32>,
    /// Adapters whose `FilterPause` has returned, until `FilterRestart`. A timer that was set before may run until then:
    /// nothing can keep it from that any earlier.
    resting: BTreeSet<u32>,
    /// Adapters that rested when a timer was last set, or in whose `FilterPause` that was done.
    set_at_rest: BTreeMap<u64, BTreeSet<u32>>,
    /// Adapters whose packets the timer routine of a thread leaves alone.
    left_alone: BTreeMap<u32, BTreeSet<u32>>,
    /// The event that `FilterNetPnPEvent` was last called with, by adapter.
    net_event: BTreeMap<u32, u32>,
}

impl Monitor for CallingMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::ATTACH_SET_ATTRIBUTES_CONTEXT,
            &rule::ATTACH_NO_OID,
            &rule::SETMODULE_OPTIONS_CONTEXT,
            &rule::NETPNP_FORWARD_CONTEXT,
            &rule::NETPNP_FORBIDDEN_EVENTS,
            &rule::NETPNP_RETURN,
            &rule::NETPNP_SETPOWER_NO_WAIT,
            &rule::OID_NO_NETPNP_IN_HANDLER,
            &rule::DEVPNP_FORWARD_BEFORE_RETURN,
            &rule::DETACH_CLOSED_PATHS,
            &rule::SYNC_OID_NO_BLOCK,
            &rule::WI_ROUTINE_NO_TERMINATE,
            &rule::PAUSE_STOP_TIMERS,
            &rule::CANCEL_SEND_FORWARD,
            &rule::FLAGS_IRQL_NO_PROBE,
            &rule::CONFIG_WHEN,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let finding = match &event.kind {
            Kind::Import(import) => self.check_import(event.thread, import),
            Kind::Enter(call) => {
                self.begin(event.thread, *call);
                None
            }
            Kind::Leave { call, status } => self.check_leave(event.thread, *call, *status),
            Kind::Module(ModuleEvent::AttributesSet { adapter, .. }) => {
                self.check_attributes(event.thread, *adapter)
            }
            Kind::Nbl(NblEvent::Handed {
                adapter,
                call: call @ (NblCall::Send | NblCall::Indicate),
                ..
            }) => self.check_timer(event.thread, *adapter, *call),
            Kind::Timer(TimerEvent::Set { timer, .. }) => {
                let pausing = self
                    .running
                    .inside(event.thread, |callback| callback == Callback::FilterPause)
                    .and_then(|call| call.adapter);
                let adapters = self.resting.iter().copied().chain(pausing);
                self.set_at_rest.insert(*timer, adapters.collect());
                None
            }
            Kind::Timer(TimerEvent::Fired { timer, .. }) => {
                let set_at_rest = self.set_at_rest.get(timer).into_iter().flatten();
                let adapters = self.resting.iter().chain(set_at_rest).copied();
                self.left_alone.insert(event.thread, adapters.collect());
                None
            }
            Kind::NetPnp(NetPnpEvent::Given { adapter, code }) => {
                self.net_event.insert(*adapter, *code);
                None
            }
            Kind::Overdue(Overdue::Callback {
                callback: Callback::FilterNetPnPEvent,
                adapter: Some(adapter),
                waited_ns,
            }) => (self.net_event.get(adapter) == Some(&SET_POWER)).then(|| {
                let happened = format!(
                    "FilterNetPnPEvent has not returned from NetEventSetPower after {} s; no packet comes home before it does",
                    waited_ns / 1_000_000_000
                );
                Finding::new(&rule::NETPNP_SETPOWER_NO_WAIT, happened)
            }),
            Kind::NetPnp(NetPnpEvent::Issued { code }) if NOT_FOR_FILTERS.contains(code) => {
                let happened = format!("NdisFNetPnPEvent was given event {code}");
                let bug_check = BugCheck::new(0x7C, &[0x22, u64::from(*code)]);
                Some(Finding::new(&rule::NETPNP_FORBIDDEN_EVENTS, happened).with(bug_check))
            }
            _ => None,
        };
        self.running.observe(event);
        finding
    }
}

impl CallingMonitor {
    fn begin(&mut self, thread: u32, call: Call) {
        match (call.callback, call.adapter) {
            (Callback::FilterAttach, Some(adapter)) => {
                self.attributes.insert(adapter, 0);
            }
            (Callback::FilterCancelSendNetBufferLists, _) => {
                self.cancelled.retain(|cancelled| *cancelled != thread);
            }
            (Callback::FilterRestart, Some(adapter)) => {
                self.resting.remove(&adapter);
                self.set_at_rest.values_mut().for_each(|adapters| {
                    adapters.remove(&adapter);
                });
                self.left_alone.values_mut().for_each(|adapters| {
                    adapters.remove(&adapter);
                });
            }
            _ => {}
        }
    }

    fn check_attributes(&mut self, thread: u32, adapter: u32) -> Option<Finding> {
        let calls = self.attributes.entry(adapter).or_default();
        *calls += 1;
        let is_attaching = self
            .running
            .inside(thread, |callback| callback == Callback::FilterAttach)
            .is_some_and(|call| call.adapter == Some(adapter));
        let happened = if !is_attaching {
            "NdisFSetAttributes was called outside FilterAttach of that module"
        } else if *calls > 1 {
            "NdisFSetAttributes was called a second time in one FilterAttach"
        } else {
            return None;
        };
        Some(Finding::new(&rule::ATTACH_SET_ATTRIBUTES_CONTEXT, happened))
    }

    fn check_import(&mut self, thread: u32, import: &Import) -> Option<Finding> {
        let inside = |wanted| {
            self.running
                .inside(thread, |callback| callback == wanted)
                .is_some()
        };
        let is_any_of = |wanted: &[Callback]| {
            self.running
                .inside(thread, |callback| wanted.contains(&callback))
                .is_some()
        };
        // A wait that only looks is legal at DISPATCH_LEVEL.
        let is_wait = import.name.starts_with("KeWaitFor") && import.irql_max < DISPATCH_LEVEL
            || ["NdisWaitEvent", "NdisMSleep", "KeDelayExecutionThread"].contains(&import.name);
        let is_oid = import.name.starts_with("NdisFOidRequest")
            || import.name.starts_with("NdisFDirectOidRequest");
        let in_synchronous = || self.running.inside(thread, Callback::is_synchronous_oid);
        // What is about another module is that one's business.
        let inside_its = |wanted| {
            let is_its = |call: Call| import.adapter.is_none() || import.adapter == call.adapter;
            self.running
                .inside(thread, |callback| callback == wanted)
                .is_some_and(is_its)
        };
        let (rule, place) = match import.name {
            "NdisFOidRequest" | "NdisFDirectOidRequest" if inside_its(Callback::FilterAttach) => {
                (&rule::ATTACH_NO_OID, "from FilterAttach")
            }
            "NdisFSendNetBufferLists"
            | "NdisFIndicateReceiveNetBufferLists"
            | "NdisFIndicateStatus"
                if inside_its(Callback::FilterDetach) =>
            {
                (&rule::DETACH_CLOSED_PATHS, "from FilterDetach")
            }
            _ if is_oid && inside_its(Callback::FilterDetach) => {
                (&rule::DETACH_CLOSED_PATHS, "from FilterDetach")
            }
            "NdisSetOptionalHandlers"
                if !is_any_of(&[Callback::FilterSetOptions, Callback::FilterSetModuleOptions]) =>
            {
                (
                    &rule::SETMODULE_OPTIONS_CONTEXT,
                    "outside FilterSetOptions and FilterSetModuleOptions",
                )
            }
            "NdisFNetPnPEvent"
                if is_any_of(&[Callback::FilterOidRequest, Callback::FilterDirectOidRequest]) =>
            {
                (&rule::OID_NO_NETPNP_IN_HANDLER, "from an OID handler")
            }
            "NdisFNetPnPEvent" if !inside(Callback::FilterNetPnPEvent) => {
                (&rule::NETPNP_FORWARD_CONTEXT, "outside FilterNetPnPEvent")
            }
            "NdisFDevicePnPEventNotify" if !inside(Callback::FilterDevicePnPEventNotify) => (
                &rule::DEVPNP_FORWARD_BEFORE_RETURN,
                "outside FilterDevicePnPEventNotify",
            ),
            _ if is_wait && in_synchronous().is_some() => {
                (&rule::SYNC_OID_NO_BLOCK, "from a synchronous OID handler")
            }
            "PsTerminateSystemThread"
                if self
                    .running
                    .inside(thread, Callback::is_work_item)
                    .is_some() =>
            {
                (&rule::WI_ROUTINE_NO_TERMINATE, "from a work item routine")
            }
            "KeGetCurrentIrql"
                if self
                    .running
                    .innermost(thread)
                    .is_some_and(|call| call.callback.has_dispatch_flag()) =>
            {
                (
                    &rule::FLAGS_IRQL_NO_PROBE,
                    "from a handler whose flags tell the level",
                )
            }
            "NdisOpenConfigurationEx" | "NdisReadConfiguration"
                if !is_any_of(&[
                    Callback::DriverEntry,
                    Callback::FilterSetOptions,
                    Callback::FilterSetModuleOptions,
                    Callback::FilterAttach,
                    Callback::FilterRestart,
                    Callback::FilterNetPnPEvent,
                    Callback::FilterDevicePnPEventNotify,
                ]) =>
            {
                (&rule::CONFIG_WHEN, "outside attach, restart and PnP events")
            }
            "NdisFCancelSendNetBufferLists" => {
                self.cancelled.push(thread);
                return None;
            }
            _ => return None,
        };
        let finding = Finding::new(rule, format!("{} was called {place}", import.name));
        Some(if rule.id == "wi-routine-no-terminate" {
            finding.with(BugCheck::new(0xE9, &[]))
        } else {
            finding
        })
    }

    fn check_leave(&mut self, thread: u32, call: Call, status: Option<u32>) -> Option<Finding> {
        match call.callback {
            Callback::FilterPause => {
                self.resting.extend(call.adapter);
                None
            }
            Callback::FilterCancelSendNetBufferLists if !self.cancelled.contains(&thread) => {
                let happened = "FilterCancelSendNetBufferLists returned without a call of NdisFCancelSendNetBufferLists";
                Some(Finding::new(&rule::CANCEL_SEND_FORWARD, happened))
            }
            Callback::FilterNetPnPEvent if status != Some(SUCCESS) => {
                let code = *self.net_event.get(&call.adapter?)?;
                (!MAY_FAIL.contains(&code)).then(|| {
                    let happened =
                        format!("FilterNetPnPEvent failed event {code}, which cannot be refused");
                    Finding::new(&rule::NETPNP_RETURN, happened)
                })
            }
            _ => None,
        }
    }

    fn check_timer(&self, thread: u32, adapter: u32, call: NblCall) -> Option<Finding> {
        self.running
            .inside(thread, |callback| callback == Callback::TimerFunction)?;
        self.left_alone.get(&thread)?.contains(&adapter).then(|| {
            let happened = format!(
                "{} was called from a timer that the pause has not stopped",
                call.name()
            );
            Finding::new(&rule::PAUSE_STOP_TIMERS, happened)
        })
    }
}

#[cfg(test)]
mod tests;
