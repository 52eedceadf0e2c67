//! The life of driver and modules: attach, restart, pause, detach, status.

use std::collections::BTreeSet;

use crate::event::{
    Call, Callback, Event, HandlerSet, Kind, ModuleEvent, NblCall, NblEvent, OidEvent, Overdue,
    Registration,
};
use crate::family::state::{ModuleState, PENDING, SUCCESS, States};
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// Follows the driver and its modules through their lives.
#[derive(Debug, Default)]
pub(crate) struct LifecycleMonitor {
    states: States,
    /// Adapters whose running `FilterAttach` has called `NdisFSetAttributes`.
    attributes_set: Vec<u32>,
    /// Adapters whose running pause or restart was completed by a call.
    completed: Vec<u32>,
    /// Who has asked through a module: adapter, handle and identifier of the request.
    requesters: BTreeSet<(u32, u64, u64)>,
    /// What is registered.
    handlers: HandlerSet,
}

impl Monitor for LifecycleMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::ATTACH_MUST_SET_ATTRIBUTES,
            &rule::ATTACH_ATTRIBUTES_VALID,
            &rule::ATTACH_RETURN_CODE,
            &rule::ATTACH_NO_SEND,
            &rule::ATTACH_NO_RECEIVE,
            &rule::ATTACH_NO_STATUS,
            &rule::PAUSE_RETURN_VALUES,
            &rule::SDV_MINIPORTPAUSE_RETURN,
            &rule::STATUS_DESTINATION_PAIR,
            &rule::RESTART_ATTRIBUTES_NULL,
            &rule::RESTART_ATTRIBUTES_UNKNOWN_OID,
            &rule::RESTART_ATTRIBUTES_ON_FAILURE,
            &rule::RESTART_ATTRIBUTES_MEMORY,
            &rule::RESTART_ATTRIBUTES_NEED_OID,
            &rule::STATUS_AFTER_MINDICATE,
            &rule::PAUSE_COMPLETE_ONCE,
            &rule::PAUSE_WITHIN_10S,
            &rule::RESTART_COMPLETE_ONCE,
            &rule::RESTART_RETURN_VALUES,
            &rule::DETACH_TIME,
            &rule::DETACH_NO_USE_AFTER,
            &rule::REG_NO_PENDING_DRIVER_ENTRY,
            &rule::STATUS_HEADER,
            &rule::STATUS_SOURCEHANDLE,
            &rule::STATUS_LIFETIME,
            &rule::UNLOAD_NO_USE_AFTER_DEREGISTER,
            &rule::UNLOAD_DEREGISTER_ONCE,
            &rule::DPC_TIME,
            &rule::WI_ROUTINE_SHORT,
            &rule::LAB_NO_HANG,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        if let Kind::Registration(Registration { handlers, .. })
        | Kind::Module(ModuleEvent::HandlersChanged { handlers, .. }) = &event.kind
        {
            self.handlers = *handlers;
        }
        let finding = match &event.kind {
            Kind::Oid(OidEvent::Given {
                adapter, request, ..
            }) => {
                self.requesters
                    .insert((*adapter, request.handle, request.id));
                None
            }
            Kind::Enter(call) => {
                if let Some(adapter) = call.adapter
                    && matches!(
                        call.callback,
                        Callback::FilterAttach | Callback::FilterPause | Callback::FilterRestart
                    )
                {
                    self.attributes_set.retain(|set| *set != adapter);
                    self.completed.retain(|completed| *completed != adapter);
                }
                None
            }
            Kind::Leave { call, status } => self.check_leave(*call, *status),
            Kind::Module(module) => self.check_module(module),
            Kind::Nbl(NblEvent::Handed { adapter, call, .. })
                if self.states.of(*adapter) == ModuleState::Attaching =>
            {
                let rule = match call {
                    NblCall::Indicate | NblCall::Return => &rule::ATTACH_NO_RECEIVE,
                    NblCall::Send | NblCall::SendComplete => &rule::ATTACH_NO_SEND,
                };
                Some(Finding::new(
                    rule,
                    format!("{} was called from FilterAttach", call.name()),
                ))
            }
            Kind::Overdue(overdue) => check_overdue(overdue),
            _ => None,
        };
        self.states.observe(event);
        finding
    }
}

