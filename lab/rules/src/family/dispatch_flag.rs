//! Dispatch-level flags: they describe the call that they are given to.

use crate::event::{Callback, DISPATCH_LEVEL, Event, Kind, NblEvent};
use crate::family::irql::level_name;
use crate::family::running::Running;
use crate::{Finding, Monitor, Rule, catalogue as rule};

/// Compares every dispatch-level flag with the level of the call.
#[derive(Debug, Default)]
pub(crate) struct DispatchFlagMonitor {
    running: Running,
}

impl Monitor for DispatchFlagMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::FLAGS_DISPATCH_TRUTHFUL,
            &rule::WI_DISPATCH_FLAGS_CLEAR,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        self.running.observe(event);
        match &event.kind {
            Kind::Nbl(NblEvent::Handed {
                call,
                dispatch_flag: true,
                ..
            }) if event.irql < DISPATCH_LEVEL => {
                let happened = format!(
                    "{} was called at {} with its dispatch-level flag set",
                    call.name(),
                    level_name(event.irql)
                );
                let in_work_item = self.running.inside(event.thread, Callback::is_work_item);
                let rule = match in_work_item {
                    Some(_) => &rule::WI_DISPATCH_FLAGS_CLEAR,
                    None => &rule::FLAGS_DISPATCH_TRUTHFUL,
                };
                Some(Finding::new(rule, happened))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DispatchFlagMonitor;
    use crate::event::{Callback, Chain, Kind, NblCall, NblEvent};
    use crate::table::{broken, enter, level};

    #[test]
    fn the_flag_is_only_set_at_dispatch_level() {
        let (send, item) = (
            Callback::FilterSendNetBufferLists,
            Callback::NdisIoWorkItemRoutine,
        );
        for (callback, irql, dispatch_flag, expected) in [
            (send, 0, false, None),
            (send, 2, false, None),
            (send, 2, true, None),
            (send, 0, true, Some("flags-dispatch-truthful")),
            (item, 0, false, None),
            (item, 0, true, Some("wi-dispatch-flags-clear")),
        ] {
            let handed = NblEvent::Handed {
                adapter: 0,
                call: NblCall::Send,
                nbls: vec![],
                chain: Chain::WellFormed,
                count: None,
                dispatch_flag,
                low_resources: false,
                has_return_handler: true,
            };
            assert_eq!(
                broken::<DispatchFlagMonitor>([
                    enter(callback, None),
                    level(irql, Kind::Nbl(handed))
                ]),
                Vec::from_iter(expected)
            );
        }
    }
}
