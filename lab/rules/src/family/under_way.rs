//! Which threads were in driver code already when a module's FilterPause returned.
//!
//! NDIS calls FilterPause while other processors are in the driver, and more come until it has told them. What they are
//! about to do then they may still do: no lock may be held across a call into NDIS, so no driver could stop them at that
//! instruction. FilterPause waits for them, or the completion of the pause does.

use std::collections::BTreeMap;

use crate::event::{Callback, Event, Kind};

/// The activations that run, and when pauses began.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    events: u64,
    /// Per thread: how deep it is in driver code, and since which event.
    threads: BTreeMap<u32, (u32, u64)>,
    /// Per adapter: the last FilterPause.
    pauses: BTreeMap<u32, Pause>,
}

/// A call of FilterPause: the events with which it began and has returned.
#[derive(Debug)]
struct Pause {
    began: u64,
    returned: Option<u64>,
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
                    let returned = None;
                    self.pauses.insert(adapter, Pause { began, returned });
                }
            }
            Kind::Leave { call, .. } => {
                if call.callback == Callback::FilterPause
                    && let Some(pause) = call.adapter.and_then(|it| self.pauses.get_mut(&it))
                {
                    pause.returned = Some(self.events);
                }
                if let Some((depth, _)) = self.threads.get_mut(&event.thread) {
                    *depth = depth.saturating_sub(1);
                }
            }
            _ => {}
        }
    }

    /// Whether a thread is in driver code since before the last FilterPause of an adapter began.
    pub(crate) fn began_before_pause(&self, thread: u32, adapter: u32) -> bool {
        let since = self.threads.get(&thread).filter(|(depth, _)| *depth > 0);
        let pause = self.pauses.get(&adapter);
        since
            .zip(pause)
            .is_some_and(|((_, since), pause)| *since < pause.began)
    }

    /// Whether a thread is in driver code since before the last FilterPause of an adapter has returned, and is not in that.
    pub(crate) fn is_older_than_pause(&self, thread: u32, adapter: u32) -> bool {
        let since = self.threads.get(&thread).filter(|(depth, _)| *depth > 0);
        let pause = self.pauses.get(&adapter);
        since.zip(pause).is_some_and(|((_, since), pause)| {
            *since != pause.began && pause.returned.is_none_or(|returned| *since < returned)
        })
    }
}
