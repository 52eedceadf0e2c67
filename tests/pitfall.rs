//! What went wrong in filters that shipped, tried on the images that this repository ships: each test has the name of its
//! row in `docs/why.md`, and looks whether the occasion was there before it looks at what came of it.
//!
//! `Lab::clean` is a part of each: no rule is broken, and the counts of the lab and of the driver agree. Names of counts are
//! those of `lwf-lab`'s `situations`.

#[path = "pitfall/frame.rs"]
mod frame;
#[path = "pitfall/lives.rs"]
mod lives;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use frame::{pcap, syn};
use lab_cli::summary::{DeviceRequest, Summary};
use lives::Lives;
use tests::{Lab, Scratch, capture, driver, script};

const SUCCESS: u32 = 0;
/// `STATUS_INVALID_DEVICE_REQUEST`.
const INVALID_DEVICE_REQUEST: u32 = 0xC000_0010;
/// `STATUS_BUFFER_TOO_SMALL`.
const BUFFER_TOO_SMALL: u32 = 0xC000_0023;
/// `NDIS_STATUS_INVALID_PARAMETER`.
const INVALID_PARAMETER: u32 = 0xC000_000D;
/// What deferlwf's device answers: `IOCTL_DEFERLWF_QUERY_STATISTICS` and `_SET_MODE` first.
const STATISTICS: u32 = control_code(0x8DEF, 1, 0x800);
const SET_MODE: u32 = control_code(0x8DEF, 2, 0x802);
/// All that it answers.
const KNOWN: [u32; 4] = [
    STATISTICS,
    SET_MODE,
    control_code(0x8DEF, 1, 0x801),
    control_code(0x8DEF, 2, 0x803),
];
/// All that the device of `examples/everything` answers.
const COUNTS: u32 = control_code(0x8DF0, 1, 0x800);

const fn control_code(device: u32, access: u32, function: u32) -> u32 {
    device << 16 | access << 14 | function << 2
}

/// deferlwf in mode `tap`, deferlwf in mode `inline`, and the example with every path.
static TAP: LazyLock<Lives> = LazyLock::new(|| Lives::hard("deferlwf", &[("MaxFlows", 64)]));
static INLINE: LazyLock<Lives> =
    LazyLock::new(|| Lives::hard("deferlwf", &[("MaxFlows", 64), ("Mode", 2)]));
static EVERYTHING: LazyLock<Lives> = LazyLock::new(|| Lives::hard("everything", &[]));

fn all() -> [&'static Lives; 3] {
    [&TAP, &INLINE, &EVERYTHING]
}

/// One clean life with captures.
fn replay(name: &str, captures: &[&str]) -> Lab {
    let paths = captures.iter().map(|name| capture(name));
    paths.fold(Lab::run(&driver(name)), |lab, path| lab.pcap(&path))
}

fn missed(summary: &Summary, reason: &str) -> u64 {
    let reasons = summary.not_inspected.iter().flatten();
    reasons
        .filter(|it| it.reason == reason)
        .map(|it| it.packets)
        .sum()
}

#[test]
fn s1_locks_that_are_taken_were_initialised() {
    for lives in all() {
        lives.some("locks-taken");
        assert_eq!(lives.count("locks-not-initialised"), 0);
    }
}

#[test]
fn s3_every_irp_is_completed_with_a_file_object_or_without() {
    for lives in all() {
        assert_eq!(lives.some("requests"), lives.count("requests-completed"));
        assert!(lives.controls().iter().any(|request| !request.has_file));
    }
}

#[test]
fn s4_unknown_ioctls_are_refused() {
    for (lives, known) in [
        (&TAP, &KNOWN[..]),
        (&INLINE, &KNOWN),
        (&EVERYTHING, &[COUNTS]),
    ] {
        let controls = lives.controls().into_iter();
        let (known, unknown): (Vec<&DeviceRequest>, Vec<&DeviceRequest>) =
            controls.partition(|request| known.contains(&request.code));
        let is_answered = |request: &&DeviceRequest| request.status == SUCCESS;
        assert!(known.is_empty() || known.iter().any(is_answered));
        assert!(!unknown.is_empty());
        for request in unknown {
            assert_eq!(request.status, INVALID_DEVICE_REQUEST, "{request:x?}");
        }
    }
}

