//! Which structures a handler has been called with and is not through with.
//!
//! A pause waits for what the filter keeps, not for a handler that another processor is in at that
//! moment: it may still pass on what it was called with.

use std::collections::BTreeMap;

use crate::event::{Callback, Event, Kind, NblEvent};

/// The structures of the datapath handlers that run.
#[derive(Debug, Default)]
pub(super) struct Inside {
    /// Per thread, the outermost handler first.
    running: BTreeMap<u32, Vec<Vec<u64>>>,
    /// What a thread will call a handler with.
    next: BTreeMap<u32, Vec<u64>>,
}

impl Inside {
    /// Follows the events; gives what a handler was called with when it has returned.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<u64> {
        match &event.kind {
            Kind::Nbl(NblEvent::Given { nbls, .. } | NblEvent::Back { nbls, .. }) => {
                self.next.insert(event.thread, nbls.clone());
            }
            Kind::Enter(call) if is_datapath(call.callback) => {
                let nbls = self.next.remove(&event.thread).unwrap_or_default();
                self.running.entry(event.thread).or_default().push(nbls);
            }
            Kind::Leave { call, .. } if is_datapath(call.callback) => {
                let running = self.running.get_mut(&event.thread);
                return running.and_then(Vec::pop).unwrap_or_default();
            }
            _ => {}
        }
        Vec::new()
    }

    /// Whether a handler that runs was called with the structure.
    pub(super) fn has(&self, nbl: u64) -> bool {
        self.running
            .values()
            .flatten()
            .flatten()
            .any(|known| *known == nbl)
    }
}

fn is_datapath(callback: Callback) -> bool {
    matches!(
        callback,
        Callback::FilterSendNetBufferLists
            | Callback::FilterSendNetBufferListsComplete
            | Callback::FilterReceiveNetBufferLists
            | Callback::FilterReturnNetBufferLists
    )
}
