//! What a breach leads to where Windows defines no stop code for it.

use crate::{Rule, Severity};

/// What follows, by rule, where its severity alone does not tell.
const CONSEQUENCES: &[(&[&str], &str)] = &[
    (
        &[
            "config-passive",
            "ex-timer-delete",
            "irql-filter-driver",
            "irql-misc",
            "irql-netbuffer",
            "oid-handler-no-passive-assumption",
            "oid-request-irql",
            "reg-passive",
            "restart-complete-passive",
            "restart-filter-irql",
            "sdv-irql-interfaces-function",
            "sdv-irql-miniport-driver-function",
            "status-irql",
            "sync-irql",
            "timer-callback-dispatch",
            "timer-irql",
            "wi-irql",
        ],
        "the function may wait, take a lock that is held, or touch memory that is paged out: a stop 0x0A or 0xD1 or a \
         deadlock, on the day that it does",
    ),
    (
        &[
            "attach-must-set-attributes",
            "attach-no-oid",
            "attach-no-receive",
            "attach-no-send",
            "attach-no-status",
            "oid-request-state",
            "status-lifetime",
        ],
        "the module is not in the stack: NDIS follows pointers that it has not set yet, which is a stop 0x7E or 0xD1 in \
         NDIS",
    ),
    (
        &["detach-closed-paths", "status-after-mindicate"],
        "the module is leaving the stack: NDIS follows pointers to what is gone, which is a stop 0x7E or 0xD1 in NDIS",
    ),
    (
        &["devpnp-forward-before-return", "netpnp-forward-context"],
        "NDIS passes on an event that is over: drivers further down read a structure that is gone",
    ),
    (
        &["unload-wfp-gone"],
        "the filter engine keeps what the driver has given it: a callout is code that is no longer there, which is a stop \
         0xCE with the next packet",
    ),
    (
        &["dev-handle"],
        "NDIS takes the handle for another structure, and what it reads there for the driver",
    ),
    (
        &[
            "pause-no-new-receive",
            "pause-no-new-send",
            "pause-reject-sends",
            "restart-failure-keeps-paused",
            "restart-no-own-receive",
            "restart-no-own-send",
            "wi-no-traffic-after-pause",
        ],
        "drivers above and below are paused as well and may have freed what handles packets: a stop in one of them, \
         without this driver on the stack",
    ),
    (
        &["oid-request-nonpaged"],
        "NDIS and the drivers below touch the request at DISPATCH_LEVEL: a stop 0x0A or 0xD1 when its page is out",
    ),
    (
        &[
            "reg-mandatory-handlers",
            "reg-pair-indicate-needs-return",
            "reg-pair-send-call-needs-complete",
        ],
        "NDIS refuses the registration, or calls through a pointer that is NULL: a stop 0x7E or 0xD1",
    ),
    (
        &["reg-no-pending-driver-entry"],
        "the I/O manager takes the driver for loaded, and nothing ever ends what is said to be pending",
    ),
    (
        &["reg-unique-name-is-netcfg-guid"],
        "NDIS finds no installed component of that name, and attaches the driver to no adapter",
    ),
    (
        &["restart-complete-once", "restart-return-values"],
        "NDIS loses count of the restart: the stack above begins to send too early, or never",
    ),
    (
        &["nbl-empty-list-not-passed"],
        "NDIS or the driver on the other side follows the pointer, which is NULL: a stop 0xD1 or 0x7E",
    ),
    (
        &["lab-stack-depth"],
        "the drivers that it calls share what is left: a stop 0x7F (double fault) in one of them",
    ),
    (
        &["sleep-limits"],
        "the thread sleeps for another time than it asked for",
    ),
    (
        &["unload-deregister", "unload-deregister-once"],
        "NDIS keeps pointers into an image that is gone, or frees the driver's handle while it is in use: a stop 0x7E, \
         0xCE or 0xD1 later",
    ),
    (
        &["irp-complete-once"],
        "whoever sent the request waits for ever, and its process cannot end",
    ),
    (
        &["lab-hold-limit"],
        "packets are late by as much as waits before them, and memory that belongs to others is kept from them",
    ),
    (
        &["lab-poison-in-frame", "lab-poison-in-answer"],
        "whoever receives the bytes reads what the kernel's memory held before",
    ),
];

impl Rule {
    /// What a breach leads to where Windows defines no stop code for it, in one clause; empty where that is open.
    #[must_use]
    pub fn consequence(&self) -> &'static str {
        let known = CONSEQUENCES.iter().find(|(ids, _)| ids.contains(&self.id));
        match (known, self.severity) {
            (Some((_, consequence)), _) => consequence,
            (None, Severity::Corruption) => {
                "what it damages shows later, elsewhere, or as wrong packets; nothing stops the system here"
            }
            (None, Severity::Hang) => "what waits for it waits for ever",
            (None, Severity::Leak) => "what is left is lost until the system starts again",
            (None, Severity::Style) => "nothing breaks at once",
            (None, Severity::BugCheck) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::CONSEQUENCES;
    use crate::catalogue;

    #[test]
    fn consequences_are_those_of_rules() {
        let known: BTreeSet<&str> = catalogue().map(|rule| rule.id).collect();
        let mut seen = BTreeSet::new();
        for id in CONSEQUENCES.iter().flat_map(|(ids, _)| *ids) {
            assert!(known.contains(id), "{id}");
            assert!(seen.insert(id), "{id} twice");
        }
    }
}
