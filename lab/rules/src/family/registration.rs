//! What a driver registers: characteristics and pairs of handlers.

use crate::event::{Event, HandlerSet, Kind, ModuleEvent, NblCall, NblEvent, Registration};
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// Checks every registration, and the calls that need a handler.
#[derive(Debug, Default)]
pub(crate) struct RegistrationMonitor;

impl Monitor for RegistrationMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::REG_IN_DRIVER_ENTRY,
            &rule::REG_VERSION_NOT_ABOVE_RUNTIME,
            &rule::REG_CHARACTERISTICS_HEADER,
            &rule::REG_MANDATORY_HANDLERS,
            &rule::REG_PAIR_OID,
            &rule::REG_PAIR_DIRECT_OID,
            &rule::REG_PAIR_RECEIVE_NEEDS_STATUS,
            &rule::REG_PAIR_SEND_CALL_NEEDS_COMPLETE,
            &rule::REG_PAIR_INDICATE_NEEDS_RETURN,
            &rule::REG_UNIQUE_NAME_IS_NETCFG_GUID,
            &rule::SETMODULE_HANDLE_KIND,
            &rule::SETMODULE_PAIRING_AFTER_CHANGE,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Registration(registration) => check_registration(registration),
            Kind::Module(ModuleEvent::HandlersChanged {
                handlers,
                in_set_module_options,
                ..
            }) => {
                if *in_set_module_options {
                    let unpaired = check_pairs(handlers)?;
                    let happened = format!("after the change, {}", unpaired.happened);
                    return Some(Finding::new(
                        &rule::SETMODULE_PAIRING_AFTER_CHANGE,
                        happened,
                    ));
                }
                let happened = "NdisSetOptionalHandlers was given a handle that is not the one of the callback it was called from";
                Some(Finding::new(&rule::SETMODULE_HANDLE_KIND, happened))
            }
            Kind::Nbl(NblEvent::Handed {
                call,
                low_resources,
                has_return_handler: false,
                ..
            }) => {
                let (rule, handler) = match call {
                    NblCall::Send => (
                        &rule::REG_PAIR_SEND_CALL_NEEDS_COMPLETE,
                        "FilterSendNetBufferListsComplete",
                    ),
                    NblCall::Indicate if !low_resources => (
                        &rule::REG_PAIR_INDICATE_NEEDS_RETURN,
                        "FilterReturnNetBufferLists",
                    ),
                    _ => return None,
                };
                Some(Finding::new(
                    rule,
                    format!("{} was called without a {handler} handler", call.name()),
                ))
            }
            _ => None,
        }
    }
}

fn check_registration(registration: &Registration) -> Option<Finding> {
    let Registration {
        header,
        handlers,
        major,
        minor,
        ..
    } = registration;
    let has_valid_header = header.is_valid();
    if !has_valid_header || *major != 6 {
        let happened = format!(
            "{} for NDIS {major}.{minor}: type {:#x}, revision {}, size {}; expected {:#x}, {}, {}",
            header.structure,
            header.object_type,
            header.revision,
            header.size,
            header.expected_type,
            header.expected_revision,
            header.expected_size
        );
        let finding = Finding::new(&rule::REG_CHARACTERISTICS_HEADER, happened);
        return Some(finding.with(BugCheck::new(0x7C, &[0x21, 0, header.address])));
    }
    if !(handlers.attach && handlers.detach && handlers.restart && handlers.pause) {
        let happened = "FilterAttach, FilterDetach, FilterRestart or FilterPause is NULL";
        return Some(Finding::new(&rule::REG_MANDATORY_HANDLERS, happened));
    }
    if !is_braced_guid(&registration.unique_name) {
        let happened = format!(
            "UniqueName is \"{}\", no GUID in braces",
            registration.unique_name.escape_debug()
        );
        return Some(Finding::new(
            &rule::REG_UNIQUE_NAME_IS_NETCFG_GUID,
            happened,
        ));
    }
    if *minor > registration.offered_minor {
        let happened = format!(
            "registration for NDIS 6.{minor} on a system that has 6.{}",
            registration.offered_minor
        );
        return Some(Finding::new(&rule::REG_VERSION_NOT_ABOVE_RUNTIME, happened));
    }
    if !registration.in_driver_entry {
        let happened = "NdisFRegisterFilterDriver was called outside DriverEntry";
        return Some(Finding::new(&rule::REG_IN_DRIVER_ENTRY, happened));
    }
    check_pairs(handlers)
}

