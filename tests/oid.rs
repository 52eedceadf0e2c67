//! OID requests of the three kinds through `examples/everything`, which answers some, lets some wait and passes on the
//! rest, and asks on its own account: each is settled once, with everything that those below have said.
//!
//! That a clone's results are copied back, that no clone is left, that a cancellation reaches what is below, and all else
//! that NDIS documents is for the lab's monitors; every run here is clean of their findings.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use lab_cli::summary::{Request, Summary};
use tests::{Lab, capture, driver, script};

/// `OID_GEN_MAXIMUM_FRAME_SIZE`, which the driver answers itself on the default port.
const MAXIMUM_FRAME_SIZE: u32 = 0x0001_0106;
/// `OID_GEN_STATISTICS`, which waits for a work item on the default port.
const STATISTICS: u32 = 0x0002_0106;
/// `OID_GEN_CURRENT_PACKET_FILTER`, which the driver asks for.
const PACKET_FILTER: u32 = 0x0001_010E;
/// `OID_TCP_TASK_IPSEC_OFFLOAD_V2_UPDATE_SA`, which waits for a work item, and which the driver asks for.
const UPDATE_SA: u32 = 0xFC03_0204;
/// `OID_GEN_RSS_SET_INDIRECTION_TABLE_ENTRIES`, which the driver asks for.
const RSS_ENTRIES: u32 = 0x0001_02C0;
/// `OID_PNP_SET_POWER`, which may not fail.
const SET_POWER: u32 = 0xFD01_0101;
const PASSIVE_LEVEL: u8 = 0;
const DISPATCH_LEVEL: u8 = 2;
const SUCCESS: u32 = 0;
/// `NDIS_STATUS_INDICATION_REQUIRED`.
const INDICATION_REQUIRED: u32 = 0x4023_0001;
/// `NDIS_STATUS_NOT_SUPPORTED`.
const NOT_SUPPORTED: u32 = 0xC000_00BB;
/// `NDIS_STATUS_REQUEST_ABORTED`.
const ABORTED: u32 = 0xC001_000C;
/// `NDIS_STATUS_RESOURCES`.
const RESOURCES: u32 = 0xC000_009A;
/// `NDIS_STATUS_INVALID_PARAMETER`.
const INVALID_PARAMETER: u32 = 0xC000_000D;
/// `NDIS_STATUS_INVALID_LENGTH`.
const INVALID_LENGTH: u32 = 0xC001_0014;

/// Clean runs with different seeds, and all requests of theirs: enough of them to have what each test looks at.
static RUNS: LazyLock<Vec<Summary>> = LazyLock::new(|| runs(240));
static REQUESTS: LazyLock<Vec<Request>> =
    LazyLock::new(|| RUNS.iter().flat_map(|run| run.requests.clone()).collect());

fn runs(seeds: u64) -> Vec<Summary> {
    let run = |seed| {
        Lab::run(&driver("everything"))
            .pcap(&capture("dns"))
            .pcap(&capture("ping"))
            .seed(seed)
            .clean()
    };
    (1..=seeds).map(run).collect()
}

/// Those that fit, of which there has to be one: else the test shows nothing.
fn some(requests: &[Request], fits: impl Fn(&Request) -> bool) -> Vec<&Request> {
    let some: Vec<_> = requests.iter().filter(|request| fits(request)).collect();
    assert!(!some.is_empty(), "the seeds have no such request");
    some
}

#[test]
fn requests_of_all_kinds_are_settled_once() {
    let requests = &*REQUESTS;
    for request in requests {
        assert!(request.status.is_some(), "{request:?}");
    }
    let kinds: BTreeSet<_> = requests
        .iter()
        .filter(|request| !request.is_own)
        .map(|request| (request.interface.as_str(), request.kind.as_str()))
        .collect();
    for kind in [
        ("regular", "query"),
        ("regular", "set"),
        ("regular", "method"),
        ("direct", "set"),
        ("direct", "method"),
        ("synchronous", "method"),
    ] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
    // Some waited, here or below, and some did not.
    some(requests, |request| !request.is_own && request.was_pending);
    some(requests, |request| !request.is_own && !request.was_pending);
    // They come before the first restart too.
    some(requests, |request| {
        !request.is_own && request.state != "Running"
    });
}