#[test]
fn s4_files_behind_a_device_are_refused() {
    // Both scripts open the device with a name behind it, which nothing has.
    for (name, play) in [("deferlwf", "device"), ("everything", "everything")] {
        let played = Lab::run(&driver(name)).script(&script(play)).clean();
        let steps = &played.script.expect("it was played").steps;
        let behind = steps.iter().find(|step| step.about.starts_with("behind"));
        let status = behind.and_then(|step| step.status_name.as_deref());
        assert_eq!(status, Some("STATUS_OBJECT_NAME_INVALID"));
    }
}

#[test]
fn s6_sends_while_paused_are_completed_with_status_paused() {
    for lives in all() {
        assert_eq!(
            lives.some("paused-sends"),
            lives.count("paused-sends-completed")
        );
        assert_eq!(
            lives.some("paused-receives"),
            lives.count("paused-receives-returned")
        );
    }
}

#[test]
fn s7_a_pause_gives_up_what_is_held_before_it_is_complete() {
    for lives in [&INLINE, &EVERYTHING] {
        lives.some("pauses-with-packets");
        assert_eq!(lives.count("packets-after-pause"), 0);
    }
}

#[test]
fn s12_an_adapter_works_without_a_filter_that_does_not_attach() {
    let life = replay("deferlwf", &["http1"])
        .with(["--fail", "NdisFSetAttributes"])
        .clean();
    assert_eq!(
        life.adapters[0].states,
        ["Detached", "Attaching", "Detached"]
    );
    // The life ends when every packet is home: they went past.
    assert_eq!(life.packets.ndis.send + life.packets.ndis.receive, 0);
}

#[test]
fn n1_a_pause_is_completed_once() {
    for lives in all() {
        assert_eq!(lives.some("pauses"), lives.count("pauses-completed"));
    }
}

#[test]
fn n4_own_lists_are_told_from_others_in_one_chain() {
    for lives in [&INLINE, &EVERYTHING] {
        lives.some("mixed-returns");
        assert_eq!(lives.some("own"), lives.count("own-back"));
    }
}

#[test]
fn n5_own_sends_that_are_looped_back_are_receives_of_another() {
    EVERYTHING.some("own-looped-back");
    assert_eq!(EVERYTHING.some("own"), EVERYTHING.count("own-back"));
}

#[test]
fn n7_each_list_is_asked_whether_it_was_looped_back() {
    for lives in [&TAP, &INLINE] {
        lives.some("mixed-loopback");
    }
}

#[test]
fn n8_packets_pass_that_there_is_no_memory_to_look_at() {
    let life = replay("deferlwf", &["http1"])
        .with(["--fail", "MmMapLockedPagesSpecifyCache"])
        .clean();
    assert!(missed(&life, "no memory") > 0, "{:?}", life.not_inspected);
    assert_eq!(life.passed, life.packets.ndis);
}

#[test]
fn n9_nothing_is_left_of_what_finds_no_room() {
    let life = replay("deferlwf", &["large"])
        .set("RingEntries", 16)
        .clean();
    assert!(missed(&life, "ring full") > 0, "{:?}", life.not_inspected);
    assert_eq!(life.passed, life.packets.ndis);
    assert_eq!(life.pool.left_bytes, 0);
}

#[test]
fn n10_lists_of_a_batch_leave_in_their_order() {
    for lives in all() {
        lives.some("batches");
        lives.some("in-order");
        assert_eq!(lives.count("out-of-order"), 0);
    }
}

#[test]
fn n11_a_pool_stays_until_its_lists_are_back() {
    for lives in [&INLINE, &EVERYTHING] {
        lives.some("pauses-with-own");
        assert_eq!(lives.count("own-after-pause"), 0);
        lives.some("pools-freed");
        assert_eq!(lives.count("pools-freed-early"), 0);
    }
}

#[test]
fn n14_unload_waits_for_a_detach_that_runs() {
    for name in ["deferlwf", "everything"] {
        let lives = Lives::of(&replay(name, &["ping", "http1"]).with(["--stop", "in-unload"]));
        lives.some("unloads-during-detach");
        lives.some("detaches-in-unload");
        assert_eq!(lives.count("modules-after-unload"), 0);
    }
}

