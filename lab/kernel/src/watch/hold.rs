//! How long the filter keeps what it is given, and what it has when a pause begins.

use std::collections::BTreeMap;

use lab_rules::Event;
use lab_rules::event::{Callback, Kind, NblEvent};

use crate::HoldReport;

/// What the filter has now, and what it had so far.
#[derive(Default)]
pub(crate) struct Holds {
    /// Structures that were given and are not handed over: adapter, and when they were given.
    given: BTreeMap<u64, (u32, u64)>,
    /// Pauses that run: when they began.
    pausing: BTreeMap<u32, u64>,
    pub(crate) report: HoldReport,
}

impl Holds {
    /// Whether the filter has something of an adapter.
    pub(crate) fn is_holding(&self, adapter: u32) -> bool {
        self.given.values().any(|(of, _)| *of == adapter)
    }

    /// Takes one event.
    pub(crate) fn observe(&mut self, event: &Event) {
        match &event.kind {
            Kind::Nbl(NblEvent::Given {
                adapter,
                nbls,
                low_resources: false,
                ..
            }) => {
                let entry = (*adapter, event.time_ns);
                self.given.extend(nbls.iter().map(|nbl| (*nbl, entry)));
            }
            Kind::Nbl(NblEvent::Handed { nbls, .. }) => {
                for handed in nbls {
                    if let Some((_, since_ns)) = self.given.remove(&handed.nbl) {
                        let held_ns = event.time_ns.saturating_sub(since_ns);
                        self.report.longest_ns = self.report.longest_ns.max(held_ns);
                    }
                }
            }
            Kind::Enter(call) if call.callback == Callback::FilterPause => {
                let Some(paused) = call.adapter else { return };
                let held = self
                    .given
                    .values()
                    .filter(|(adapter, _)| *adapter == paused);
                self.report.held_at_pause += held.count() as u64;
                self.pausing.insert(paused, event.time_ns);
            }
            Kind::Leave { call, .. } if call.callback == Callback::FilterPause => {
                let begun_ns = call
                    .adapter
                    .and_then(|adapter| self.pausing.remove(&adapter));
                let took_ns = begun_ns.map_or(0, |begun_ns| event.time_ns.saturating_sub(begun_ns));
                self.report.longest_pause_ns = self.report.longest_pause_ns.max(took_ns);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use lab_rules::event::{Call, NblPath};

    use super::*;

    #[test]
    fn what_is_given_is_held_until_it_is_handed_over() {
        let at = |time_ns, kind| Event {
            time_ns,
            processor: 0,
            thread: 1,
            irql: 0,
            kind,
        };
        let given = |nbl, low_resources| {
            Kind::Nbl(NblEvent::Given {
                adapter: 0,
                path: NblPath::Send,
                nbls: vec![nbl],
                low_resources,
            })
        };
        let pause = Call {
            callback: Callback::FilterPause,
            adapter: Some(0),
        };
        let mut holds = Holds::default();
        for event in [
            at(10, given(1, false)),
            at(20, given(2, true)),
            at(50, Kind::Enter(pause)),
            at(
                80,
                Kind::Leave {
                    call: pause,
                    status: Some(0),
                },
            ),
        ] {
            holds.observe(&event);
        }
        assert_eq!(holds.report.held_at_pause, 1);
        assert_eq!(holds.report.longest_pause_ns, 30);
    }
}