#[test]
fn what_cannot_be_refused_is_passed_on() {
    for request in some(&REQUESTS, |request| request.oid == SET_POWER) {
        // What keeps it from going on is that there is no memory for the clone, and nothing else.
        let expected = if request.has_gone_down {
            SUCCESS
        } else {
            RESOURCES
        };
        assert_eq!(request.status, Some(expected), "{request:?}");
    }
}

#[test]
fn buffers_that_are_too_short_are_refused_with_what_is_needed() {
    // The script expects status and bytes.
    let lab = Lab::run(&driver("everything"));
    let summary = lab.script(&script("oid")).clean();
    let asked = summary.requests.iter().filter(|request| !request.is_own);
    let came_to: Vec<_> = asked
        .map(|request| {
            (
                request.port,
                request.room_bytes,
                request.has_gone_down,
                request.needed_bytes,
            )
        })
        .collect();
    // What the driver answers itself does not go down; on other ports everything does.
    let expected = [
        (0, 0, false, 4),
        (0, 3, false, 4),
        (0, 4, false, 0),
        (0, 262_144, false, 0),
        (1, 3, true, 4),
        (1, 4, true, 0),
    ];
    assert_eq!(came_to, expected);
}

#[test]
fn requests_for_other_ports_pass() {
    let requests = &*REQUESTS;
    let is_other = |request: &Request| request.port != 0 && request.interface == "regular";
    for request in some(requests, is_other) {
        assert!(
            request.has_gone_down || request.status == Some(RESOURCES),
            "{request:?}"
        );
    }
    some(requests, |request| {
        is_other(request) && request.oid == MAXIMUM_FRAME_SIZE
    });
}

#[test]
fn cancelled_requests_end_whether_they_wait_here_or_below() {
    let requests = &*REQUESTS;
    let is_aborted = |request: &Request| {
        !request.is_own && request.was_cancelled && request.status == Some(ABORTED)
    };
    // In the driver's queue; and as a clone below.
    some(requests, |request| {
        is_aborted(request) && !request.has_gone_down
    });
    some(requests, |request| {
        is_aborted(request) && request.has_gone_down
    });
    // One that waits goes on in the end, if nobody cancels it.
    some(requests, |request| {
        (request.oid, request.port, request.status) == (STATISTICS, 0, Some(SUCCESS))
            && request.was_pending
            && request.has_gone_down
    });
}

/// The driver's handler has the request, and what would be cancelled is neither here nor below yet.
#[test]
fn cancellation_while_the_handler_runs_is_not_lost() {
    let is_early = |request: &Request| request.was_cancelled_in_handler && !request.is_own;
    // It would have waited: its handler has given it up instead.
    some(&REQUESTS, |request| {
        is_early(request)
            && [(STATISTICS, 0), (UPDATE_SA, 0)].contains(&(request.oid, request.port))
            && request.status == Some(ABORTED)
            && !request.was_pending
            && !request.has_gone_down
    });
    // It was on its way down, and its clone was cancelled there.
    some(&REQUESTS, |request| {
        is_early(request) && request.status == Some(ABORTED) && request.has_gone_down
    });
}

#[test]
fn own_requests_are_answered_at_once_or_later_or_cancelled() {
    let requests = &*REQUESTS;
    let own = some(requests, |request| request.is_own);
    let kinds: BTreeSet<_> = own
        .iter()
        .map(|request| {
            (
                request.interface.as_str(),
                request.kind.as_str(),
                request.oid,
            )
        })
        .collect();
    let expected = [
        ("regular", "query", PACKET_FILTER),
        ("direct", "method", UPDATE_SA),
        ("synchronous", "method", RSS_ENTRIES),
    ];
    assert_eq!(kinds, BTreeSet::from(expected));
    for interface in ["regular", "direct"] {
        let is_own = |request: &Request| request.is_own && request.interface == interface;
        some(requests, |request| {
            is_own(request) && request.was_pending && request.status == Some(SUCCESS)
        });
        some(requests, |request| {
            is_own(request) && !request.was_pending && request.status == Some(SUCCESS)
        });
        // An adapter that is slow does not keep the driver.
        some(requests, |request| {
            is_own(request) && request.was_cancelled && request.status == Some(ABORTED)
        });
    }
}