#[test]
fn n15_no_processor_stays_long_at_dispatch_level() {
    let lives = all().into_iter().flat_map(|lives| &lives.0);
    let longest = lives.map(|life| life.irql.longest_dispatch_calls).max();
    let longest_ns = IMPORT_NS * longest.expect("some lives");
    assert!((1..LONG_NS).contains(&longest_ns), "{longest_ns} ns");
}

/// What the lab charges for a call, of the time that its processors share: how long others ran meanwhile is not in it.
const IMPORT_NS: u64 = 50;

/// What is long at `DISPATCH_LEVEL`, for which Microsoft's guidance is 100 microseconds in one DPC.
const LONG_NS: u64 = 100_000;

#[test]
fn n18_a_request_without_a_header_goes_no_further() {
    let mut refused = EVERYTHING
        .requests()
        .filter(|it| it.status == Some(INVALID_PARAMETER))
        .peekable();
    assert!(refused.peek().is_some());
    assert!(refused.all(|request| !request.has_gone_down));
}

#[test]
fn n19_own_requests_live_until_they_are_answered() {
    let mut own = EVERYTHING
        .requests()
        .filter(|it| it.is_own && it.was_pending)
        .peekable();
    assert!(own.peek().is_some());
    assert!(own.all(|request| request.status.is_some()));
}

#[test]
fn n22_requests_that_pass_come_back() {
    let mut passed = EVERYTHING
        .requests()
        .filter(|it| !it.is_own && it.has_gone_down)
        .peekable();
    assert!(passed.peek().is_some());
    assert!(passed.all(|request| request.status.is_some()));
}

#[test]
fn n23_tags_count_alike_beside_the_frame_and_in_it() {
    let [beside, inside] = ["out-of-band", "in-frame"].map(|place| {
        replay("deferlwf", &["vlan"])
            .with(["--vlan-tags", place])
            .clean()
    });
    assert!(beside.packets.ndis.send > 0);
    assert_eq!(
        (beside.bytes, beside.flow_count),
        (inside.bytes, inside.flow_count)
    );
}

#[test]
fn n24_time_stamps_grow() {
    let life = replay("deferlwf", &["http1"]).clean();
    let flows = life.flows.expect("the driver's flows");
    assert!(
        flows
            .iter()
            .all(|flow| 0 < flow.first_ns && flow.first_ns <= flow.last_ns)
    );
    assert!(flows.iter().any(|flow| flow.first_ns < flow.last_ns));
    let firsts: BTreeSet<u64> = flows.iter().map(|flow| flow.first_ns).collect();
    assert!(firsts.len() > 1, "{firsts:?}");
}

#[test]
fn n26_every_block_is_freed_as_it_was_allocated() {
    for lives in all() {
        let allocations: u64 = lives.0.iter().map(|life| life.pool.allocations).sum();
        assert_eq!(lives.some("blocks-freed"), allocations);
    }
}

#[test]
fn x1_nothing_is_pending_behind_unload() {
    for lives in all() {
        lives.some("detaches-with-items");
        assert_eq!(lives.count("items-after-unload"), 0);
    }
}

#[test]
fn x2_unload_does_not_wait_for_itself() {
    for name in ["deferlwf", "everything"] {
        let attached = Lives::of(&replay(name, &["http1"]).with(["--stop", "in-unload"]));
        attached.some("detaches-in-unload");
        assert_unloaded(&attached);
    }
    // A pause of deferlwf leaves nothing queued. Here something is whenever the module does not run.
    let restless = replay("everything", &["http1"]).set("Restless", 1);
    for when in ["busy", "in-unload"] {
        let busy = Lives::of(&restless.clone().with(["--stop", when]));
        busy.some("detaches-with-items");
        assert_unloaded(&busy);
    }
}

fn assert_unloaded(lives: &Lives) {
    assert_eq!(lives.some("unloads"), lives.count("unloads-completed"));
    assert_eq!(lives.count("items-after-unload"), 0);
}

