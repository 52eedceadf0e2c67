//! Telling Windows' tracing what happens.

mod packet;

pub(crate) use packet::{Miss, Work};

use core::sync::atomic::Ordering;

use inspect::{BlockTable, Direction, Flow, FlowEnd, FlowKind};
use ndis::device::Refused;
use ndis::driver::Installed;
use ndis::filter::{AttachParameters, Attached, ModuleState, Moment};
use ndis::irql::Passive;
use ndis::nbl::Overload;
use ndis::text::Text;
use ndis::trace::{self, Event, SocketAddress};
use ndis::{Status, time, version};
use protocol::Mode;
use wpp::wpp;

use crate::count;
use crate::event::*;
use crate::message::{Life, WPP};
use crate::module::Tap;
use crate::parameter::Parameters;

/// Flows that are told while the table is locked once.
const FLOWS_PER_LOCK: usize = 32;
/// Time between two [`Statistics`] of a module.
const STATISTICS_PERIOD_NS: u64 = 1_000_000_000;

const VERSION: &[u8] = env!("CARGO_PKG_VERSION").as_bytes();

/// Writes the event of a moment in the life of the driver or a module.
pub(crate) fn witness(moment: Moment<'_, Tap>) {
    match moment {
        Moment::Loaded => trace::write(|| DriverLoaded {
            version: VERSION,
            ndis_minor: version::registered_minor(),
        }),
        Moment::EventsNotRegistered(status) => wpp!(
            Error,
            Life,
            "events are not registered: {status:ntstatus}",
            status
        ),
        Moment::MessagesNotRegistered(status) => {
            trace::write(|| MessagesNotRegistered { status });
        }
        Moment::NotLoaded(status) => trace::write(|| DriverNotLoaded { status }),
        Moment::Unloaded => {
            let (refused_events, refused_messages) = (DEFERLWF.refused(), WPP.refused());
            trace::write(|| DriverUnloaded {
                refused_events,
                refused_messages,
            });
            wpp!(
                Verbose,
                Life,
                "refused were {events:u64} events, {messages:u64} messages",
                refused_events,
                refused_messages
            );
        }
        Moment::Attached { module, took_ns } => trace::write(|| {
            let AttachParameters {
                if_index,
                base_miniport_if_index,
                ..
            } = *module.parameters();
            ModuleAttached {
                if_index,
                base_if_index: base_miniport_if_index,
                mac_address: mac_address(module.parameters()),
                duration_ns: took_ns,
            }
        }),
        Moment::NotAttached {
            parameters,
            why,
            took_ns,
        } => trace::write(|| ModuleNotAttached {
            if_index: parameters.map_or(0, |parameters| parameters.if_index),
            status: why,
            duration_ns: took_ns,
        }),
        Moment::Restarted {
            module,
            result: Ok(()),
            took_ns,
        } => trace::write(|| ModuleRestarted {
            if_index: module.if_index,
            mode: mode(module.settings.mode()),
            duration_ns: took_ns,
        }),
        Moment::Restarted {
            module,
            result: Err(status),
            took_ns,
        } => trace::write(|| ModuleNotRestarted {
            if_index: module.if_index,
            status,
            duration_ns: took_ns,
        }),
        Moment::OwnPacketsShort {
            module,
            made,
            wanted,
        } => trace::write(|| CopiesShort {
            if_index: module.if_index,
            made: made.receive,
            wanted: wanted.receive,
        }),
        Moment::Paused {
            module,
            reason,
            took_ns,
        } => trace::write(|| ModulePaused {
            if_index: module.if_index,
            reason,
            duration_ns: took_ns,
        }),
        Moment::Detached {
            parameters,
            took_ns,
        } => trace::write(|| ModuleDetached {
            if_index: parameters.if_index,
            duration_ns: took_ns,
        }),
    }
}

/// Whether a session wants events that say how long something took.
pub(crate) fn wants_times() -> bool {
    ModuleDetached::is_enabled() || ModuleNotAttached::is_enabled()
}

/// Whether a session wants to know of flows.
pub(crate) fn wants_flows() -> bool {
    FlowStarted::is_enabled() || FlowRefused::is_enabled()
}

/// What is there, for a session that asks.
pub(crate) fn rundown(irql: &mut Passive) {
    trace::write(|| DriverRundown {
        version: VERSION,
        ndis_minor: version::registered_minor(),
        refused_events: DEFERLWF.refused(),
        refused_messages: WPP.refused(),
    });
    Tap::driver().census(irql, |census| {
        for module in census.modules() {
            trace::write(|| ModuleRundown {
                if_index: module.if_index,
                base_if_index: module.parameters().base_miniport_if_index,
                mac_address: mac_address(module.parameters()),
                mode: mode(module.settings.mode()),
                state: state(&module),
            });
        }
    });
    if FlowRundown::is_enabled() {
        every_flow(irql);
    }
}