impl LifecycleMonitor {
    fn check_leave(&mut self, call: Call, status: Option<u32>) -> Option<Finding> {
        let status = status?;
        let returned = || format!("{} returned {status:#x}", call.callback.name());
        match call.callback {
            Callback::DriverEntry if status == PENDING => {
                Some(Finding::new(&rule::REG_NO_PENDING_DRIVER_ENTRY, returned()))
            }
            Callback::FilterAttach if status == PENDING => {
                Some(Finding::new(&rule::ATTACH_RETURN_CODE, returned()))
            }
            Callback::FilterAttach
                if status == SUCCESS && !self.attributes_set.contains(&call.adapter?) =>
            {
                let happened = "FilterAttach returned success without a call of NdisFSetAttributes";
                Some(Finding::new(&rule::ATTACH_MUST_SET_ATTRIBUTES, happened))
            }
            Callback::FilterPause if status != SUCCESS && status != PENDING => Some(
                Finding::new(
                    if status >= 0xC000_0000 {
                        &rule::PAUSE_RETURN_VALUES
                    } else {
                        &rule::SDV_MINIPORTPAUSE_RETURN
                    },
                    returned(),
                )
                .with(BugCheck::new(0xC4, &[0x0009_2010])),
            ),
            Callback::FilterPause
                if status == SUCCESS && self.completed.contains(&call.adapter?) =>
            {
                let happened =
                    "FilterPause returned success after NdisFPauseComplete was called for it";
                Some(
                    Finding::new(&rule::PAUSE_COMPLETE_ONCE, happened)
                        .with(BugCheck::new(0xC4, &[0x0009_2010])),
                )
            }
            Callback::FilterRestart
                if status != PENDING && self.completed.contains(&call.adapter?) =>
            {
                let happened = "FilterRestart returned a final status after NdisFRestartComplete was called for it";
                Some(Finding::new(&rule::RESTART_COMPLETE_ONCE, happened))
            }
            // A success or informational code that is neither of the two documented ones.
            Callback::FilterRestart
                if status != SUCCESS && status != PENDING && status < 0x8000_0000 =>
            {
                Some(Finding::new(&rule::RESTART_RETURN_VALUES, returned()))
            }
            _ => None,
        }
    }