fn check_pairs(handlers: &HandlerSet) -> Option<Finding> {
    let (rule, happened) = if handlers.oid_request != handlers.oid_request_complete {
        (
            &rule::REG_PAIR_OID,
            "only one of FilterOidRequest and FilterOidRequestComplete is supplied",
        )
    } else if handlers.direct_oid_request != handlers.direct_oid_request_complete {
        (
            &rule::REG_PAIR_DIRECT_OID,
            "only one of FilterDirectOidRequest and FilterDirectOidRequestComplete is supplied",
        )
    } else if (handlers.receive || handlers.return_) && !handlers.status {
        let happened = "FilterReceiveNetBufferLists or FilterReturnNetBufferLists is supplied without FilterStatus";
        (&rule::REG_PAIR_RECEIVE_NEEDS_STATUS, happened)
    } else {
        return None;
    };
    Some(Finding::new(rule, happened))
}

fn is_braced_guid(name: &str) -> bool {
    let Some(digits) = name
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    else {
        return false;
    };
    let groups: Vec<&str> = digits.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::RegistrationMonitor;
    use crate::event::{
        Chain, Event, HandlerSet, Header, Kind, ModuleEvent, NblCall, NblEvent, Registration,
    };
    use crate::table::{at, broken};

    fn good() -> Registration {
        Registration {
            major: 6,
            minor: 84,
            offered_minor: 89,
            header: Header {
                structure: "NDIS_FILTER_DRIVER_CHARACTERISTICS",
                address: 0x1000,
                object_type: 0x8B,
                revision: 3,
                size: 256,
                expected_type: 0x8B,
                expected_revision: 3,
                expected_size: 256,
            },
            handlers: HandlerSet {
                attach: true,
                detach: true,
                restart: true,
                pause: true,
                ..HandlerSet::default()
            },
            in_driver_entry: true,
            unique_name: "{5cbf81bd-5055-47cd-9055-a76b2b4e3697}".into(),
            accepted: true,
        }
    }

    fn with(change: impl FnOnce(&mut Registration)) -> Event {
        let mut registration = good();
        change(&mut registration);
        at(Kind::Registration(registration))
    }

    #[test]
    fn characteristics_are_checked() {
        for (event, expected) in [
            (with(|_| ()), None),
            (
                with(|r| r.header.revision = 2),
                Some("reg-characteristics-header"),
            ),
            (
                with(|r| r.header.size = 8),
                Some("reg-characteristics-header"),
            ),
            (with(|r| r.major = 5), Some("reg-characteristics-header")),
            (
                with(|r| r.offered_minor = 83),
                Some("reg-version-not-above-runtime"),
            ),
            (
                with(|r| r.handlers.pause = false),
                Some("reg-mandatory-handlers"),
            ),
            (
                with(|r| r.unique_name = "deferlwf".into()),
                Some("reg-unique-name-is-netcfg-guid"),
            ),
            (
                with(|r| r.in_driver_entry = false),
                Some("reg-in-driver-entry"),
            ),
            (
                with(|r| r.handlers.oid_request = true),
                Some("reg-pair-oid"),
            ),
            (
                with(|r| r.handlers.direct_oid_request_complete = true),
                Some("reg-pair-direct-oid"),
            ),
            (
                with(|r| r.handlers.receive = true),
                Some("reg-pair-receive-needs-status"),
            ),
            (
                with(|r| (r.handlers.receive, r.handlers.status) = (true, true)),
                None,
            ),
        ] {
            assert_eq!(
                broken::<RegistrationMonitor>([event]),
                Vec::from_iter(expected)
            );
        }
    }

    #[test]
    fn calls_need_their_handlers() {
        let handed = |call, low_resources, has_return_handler| {
            at(Kind::Nbl(NblEvent::Handed {
                adapter: 0,
                call,
                nbls: vec![],
                chain: Chain::Empty,
                count: None,
                dispatch_flag: false,
                low_resources,
                has_return_handler,
            }))
        };
        for (event, expected) in [
            (handed(NblCall::Send, false, true), None),
            (
                handed(NblCall::Send, false, false),
                Some("reg-pair-send-call-needs-complete"),
            ),
            (
                handed(NblCall::Indicate, false, false),
                Some("reg-pair-indicate-needs-return"),
            ),
            (handed(NblCall::Indicate, true, false), None),
            (handed(NblCall::Return, false, false), None),
        ] {
            assert_eq!(
                broken::<RegistrationMonitor>([event]),
                Vec::from_iter(expected)
            );
        }
    }

    #[test]
    fn optional_handlers_change_at_their_place() {
        let changed = |in_set_module_options, handlers| {
            at(Kind::Module(ModuleEvent::HandlersChanged {
                adapter: 0,
                handlers,
                in_set_module_options,
            }))
        };
        let unpaired = HandlerSet {
            return_: true,
            ..HandlerSet::default()
        };
        for (event, expected) in [
            (changed(true, HandlerSet::default()), None),
            (
                changed(false, HandlerSet::default()),
                Some("setmodule-handle-kind"),
            ),
            (
                changed(true, unpaired),
                Some("setmodule-pairing-after-change"),
            ),
        ] {
            assert_eq!(
                broken::<RegistrationMonitor>([event]),
                Vec::from_iter(expected)
            );
        }
    }
}