/// Writes all flows, some at a time: while the table is locked the worker waits.
fn every_flow(irql: &mut Passive) {
    let mut behind = None;
    loop {
        // By the order of their interface indexes, which are fixed, so that none comes twice.
        let next = Tap::driver().census(irql, |census| {
            let indexes = census.modules().map(|module| module.if_index);
            indexes
                .filter(|&index| behind.is_none_or(|behind| index > behind))
                .min()
        });
        let Some(if_index) = next else {
            return;
        };
        behind = next;
        let chosen = |tap: &Attached<'_, Tap>| tap.if_index == if_index;
        let _ = Tap::driver().find(irql, chosen, |tap, irql| {
            each_flow(tap, irql, |flow| flow_there(tap.if_index, flow));
        });
    }
}

/// Shows all flows of a module, some at a time.
fn each_flow(tap: &Tap, irql: &mut Passive, mut show: impl FnMut(&Flow)) {
    let mut cursor = Some(0);
    while let Some(from) = cursor {
        cursor = tap.flows.with(irql, |flows, _| {
            let mut shown: usize = 0;
            for (next, flow) in flows.flows(from) {
                show(flow);
                shown = shown.saturating_add(1);
                if shown == FLOWS_PER_LOCK {
                    return Some(next);
                }
            }
            None
        });
    }
}

/// Writes the end of all flows of a module that goes.
pub(crate) fn flows_detached(tap: &Tap, irql: &mut Passive) {
    if FlowEnded::is_enabled() {
        each_flow(tap, irql, |flow| {
            if flow.end().is_none() {
                flow_ended(tap.if_index, flow, b"detached");
            }
        });
    }
}

/// Writes that a request was refused.
pub(crate) fn request_refused(refused: &Refused) {
    trace::write(|| RequestRefused {
        code: refused.code.unwrap_or_default(),
        status: refused.status,
        function: refused.function,
    });
}

/// Writes that a flow is over.
pub(crate) fn flow_ended(if_index: u32, flow: &Flow, reason: &'static [u8]) {
    trace::write(|| FlowEnded {
        if_index,
        kind: kind(flow),
        protocol: flow.key.protocol,
        a: SocketAddress::new(flow.a().address, flow.a().port),
        b: SocketAddress::new(flow.b().address, flow.b().port),
        reason,
        packets_ab: flow.ab.packets,
        packets_ba: flow.ba.packets,
        bytes_ab: flow.ab.bytes,
        bytes_ba: flow.ba.bytes,
        duration_ns: flow.last_ns.saturating_sub(flow.first_ns),
    });
}

/// Writes that a flow began.
pub(crate) fn flow_started(if_index: u32, flow: &Flow) {
    trace::write(|| FlowStarted {
        if_index,
        kind: kind(flow),
        protocol: flow.key.protocol,
        a: SocketAddress::new(flow.a().address, flow.a().port),
        b: SocketAddress::new(flow.b().address, flow.b().port),
        direction: direction(flow.first_direction),
    });
}

/// Writes that a flow is there.
pub(crate) fn flow_there(if_index: u32, flow: &Flow) {
    trace::write(|| FlowRundown {
        if_index,
        kind: kind(flow),
        protocol: flow.key.protocol,
        a: SocketAddress::new(flow.a().address, flow.a().port),
        b: SocketAddress::new(flow.b().address, flow.b().port),
        packets_ab: flow.ab.packets,
        packets_ba: flow.ba.packets,
        bytes_ab: flow.ab.bytes,
        bytes_ba: flow.ba.bytes,
    });
}

/// Writes what a module has counted.
pub(crate) fn statistics(tap: &Attached<'_, Tap>) {
    trace::write(|| {
        let counts = count::statistics(tap);
        let (send, receive) = (&counts.send, &counts.receive);
        Statistics {
            if_index: counts.if_index,
            mode: mode(counts.mode),
            packets_sent: send.packets,
            bytes_sent: send.bytes,
            packets_received: receive.packets,
            bytes_received: receive.bytes,
            inspected: send.inspected.saturating_add(receive.inspected),
            not_inspected: send.not_inspected().saturating_add(receive.not_inspected()),
            dropped: send.dropped().saturating_add(receive.dropped()),
            waiting: send
                .held
                .saturating_add(receive.held)
                .saturating_add(counts.ring.waiting),
            flows: counts.flows.active,
            work_runs: counts.work_items.runs,
            longest_queued_ns: counts.work_items.max_wait_ns,
        }
    });
}

/// What a mode is called.
pub(crate) const fn mode(mode: Mode) -> &'static [u8] {
    match mode {
        Mode::Off => b"off",
        Mode::Tap => b"tap",
        Mode::Inline => b"inline",
    }
}

