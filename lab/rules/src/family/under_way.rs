//! Which threads were in driver code already when a module's pause began.
//!
//! NDIS calls FilterPause while other processors are in the driver. What they are about to do then they may still do: no
//! lock may be held across a call into NDIS, so no driver could stop them at that instruction. FilterPause waits for them.

use std::collections::BTreeMap;

use crate::event::{Callback, Event, Kind};

/// The activations that run, and when pauses began.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    events: u64,
    /// Per thread: how deep it is in driver code, and since which event.
    threads: BTreeMap<u32, (u32, u64)>,
    /// Per adapter: the event that the last pause began with.
    pauses: BTreeMap<u32, u64>,
}

impl UnderWay {
    pub(crate) fn observe(&mut self, event: &Event) {
        self.events += 1;
        match &event.kind {
            Kind::Enter(call) => {
                let began = self.events;
                let (depth, since) = self.threads.entry(event.thread).or_default();
                if *depth == 0 {
                    *since = began;
                }
                *depth += 1;
                if call.callback == Callback::FilterPause
                    && let Some(adapter) = call.adapter
                {
                    self.pauses.insert(adapter, began);
                }
            }
            Kind::Leave { .. } => {
                if let Some((depth, _)) = self.threads.get_mut(&event.thread) {
                    *depth = depth.saturating_sub(1);
                }
            }
            _ => {}
        }
    }

    /// Whether a thread is in driver code since before the last pause of an adapter.
    pub(crate) fn is_older_than_pause(&self, thread: u32, adapter: u32) -> bool {
        let since = self.threads.get(&thread).filter(|(depth, _)| *depth > 0);
        let pause = self.pauses.get(&adapter);
        since
            .zip(pause)
            .is_some_and(|((_, since), pause)| since < pause)
    }
}