    fn check_module(&mut self, module: &ModuleEvent) -> Option<Finding> {
        match *module {
            ModuleEvent::AttributesSet {
                adapter,
                header,
                flags,
                ..
            } => {
                self.attributes_set.push(adapter);
                (!header.is_valid() || flags != 0).then(|| {
                    let happened = format!(
                        "NDIS_FILTER_ATTRIBUTES: type {:#x}, revision {}, size {}, flags {flags:#x}",
                        header.object_type, header.revision, header.size
                    );
                    let bug_check = BugCheck::new(0x7C, &[0x21, 0, header.address]);
                    Finding::new(&rule::ATTACH_ATTRIBUTES_VALID, happened).with(bug_check)
                })
            }
            ModuleEvent::PauseCompleted { adapter } => {
                if self.states.of(adapter) == ModuleState::Pausing
                    && !self.completed.contains(&adapter)
                {
                    self.completed.push(adapter);
                    return None;
                }
                let happened = "NdisFPauseComplete was called with no pause to complete";
                Some(
                    Finding::new(&rule::PAUSE_COMPLETE_ONCE, happened)
                        .with(BugCheck::new(0xC4, &[0x0009_2010])),
                )
            }
            ModuleEvent::RestartCompleted { adapter, status } => {
                let is_due = self.states.of(adapter) == ModuleState::Restarting
                    && !self.completed.contains(&adapter);
                if is_due && status != PENDING {
                    self.completed.push(adapter);
                    return None;
                }
                let happened = format!(
                    "NdisFRestartComplete({status:#x}) was called with no restart to complete"
                );
                Some(Finding::new(&rule::RESTART_COMPLETE_ONCE, happened))
            }
            ModuleEvent::StatusIndicated {
                adapter,
                header,
                code,
                passed_on,
                source_is_module,
                destination,
                request_id,
            } => self
                .check_status(
                    adapter,
                    header.is_valid(),
                    code,
                    passed_on,
                    source_is_module,
                )
                .or_else(|| {
                    let requester = (adapter, destination, request_id);
                    let why = match (destination, request_id) {
                        (0, 0) => return None,
                        (0, _) | (_, 0) => "has only one of DestinationHandle and RequestId",
                        _ if passed_on || self.requesters.contains(&requester) => return None,
                        _ => {
                            "has DestinationHandle and RequestId of no request that the module was given"
                        }
                    };
                    let happened = format!("status {code:#x} {why}");
                    Some(Finding::new(&rule::STATUS_DESTINATION_PAIR, happened))
                }),
            ModuleEvent::Deregistered { known: false, .. } => {
                let happened =
                    "NdisFDeregisterFilterDriver was called with a handle that is not registered";
                Some(Finding::new(&rule::UNLOAD_DEREGISTER_ONCE, happened))
            }
            ModuleEvent::BadHandle {
                function,
                handle,
                was_alive,
                is_module,
            } => {
                let (rule, what) = if was_alive && is_module && function == "NdisFIndicateStatus" {
                    (&rule::STATUS_AFTER_MINDICATE, "filter module")
                } else if is_module {
                    (&rule::DETACH_NO_USE_AFTER, "filter module")
                } else {
                    (&rule::UNLOAD_NO_USE_AFTER_DEREGISTER, "filter driver")
                };
                let how = if was_alive {
                    "is no longer alive"
                } else {
                    "never was"
                };
                Some(Finding::new(
                    rule,
                    format!("{function} was given {handle:#x}, a {what} handle that {how}"),
                ))
            }
            ModuleEvent::RestartReturned {
                status,
                was_null,
                has_changed,
                unknown_changed,
                is_memory_wrong,
                ..
            } => check_attributes(status, was_null, has_changed, unknown_changed).or_else(|| {
                let (rule, happened) = if is_memory_wrong {
                    (
                        &rule::RESTART_ATTRIBUTES_MEMORY,
                        "FilterRestart added an attribute that is no pool block of its own, or took one out and did not free it",
                    )
                } else if has_changed && !self.handlers.oid_request {
                    (
                        &rule::RESTART_ATTRIBUTES_NEED_OID,
                        "FilterRestart changed the attributes, and there is no FilterOidRequest to answer for them",
                    )
                } else {
                    return None;
                };
                Some(Finding::new(rule, happened))
            }),
            ModuleEvent::Loaded { .. }
            | ModuleEvent::HandlersChanged { .. }
            | ModuleEvent::Deregistered { .. } => None,
        }
    }

    fn check_status(
        &self,
        adapter: u32,
        has_valid_header: bool,
        code: u32,
        passed_on: bool,
        source_is_module: bool,
    ) -> Option<Finding> {
        match self.states.of(adapter) {
            ModuleState::Attaching if self.attributes_set.contains(&adapter) => {
                let happened =
                    format!("status {code:#x} was indicated before FilterAttach returned");
                return Some(Finding::new(&rule::ATTACH_NO_STATUS, happened).contradicted());
            }
            ModuleState::Attaching => {
                let happened = format!("status {code:#x} was indicated before NdisFSetAttributes");
                return Some(Finding::new(&rule::STATUS_LIFETIME, happened));
            }
            ModuleState::Detached => {
                let happened = format!("status {code:#x} was indicated for a detached module");
                return Some(Finding::new(&rule::STATUS_LIFETIME, happened));
            }
            _ => {}
        }
        if !has_valid_header {
            let happened = format!("status {code:#x} was indicated with a malformed header");
            let bug_check = BugCheck::new(0x7C, &[0x20, code.into()]);
            return Some(Finding::new(&rule::STATUS_HEADER, happened).with(bug_check));
        }
        (!passed_on && !source_is_module).then(|| {
            let happened =
                format!("status {code:#x} was originated with the SourceHandle of someone else");
            Finding::new(&rule::STATUS_SOURCEHANDLE, happened)
        })
    }
}

