//! Table tests of monitors: event streams in, identifiers of broken rules out.

use crate::event::{Arguments, Call, Callback, Event, Import, Kind, Returned};
use crate::monitor::{Monitor, Monitors, SwitchError};

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
        adapter: None,
        arguments: arguments(given),
    }))
}

/// The same, about the module of an adapter.
pub(crate) fn import_about(name: &'static str, adapter: u32) -> Event {
    let mut event = import(name, &[]);
    if let Kind::Import(import) = &mut event.kind {
        import.adapter = Some(adapter);
    }
    event
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

/// The rules that a fresh monitor finds broken, in order. The set of all monitors finds the same among what others find,
/// and does not where the rule is switched off: without its monitor, no row of a table comes out.
pub(crate) fn broken<M: Monitor + Default>(
    events: impl IntoIterator<Item = Event>,
) -> Vec<&'static str> {
    let events: Vec<Event> = events.into_iter().collect();
    let mut monitor = M::default();
    let mut found = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if let Some(finding) = monitor.observe(event) {
            assert!(
                monitor.rules().contains(&finding.rule),
                "{} is not in the monitor's list",
                finding.rule.id
            );
            found.push((index, finding.rule.id, finding.happened));
        }
    }
    let of_all = found_by(Monitors::default(), &events);
    for one in &found {
        assert!(of_all.contains(one), "not found by all together: {one:?}");
        let (_, id, _) = one;
        match Monitors::without(&[(*id).to_owned()]) {
            Ok(others) => {
                let of_others = found_by(others, &events);
                assert!(of_others.iter().all(|(_, other, _)| other != id), "{id}");
            }
            Err((_, refused)) => assert_eq!(refused, SwitchError::EndsTheRun, "{id}"),
        }
    }
    found.into_iter().map(|(_, id, _)| id).collect()
}

/// What a set of monitors finds: the event's index, the rule, what happened.
fn found_by(mut monitors: Monitors, events: &[Event]) -> Vec<(usize, &'static str, String)> {
    let findings = events.iter().enumerate().flat_map(|(index, event)| {
        let findings = monitors.observe(event).into_iter();
        findings.map(move |finding| (index, finding.rule.id, finding.happened))
    });
    findings.collect()
}