#[test]
fn x4_direct_requests_end_by_the_direct_interface() {
    let mut direct = EVERYTHING
        .requests()
        .filter(|it| it.interface == "direct")
        .peekable();
    assert!(direct.peek().is_some());
    assert!(direct.all(|request| request.status.is_some()));
}

#[test]
fn x5_an_attach_that_fails_leaves_nothing() {
    for import in [
        "NdisFSetAttributes",
        "NdisAllocateIoWorkItem",
        "ExAllocatePool2",
    ] {
        let life = replay("deferlwf", &["ping"])
            .with(["--fail", import])
            .clean();
        assert_eq!(life.pool.left_bytes, 0, "{import}");
        let is_gone = |state: &String| state == "Detached";
        let adapter = &life.adapters[0];
        assert!(
            adapter.states.last().is_none_or(is_gone),
            "{import}: {:?}",
            adapter.states
        );
        assert!(!adapter.states.contains(&"Running".to_owned()), "{import}");
    }
}

#[test]
fn x6_no_request_goes_down_behind_detach() {
    let own: BTreeSet<&str> = EVERYTHING
        .requests()
        .filter(|it| it.is_own)
        .map(|it| it.state.as_str())
        .collect();
    assert!(
        own.contains("Paused") && !own.contains("Detached"),
        "{own:?}"
    );
}

#[test]
fn x9_every_packet_of_a_list_counts() {
    for lives in [&TAP, &INLINE] {
        lives.some("several-packets");
    }
}

#[test]
fn x11_packets_that_are_looped_back_pass_and_count_once() {
    for lives in all() {
        lives.some("looped-back");
    }
}

#[test]
fn x12_requests_for_other_ports_pass() {
    let mut others = EVERYTHING
        .requests()
        .filter(|it| it.port != 0 && it.interface == "regular" && it.status == Some(SUCCESS))
        .peekable();
    assert!(others.peek().is_some());
    assert!(others.all(|request| request.has_gone_down));
}

#[test]
fn x13_a_timer_that_cannot_be_made_is_given_up_once() {
    for name in ["deferlwf", "everything"] {
        let life = replay(name, &["ping"])
            .with(["--fail", "NdisAllocateTimerObject"])
            .clean();
        assert_eq!(
            life.adapters[0].states,
            ["Detached", "Attaching", "Detached"],
            "{name}"
        );
        assert_eq!(life.pool.left_bytes, 0, "{name}");
    }
}

#[test]
fn x14_input_and_output_have_lengths_of_their_own() {
    let controls: Vec<&DeviceRequest> = [&TAP, &INLINE]
        .iter()
        .flat_map(|lives| lives.controls())
        .filter(|it| KNOWN.contains(&it.code))
        .collect();
    let of = |code: u32| {
        let controls = controls.iter().filter(move |it| it.code == code);
        controls.copied().collect::<Vec<&DeviceRequest>>()
    };
    // Statistics want no input and much room; a change of mode wants input and no room.
    let statistics = of(STATISTICS);
    let small = statistics.iter().filter(|it| it.room_bytes < 8);
    assert!(small.clone().count() > 0);
    for request in small {
        assert_eq!(request.status, BUFFER_TOO_SMALL, "{request:x?}");
    }
    let changes = of(SET_MODE);
    let (whole, short): (Vec<&DeviceRequest>, Vec<&DeviceRequest>) =
        changes.into_iter().partition(|it| it.input_bytes >= 8);
    assert!(whole.iter().any(|it| it.status == SUCCESS));
    assert!(short.iter().any(|it| it.room_bytes >= 8));
    assert!(short.iter().all(|it| it.status != SUCCESS));
    assert!(controls.iter().all(|it| it.output_bytes <= it.room_bytes));
}

#[test]
fn x17_a_test_driver_that_leaks_is_caught() {
    let finding = Lab::run(&driver("faulty"))
        .with(["--hard"])
        .set("Fault", "pool-leak")
        .broken();
    assert_eq!(finding.severity, "leak", "{finding:?}");
}

#[test]
fn x18_a_change_of_mode_loses_nothing_that_was_held() {
    let life = replay("deferlwf", &["large"])
        .with(["--modes", "inline,tap,inline,tap"])
        .clean();
    assert!(
        life.mode_changes
            .iter()
            .all(|change| change.status == SUCCESS)
    );
    assert_eq!(life.mode_changes.len(), 4);
    assert_eq!(life.passed.send, life.packets.ndis.send);
}

