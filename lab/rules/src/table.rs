//! Table tests of monitors: event streams in, identifiers of broken rules out.

use crate::event::{Arguments, Call, Callback, Event, Import, Kind, Returned};
use crate::monitor::Monitor;

/// An event at PASSIVE_LEVEL on thread 1, processor 0, at time 0.
pub(crate) fn at(kind: Kind) -> Event {
    Event {
        time_ns: 0,
        processor: 0,
        thread: 1,
        irql: 0,
        kind,
    }
}

/// The same on another thread.
pub(crate) fn on(thread: u32, kind: Kind) -> Event {
    Event { thread, ..at(kind) }
}

/// The same at another level.
pub(crate) fn level(irql: u8, kind: Kind) -> Event {
    Event { irql, ..at(kind) }
}

fn arguments(given: &[u64]) -> Arguments {
    let mut arguments = Arguments::default();
    for (slot, value) in arguments.0.iter_mut().zip(given) {
        *slot = *value;
    }
    arguments
}

/// The driver calls an import with arguments, at any legal level.
pub(crate) fn import(name: &'static str, given: &[u64]) -> Event {
    at(Kind::Import(Import {
        module: "ndis.sys",
        name,
        irql_min: 0,
        irql_max: 31,
        arguments: arguments(given),
    }))
}

/// The import returns.
pub(crate) fn returned(name: &'static str, given: &[u64], result: u64) -> Event {
    at(Kind::Returned(Returned {
        name,
        arguments: arguments(given),
        result,
    }))
}

/// Checks a table: name, events, rules that they break in order.
pub(crate) fn check<M: Monitor + Default>(table: Vec<(&str, Vec<Event>, Vec<&str>)>) {
    for (name, events, expected) in table {
        assert_eq!(broken::<M>(events), expected, "{name}");
    }
}

/// The driver's routine is entered.
pub(crate) fn enter(callback: Callback, adapter: Option<u32>) -> Event {
    at(Kind::Enter(Call { callback, adapter }))
}

/// The driver's routine returns.
pub(crate) fn leave(callback: Callback, adapter: Option<u32>, status: Option<u32>) -> Event {
    at(Kind::Leave {
        call: Call { callback, adapter },
        status,
    })
}

/// The rules that a fresh monitor finds broken, in order.
pub(crate) fn broken<M: Monitor + Default>(
    events: impl IntoIterator<Item = Event>,
) -> Vec<&'static str> {
    let mut monitor = M::default();
    let mut broken = Vec::new();
    for event in events {
        if let Some(finding) = monitor.observe(&event) {
            assert!(
                monitor.rules().contains(&finding.rule),
                "{} is not in the monitor's list",
                finding.rule.id
            );
            broken.push(finding.rule.id);
        }
    }
    broken
}
