//! OID requests of the three kinds through `examples/everything`, which answers some, lets some wait and passes on the
//! rest, and asks on its own account: each is settled once, with everything that those below have said.
//!
//! That a clone's results are copied back, that no clone is left, that a cancellation reaches what is below, and all else
//! that NDIS documents is for the lab's monitors; every run here is clean of their findings.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use lab_cli::summary::{Request, Summary};
use tests::{Lab, capture, driver};

/// `OID_GEN_MAXIMUM_FRAME_SIZE`, which the driver answers itself on the default port.
const MAXIMUM_FRAME_SIZE: u32 = 0x0001_0106;
/// `OID_GEN_STATISTICS`, which waits for a work item on the default port.
const STATISTICS: u32 = 0x0002_0106;
/// `OID_GEN_CURRENT_PACKET_FILTER`, which the driver asks for.
const PACKET_FILTER: u32 = 0x0001_010E;
/// `OID_PNP_SET_POWER`, which may not fail.
const SET_POWER: u32 = 0xFD01_0101;
const SUCCESS: u32 = 0;
/// `NDIS_STATUS_REQUEST_ABORTED`.
const ABORTED: u32 = 0xC001_000C;
/// `NDIS_STATUS_RESOURCES`.
const RESOURCES: u32 = 0xC000_009A;
/// `NDIS_STATUS_INVALID_PARAMETER`.
const INVALID_PARAMETER: u32 = 0xC000_000D;
/// `NDIS_STATUS_INVALID_LENGTH`.
const INVALID_LENGTH: u32 = 0xC001_0014;

/// Clean runs with different seeds, and all requests of theirs: enough of them to have what each test looks at.
static RUNS: LazyLock<Vec<Summary>> = LazyLock::new(|| runs(80));
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
    let requests = &*REQUESTS;
    let is_answered = |request: &Request| {
        (request.oid, request.kind.as_str(), request.port) == (MAXIMUM_FRAME_SIZE, "query", 0)
    };
    for request in some(requests, |request| {
        is_answered(request) && request.room_bytes >= 4
    }) {
        assert!(!request.has_gone_down, "{request:?}");
        assert_eq!(
            (request.status, request.done_bytes),
            (Some(SUCCESS), 4),
            "{request:?}"
        );
    }
    for request in some(requests, |request| {
        is_answered(request) && request.room_bytes < 4
    }) {
        assert!(!request.has_gone_down, "{request:?}");
        assert_eq!(
            (request.status, request.done_bytes, request.needed_bytes),
            (Some(INVALID_LENGTH), 0, 4),
            "{request:?}"
        );
    }
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

#[test]
fn own_requests_are_answered_at_once_or_later_or_cancelled() {
    let requests = &*REQUESTS;
    let own = some(requests, |request| request.is_own);
    assert!(
        own.iter()
            .all(|request| request.oid == PACKET_FILTER && request.kind == "query")
    );
    some(requests, |request| {
        request.is_own && request.was_pending && request.status == Some(SUCCESS)
    });
    some(requests, |request| {
        request.is_own && !request.was_pending && request.status == Some(SUCCESS)
    });
    // An adapter that is slow does not keep the driver.
    some(requests, |request| {
        request.is_own && request.was_cancelled && request.status == Some(ABORTED)
    });
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
    // Nothing else is refused like this.
    for request in some(&requests, |request| {
        request.status == Some(INVALID_PARAMETER)
    }) {
        assert!(
            !request.has_gone_down && !request.was_pending,
            "{request:?}"
        );
    }
}