fn check_overdue(overdue: &Overdue) -> Option<Finding> {
    let seconds = |ns: u64| ns / 1_000_000_000;
    match *overdue {
        Overdue::Pause { waited_ns, .. } => {
            let happened = format!("the pause is not complete after {} s", seconds(waited_ns));
            Some(
                Finding::new(&rule::PAUSE_WITHIN_10S, happened)
                    .with(BugCheck::new(0xC4, &[0x0009_2010])),
            )
        }
        Overdue::Restart { waited_ns, .. } => {
            let happened = format!("the restart is not complete after {} s", seconds(waited_ns));
            Some(Finding::new(&rule::RESTART_COMPLETE_ONCE, happened))
        }
        Overdue::Callback {
            callback: Callback::FilterPause,
            waited_ns,
            ..
        } => {
            let happened = format!(
                "FilterPause has not returned after {} s",
                seconds(waited_ns)
            );
            Some(
                Finding::new(&rule::PAUSE_WITHIN_10S, happened)
                    .with(BugCheck::new(0x7C, &[0x25, 0x11])),
            )
        }
        Overdue::Callback {
            callback: Callback::FilterDetach,
            waited_ns,
            ..
        } => {
            let happened = format!(
                "FilterDetach has not returned after {} s",
                seconds(waited_ns)
            );
            Some(
                Finding::new(&rule::DETACH_TIME, happened).with(BugCheck::new(0x7C, &[0x25, 0x14])),
            )
        }
        Overdue::Callback {
            callback,
            waited_ns,
            ..
        } => {
            let happened = format!(
                "{} has not returned after {} s",
                callback.name(),
                seconds(waited_ns)
            );
            Some(Finding::new(&rule::LAB_NO_HANG, happened))
        }
        Overdue::Deadlock => Some(Finding::new(
            &rule::LAB_NO_HANG,
            "every thread waits for what cannot happen any more",
        )),
        Overdue::EndlessLoop => Some(Finding::new(
            &rule::LAB_NO_HANG,
            "driver code runs on and on and calls nothing",
        )),
        Overdue::EndlessCalls => Some(Finding::new(
            &rule::LAB_NO_HANG,
            "driver code calls the kernel or spins on and on, and never waits",
        )),
        Overdue::Run => Some(Finding::new(
            &rule::LAB_NO_HANG,
            "the run does not come to an end",
        )),
        Overdue::Workers => Some(Finding::new(
            &rule::WI_ROUTINE_SHORT,
            "a work item still runs long after the last packet",
        )),
        Overdue::Dispatch => {
            let happened =
                "a processor stayed at DISPATCH_LEVEL for longer than the DPC watchdog allows";
            Some(Finding::new(&rule::DPC_TIME, happened).with(BugCheck::new(0x133, &[1])))
        }
        Overdue::Sends { .. } | Overdue::Receives { .. } => None,
    }
}

/// What became of the restart attributes.
fn check_attributes(
    status: u32,
    was_null: bool,
    has_changed: bool,
    unknown_changed: bool,
) -> Option<Finding> {
    let (rule, happened) = if was_null && has_changed {
        (
            &rule::RESTART_ATTRIBUTES_NULL,
            "FilterRestart added attributes where RestartAttributes is NULL",
        )
    } else if unknown_changed {
        (
            &rule::RESTART_ATTRIBUTES_UNKNOWN_OID,
            "FilterRestart changed an attribute whose OID it cannot know",
        )
    } else if has_changed && status != SUCCESS && status != PENDING {
        (
            &rule::RESTART_ATTRIBUTES_ON_FAILURE,
            "FilterRestart failed and had changed the attributes",
        )
    } else {
        return None;
    };
    Some(Finding::new(rule, happened))
}

#[cfg(test)]
mod tests;
