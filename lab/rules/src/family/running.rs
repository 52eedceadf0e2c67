//! Which of the driver's routines run, per thread. Monitors share it.

use crate::event::{Call, Callback, Event, Kind};

/// The driver's routines that run.
#[derive(Debug, Default)]
pub(crate) struct Running {
    /// Thread and routine, the innermost of a thread last.
    calls: Vec<(u32, Call)>,
}

impl Running {
    /// Takes an event. A routine that leaves is still there before this is told.
    pub(crate) fn observe(&mut self, event: &Event) {
        match event.kind {
            Kind::Enter(call) => self.calls.push((event.thread, call)),
            Kind::Leave { .. } => {
                let last = self
                    .calls
                    .iter()
                    .rposition(|(thread, _)| *thread == event.thread);
                if let Some(index) = last {
                    self.calls.remove(index);
                }
            }
            _ => {}
        }
    }

    /// The routine that a thread is in.
    pub(crate) fn innermost(&self, thread: u32) -> Option<Call> {
        let of_thread = |(running, _): &&(u32, Call)| *running == thread;
        self.calls.iter().rfind(of_thread).map(|(_, call)| *call)
    }

    /// The innermost routine of a thread that `is` accepts.
    pub(crate) fn inside(&self, thread: u32, is: impl Fn(Callback) -> bool) -> Option<Call> {
        self.calls
            .iter()
            .rfind(|(running, call)| *running == thread && is(call.callback))
            .map(|(_, call)| *call)
    }

    /// Whether any routine runs on another thread.
    pub(crate) fn is_elsewhere(&self, thread: u32) -> bool {
        self.calls.iter().any(|(running, _)| *running != thread)
    }

    /// Whether the routine runs on any thread.
    pub(crate) fn is_anywhere(&self, callback: Callback) -> bool {
        self.calls.iter().any(|(_, call)| call.callback == callback)
    }
}
