//! Dispatch-level flags: they describe the call that they are given to.

use crate::event::{DISPATCH_LEVEL, Event, Kind, NblEvent};
use crate::family::irql::level_name;
use crate::{Finding, Monitor, Rule, catalogue as rule};

/// Compares every dispatch-level flag with the level of the call.
#[derive(Debug, Default)]
pub(crate) struct DispatchFlagMonitor;

impl Monitor for DispatchFlagMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[&rule::FLAGS_DISPATCH_TRUTHFUL]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
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
                Some(Finding::new(&rule::FLAGS_DISPATCH_TRUTHFUL, happened))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DispatchFlagMonitor;
    use crate::event::{Chain, Kind, NblCall, NblEvent};
    use crate::table::{broken, level};

    #[test]
    fn the_flag_is_only_set_at_dispatch_level() {
        for (irql, dispatch_flag, expected) in [
            (0, false, None),
            (2, false, None),
            (2, true, None),
            (0, true, Some("flags-dispatch-truthful")),
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
                broken::<DispatchFlagMonitor>([level(irql, Kind::Nbl(handed))]),
                Vec::from_iter(expected)
            );
        }
    }
}
