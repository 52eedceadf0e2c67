//! How packets pass through the filter, and what it has when a pause begins.

use std::collections::BTreeMap;

use lab_rules::event::{Callback, Kind};
use lab_rules::{Event, Passage};

use crate::HoldReport;

/// What the filter has now, and what it had so far.
#[derive(Default)]
pub(crate) struct Holds {
    pub(crate) passage: Passage,
    /// Pauses that run: when they began.
    pausing: BTreeMap<u32, u64>,
    report: HoldReport,
}

impl Holds {
    /// Whether the filter has something of an adapter.
    pub(crate) fn is_holding(&self, adapter: u32) -> bool {
        self.passage.kept(adapter) > 0
    }

    /// Whether packets have waited, and none at the moment of a pause yet.
    pub(crate) fn is_yet_to_pause(&self) -> bool {
        let mut counts = self.passage.counts();
        self.report.held_at_pause == 0 && counts.any(|(_, count)| count.most_waiting > 0)
    }

    /// What a report says of it.
    pub(crate) fn report(&self) -> HoldReport {
        let counts = self.passage.counts();
        HoldReport {
            longest_ns: counts.map(|(_, count)| count.longest_ns).max().unwrap_or(0),
            ..self.report
        }
    }

    /// Takes one event.
    pub(crate) fn observe(&mut self, event: &Event) {
        // What is wrong is for monitors to tell, where somebody demands otherwise.
        let _ = self.passage.observe(event);
        match &event.kind {
            Kind::Enter(call) if call.callback == Callback::FilterPause => {
                let Some(paused) = call.adapter else { return };
                self.report.held_at_pause += self.passage.kept(paused) as u64;
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
    use lab_rules::event::{Call, Content, NblEvent, NblPath};

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
                contents: vec![Content::default()],
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