/// The driver's thread asks, and its last chance before detach does not wait for that: each gets the answer to its own.
#[test]
fn several_own_requests_are_under_way_at_once() {
    for interface in ["regular", "direct"] {
        let is_second = |request: &Request| {
            request.is_own && request.interface == interface && request.own_meanwhile > 0
        };
        for request in some(&REQUESTS, is_second) {
            assert!(request.status.is_some(), "{request:?}");
        }
        some(&REQUESTS, |request| {
            is_second(request) && request.status == Some(SUCCESS)
        });
    }
}

/// Nobody waits, so the driver asks from its timer, and with another request in hand, which may be at PASSIVE_LEVEL.
#[test]
fn own_synchronous_requests_are_answered_at_once_at_either_level() {
    let is_own = |request: &Request| request.is_own && request.interface == "synchronous";
    for irql in [PASSIVE_LEVEL, DISPATCH_LEVEL] {
        for request in some(&REQUESTS, |request| is_own(request) && request.irql == irql) {
            assert!(!request.was_pending, "{request:?}");
        }
    }
    some(&REQUESTS, |request| {
        is_own(request) && request.status == Some(SUCCESS)
    });
}

#[test]
fn what_a_request_has_led_to_is_told_to_who_has_made_it() {
    for request in some(&REQUESTS, |request| {
        request.status == Some(INDICATION_REQUIRED) && request.was_told_later
    }) {
        assert!(!request.has_gone_down, "{request:?}");
    }
}

/// Too short, or known to nobody; for the default port or another; before the first restart, or later.
#[test]
fn malformed_requests_are_refused_or_passed_in_every_state_and_at_every_level() {
    let has_failed = |request: &Request| {
        [Some(INVALID_LENGTH), Some(NOT_SUPPORTED)].contains(&request.status) && !request.is_own
    };
    for interface in ["regular", "direct", "synchronous"] {
        for irql in [PASSIVE_LEVEL, DISPATCH_LEVEL] {
            for is_running in [false, true] {
                for is_default in [false, true] {
                    let fits = |request: &Request| {
                        has_failed(request)
                            && request.interface == interface
                            && request.irql == irql
                            && (request.state == "Running") == is_running
                            && (request.port == 0) == is_default
                    };
                    assert!(
                        REQUESTS.iter().any(fits),
                        "{interface}, IRQL {irql}, running {is_running}, default port {is_default}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_last_request_goes_down_before_detach() {
    for run in RUNS.iter() {
        for adapter in 0..2 {
            let last = run
                .requests
                .iter()
                .rfind(|request| request.is_own && request.adapter == adapter)
                .expect("one of its own");
            assert_eq!(last.state, "Paused", "seed {}: {last:?}", run.seed);
        }
    }
}

#[test]
fn a_request_without_a_header_is_refused_and_not_cloned() {
    let run = |seed| {
        Lab::run(&driver("everything"))
            .pcap(&capture("dns"))
            .with(["--disturb"])
            .seed(seed)
            .clean()
    };
    let requests: Vec<_> = (1..=20).flat_map(|seed| run(seed).requests).collect();
    for interface in ["regular", "direct"] {
        // Nothing else is refused like this.
        for request in some(&requests, |request| {
            request.interface == interface && request.status == Some(INVALID_PARAMETER)
        }) {
            assert!(
                !request.has_gone_down && !request.was_pending,
                "{request:?}"
            );
        }
    }
    // What is synchronous passes: the driver does not know it.
    let is_synchronous = |request: &Request| request.interface == "synchronous";
    for request in some(&requests, is_synchronous) {
        assert_ne!(request.status, Some(INVALID_PARAMETER), "{request:?}");
    }
}