#[test]
fn o2_no_data_start_is_moved() {
    for name in ["deferlwf", "everything", "passthru"] {
        let output = Lab::command(["imports"]).with([driver(name)]).output();
        assert_eq!(output.exit, 0, "{}", output.stderr);
        assert!(output.stdout.contains("NdisFSendNetBufferLists"), "{name}");
        for moves in ["NdisAdvance", "NdisRetreat"] {
            assert!(!output.stdout.contains(moves), "{name}: {moves}");
        }
    }
}

#[test]
fn o3_headers_that_break_off_anywhere_are_survived() {
    let scratch = Scratch::new("o3");
    let frame = syn();
    let cut: Vec<&[u8]> = (1..=frame.len()).map(|length| &frame[..length]).collect();
    let path = scratch.file("cut.pcap", &pcap(&cut));
    let life = Lab::run(&driver("deferlwf"))
        .pcap(&path)
        .with(["--local", "02:00:00:00:00:01"])
        .clean();
    // Without a source address they count as received.
    let packets = life.packets.ndis;
    assert_eq!(packets.send + packets.receive, cut.len() as u64);
    // What is shorter than an Ethernet header is no frame.
    assert_eq!(missed(&life, "unreadable"), 13);
    assert_eq!(life.passed, packets);
}

#[test]
fn o4_every_send_is_completed_once() {
    for lives in all() {
        assert_eq!(lives.some("sends"), lives.count("sends-completed"));
        assert_eq!(lives.some("receives"), lives.count("receives-returned"));
        lives.some("lent");
        assert_eq!(lives.count("lent-returned"), 0);
    }
}

#[test]
fn o5_a_pause_waits_as_long_as_own_lists_are_out() {
    EVERYTHING.some("pauses-over-1s");
    assert_eq!(EVERYTHING.count("own-after-pause"), 0);
}

#[test]
fn o6_a_work_item_that_is_wished_for_again_is_not_queued_again() {
    let mut coalesced = 0;
    for life in TAP.0.iter().chain(&INLINE.0) {
        let items = &life.work_items;
        coalesced += items.coalesced.unwrap_or_default();
        assert_eq!((items.queued, items.max_concurrent), (items.runs, 1));
    }
    assert!(coalesced > 0);
}

#[test]
fn o7_empty_mdls_between_used_bytes_count_nothing() {
    for lives in [&TAP, &INLINE] {
        lives.some("empty-mdls");
    }
}

#[test]
fn o8_coalesced_packets_pass_whole() {
    for lives in [&TAP, &INLINE] {
        lives.some("coalesced");
    }
    let life = replay("deferlwf", &["coalesced"]).clean();
    let segments = life.adapters[0].segments;
    let packets = life.packets.ndis;
    assert!(segments.send + segments.receive > packets.send + packets.receive);
    assert_eq!(life.passed, packets);
}

#[test]
fn o9_lists_are_completed_together() {
    for lives in all() {
        lives.some("completions-of-several");
        assert_eq!(lives.count("out-of-order"), 0);
    }
}

#[test]
fn o10_what_a_full_queue_refuses_is_not_kept() {
    let lives = Lives::of(
        &replay("deferlwf", &["large"])
            .set("Mode", 2)
            .set("HoldLimit", 2),
    );
    let refused: u64 = lives
        .0
        .iter()
        .map(|life| missed(life, "too many held"))
        .sum();
    assert!(refused > 0);
    assert_eq!(lives.some("sends"), lives.count("sends-completed"));
    assert!(lives.0.iter().all(|life| life.pool.left_bytes == 0));
}

#[test]
fn o12_an_irp_that_is_left_pending_is_completed_once() {
    TAP.some("requests-pended");
    assert_eq!(TAP.some("requests"), TAP.count("requests-completed"));
}

#[test]
fn o13_detach_waits_for_work_items_that_are_queued_or_run() {
    for lives in all() {
        lives.some("detaches-with-items");
        assert_eq!(lives.count("items-after-unload"), 0);
    }
}