/// What a direction is called.
pub(crate) const fn direction(direction: Direction) -> &'static [u8] {
    match direction {
        Direction::Send => b"send",
        Direction::Receive => b"receive",
    }
}

/// What the end of a flow is called.
pub(crate) const fn end(end: FlowEnd) -> &'static [u8] {
    match end {
        FlowEnd::Closed => b"closed",
        FlowEnd::Reset => b"reset",
        FlowEnd::Silent => b"silent",
    }
}

const fn kind(flow: &Flow) -> &'static [u8] {
    match flow.key.kind {
        FlowKind::Address => b"address",
        FlowKind::Port => b"port",
    }
}

fn mac_address(parameters: &AttachParameters) -> [u8; 6] {
    parameters.mac_address.ethernet().unwrap_or_default()
}

fn state(tap: &Attached<'_, Tap>) -> &'static [u8] {
    match tap.state() {
        ModuleState::Attaching => b"Attaching",
        ModuleState::Paused => b"Paused",
        ModuleState::Restarting => b"Restarting",
        ModuleState::Running => b"Running",
        ModuleState::Pausing => b"Pausing",
        ModuleState::Detached => b"Detached",
    }
}

/// Tells what a module has counted, if it has not done so for a while.
pub(crate) fn once_in_a_while(tap: &Attached<'_, Tap>) {
    if Statistics::is_enabled() {
        let now_ns = time::now_ns();
        let last_ns = tap.told_ns.load(Ordering::Relaxed);
        let is_due = last_ns == 0 || now_ns.saturating_sub(last_ns) >= STATISTICS_PERIOD_NS;
        // Of several workers one tells.
        let take = || {
            let (order, missed) = (Ordering::Relaxed, Ordering::Relaxed);
            tap.told_ns.compare_exchange(last_ns, now_ns, order, missed)
        };
        if is_due && take().is_ok() {
            statistics(tap);
        }
    }
}

/// Another mode is in effect from here on.
pub(crate) fn change_mode(tap: &Tap, to: Mode) {
    let from = tap.settings.mode();
    tap.settings.set_mode(to);
    trace::write(|| ModeChanged {
        if_index: tap.if_index,
        from: mode(from),
        to: mode(to),
    });
}

/// The mode stays what it is.
pub(crate) fn mode_not_changed(tap: &Tap, status: Status) {
    trace::write(|| ModeNotChanged {
        if_index: tap.if_index,
        mode: mode(tap.settings.mode()),
        status,
    });
}

/// Parameters are in effect.
pub(crate) fn parameters_read(if_index: u32, parameters: &Parameters) {
    trace::write(|| ParametersRead {
        if_index,
        mode: mode(parameters.mode),
        rules: u32::try_from(parameters.blocked.count()).unwrap_or_default(),
        drops_at_overload: parameters.overload == Overload::Refuse,
        hold_limit: parameters.hold_limit,
        max_hold_ns: parameters.max_hold_ns,
        worker_budget_ns: parameters.worker_budget_ns,
        flow_idle_ns: parameters.flow_idle_ns,
    });
}

/// Parameters could not be opened.
pub(crate) fn parameters_not_read(if_index: u32, status: Status) {
    trace::write(|| ParametersNotRead { if_index, status });
}

/// NDIS could not read a parameter: its default is used.
pub(crate) fn parameter_not_read(if_index: u32, name: Text, status: Status) {
    trace::write(|| ParameterNotRead {
        if_index,
        name,
        status,
    });
}

/// Other rules than before were read, from this text.
pub(crate) fn rules_changed(if_index: u32, from: &BlockTable, to: &BlockTable, text: &[u8]) {
    trace::write(|| RulesChanged {
        if_index,
        from: u32::try_from(from.count()).unwrap_or_default(),
        to: u32::try_from(to.count()).unwrap_or_default(),
        text,
    });
}

/// A parameter is not what it should be; `value` is its number, if it is one.
pub(crate) fn bad_parameter(if_index: u32, name: Text, value: Option<u32>, used: u32) {
    trace::write(|| BadParameter {
        if_index,
        name,
        problem: if value.is_some() { b"range" } else { b"type" },
        value: value.unwrap_or_default(),
        used,
    });
}

/// Rules are not written as they should be; without `why` they are no text that could be read.
pub(crate) fn bad_rules(if_index: u32, why: Option<inspect::BadRules>, text: &[u8]) {
    trace::write(|| BadRules {
        if_index,
        problem: match why {
            None => b"type",
            Some(inspect::BadRules::TooMany) => b"too many",
            Some(inspect::BadRules::Rule(_)) => b"rule",
        },
        rule: match why {
            Some(inspect::BadRules::Rule(rule)) => u32::try_from(rule).unwrap_or(u32::MAX),
            Some(inspect::BadRules::TooMany) | None => 0,
        },
        text,
    });
}
