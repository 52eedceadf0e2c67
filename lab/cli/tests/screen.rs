//! A summary that is written by hand renders to the screen that lies beside this file.

use lab_cli::screen;
use lab_cli::summary::{
    Adapter, Amount, Bugcheck, Counted, CountedPackets, Directions, DriverDirections,
    DriverPackets, Finding, Flow, Irql, Machine, Object, ObjectStep, Pool, Reason, Rules, Spread,
    StackFrame, Summary, WorkItems,
};

fn counted(send: u64, receive: u64) -> Counted {
    Counted {
        ndis: Directions { send, receive },
        driver: DriverDirections {
            send: Some(send),
            receive: Some(receive),
        },
    }
}

fn packets(send: u64, receive: u64) -> CountedPackets {
    let Counted { ndis, driver } = counted(send, receive);
    Counted {
        ndis,
        driver: DriverPackets {
            seen: driver,
            not_inspected: Some(0),
        },
    }
}

fn adapter(name: &str, packets: CountedPackets, bytes: Counted) -> Adapter {
    Adapter {
        name: name.to_owned(),
        mac: "02:00:00:00:00:01".to_owned(),
        capture: Some(format!("{name}.pcapng")),
        direction_by: "recorded".to_owned(),
        notes: Vec::new(),
        states: ["Detached", "Paused", "Running", "Paused", "Detached"]
            .map(str::to_owned)
            .to_vec(),
        mode: Some("tap".to_owned()),
        passed: packets.ndis,
        segments: packets.ndis,
        packets,
        bytes,
    }
}

fn step(what: &str, virtual_ns: u64, function: &str) -> ObjectStep {
    ObjectStep {
        what: what.to_owned(),
        virtual_ns,
        thread: 3,
        processor: 1,
        irql: 0,
        stack: vec![StackFrame {
            function: function.to_owned(),
            file: Some("src/module.rs".to_owned()),
            line: Some(7),
        }],
    }
}

fn flow(protocol: &str, a: &str, b: &str, tcp_state: Option<&str>) -> Flow {
    Flow {
        adapter: "1 http".to_owned(),
        protocol: protocol.to_owned(),
        by_port: true,
        a: a.to_owned(),
        b: b.to_owned(),
        a_is_local: true,
        a_to_b: Amount {
            packets: 1000,
            bytes: 54_000,
        },
        b_to_a: Amount {
            packets: 2300,
            bytes: 3_480_000,
        },
        tcp_state: tcp_state.map(str::to_owned),
        first_ns: 1_000,
        last_ns: 2_000,
    }
}

/// A clean run of deferlwf on two adapters.
fn clean() -> Summary {
    Summary {
        image: "deferlwf.sys".to_owned(),
        driver_version: Some("0.1.0".to_owned()),
        ndis: "6.89".to_owned(),
        registered_ndis: Some("6.89".to_owned()),
        processors: 2,
        workers: 2,
        seed: 7,
        adapters: vec![
            adapter("1 http", packets(1000, 2300), counted(54_000, 3_480_000)),
            adapter("2 dns", packets(10, 10), counted(700, 1400)),
        ],
        stack: Vec::new(),
        passed: Directions {
            send: 1010,
            receive: 2310,
        },
        dropped: Directions::default(),
        originated: Directions::default(),
        packets: packets(1010, 2310),
        passage: None,
        bytes: counted(54_700, 3_481_400),
        not_inspected: Some(Vec::new()),
        flow_count: Some(2),
        flows: Some(vec![
            flow("tcp", "10.1.0.1:40000", "10.1.0.2:80", Some("closed")),
            flow("udp", "[fd00::1]:40001", "[fd00::2]:53", None),
        ]),
        script: None,
        requests: Vec::new(),
        device_requests: Vec::new(),
        situations: std::collections::BTreeMap::new(),
        mode_changes: Vec::new(),
        work_items: WorkItems {
            allocated: 2,
            queued: 130,
            coalesced: Some(3190),
            runs: 130,
            freed: 2,
            max_batch: Some(64),
            packets_per_run: Some(25.53),
            queue_to_run_virtual_ns: Some(Spread {
                min: 900,
                median: 12_500,
                max: 2_000_000,
            }),
            entry_irql: Some(0),
            runs_on_system_thread: 130,
            max_concurrent: 1,
            functions: std::collections::BTreeMap::new(),
        },
        irql: Irql {
            longest_dispatch_calls: 9,
            longest_dispatch_virtual_ns: 4_200,
        },
        pool: Pool {
            allocations: 31,
            peak_bytes: 1_572_864,
            left_bytes: 0,
        },
        machine: Machine {
            imports: 1200,
            stack_peak_bytes: 2500,
            stack_peak: Vec::new(),
            not_reproducible: Vec::new(),
        },
        rules: Rules {
            checked: 58,
            broken: 0,
            without: Vec::new(),
        },
        schedule_digest: "9f86d081884c7d65".to_owned(),
        events: 40_000,
        virtual_ns: 10_000_000,
        disagreements: Vec::new(),
        violation: None,
        warnings: Vec::new(),
        notes: Vec::new(),
        debug_output: Vec::new(),
        replay: "lwf-lab run deferlwf.sys --pcap http.pcapng --seed 7".to_owned(),
    }
}

#[test]
fn a_clean_run() {
    assert_eq!(screen::render(&clean()), include_str!("screen/clean.txt"));
}

#[test]
fn notes_are_on_the_screen() {
    let mut summary = clean();
    summary.notes = vec!["no symbols: a.pdb: belongs to another build of the image".to_owned()];
    let line = "NOTE            no symbols: a.pdb: belongs to another build of the image\n";
    assert!(screen::render(&summary).contains(line));
    assert!(summary.is_clean());
}

#[test]
fn counts_that_differ_are_loud() {
    let mut summary = clean();
    summary.adapters[0].packets.driver.seen.send = Some(999);
    summary.packets.driver.not_inspected = Some(5);
    summary.adapters[1].states.pop();
    summary.adapters[1].notes = vec!["3 packets of link type PPP (9) are left out".to_owned()];
    summary.not_inspected = Some(vec![
        Reason {
            reason: "ring full".to_owned(),
            packets: 4,
        },
        Reason {
            reason: "unreadable".to_owned(),
            packets: 1,
        },
    ]);
    summary.disagreements =
        vec!["1 http: NDIS counted 1,000 packets sent, the driver 999".to_owned()];
    assert!(!summary.is_clean());
    assert_eq!(screen::render(&summary), include_str!("screen/differs.txt"));
}

#[test]
fn a_broken_rule_of_an_image_without_a_control_device() {
    let mut summary = clean();
    summary.image = "faulty.sys".to_owned();
    summary.driver_version = None;
    summary.adapters.truncate(1);
    summary.adapters[0].packets.driver = DriverPackets::default();
    summary.adapters[0].bytes.driver = DriverDirections::default();
    summary.packets = summary.adapters[0].packets;
    summary.bytes = summary.adapters[0].bytes;
    summary.passed = summary.packets.ndis;
    summary.not_inspected = None;
    summary.flow_count = None;
    summary.flows = None;
    summary.work_items.coalesced = None;
    summary.work_items.max_batch = None;
    summary.work_items.packets_per_run = None;
    summary.rules.broken = 1;
    summary.machine.not_reproducible = vec!["cpuid at faulty.sys+0x10".to_owned()];
    summary.debug_output = vec!["faulty: fault 7".to_owned()];
    summary.violation = Some(Finding {
        image: None,
        rule: "wi-queue-while-queued".to_owned(),
        official_name: None,
        severity: "corruption".to_owned(),
        statement: "A work item is not queued while it is queued.".to_owned(),
        page: "https://learn.microsoft.com/windows-hardware/drivers/kernel/system-worker-threads"
            .to_owned(),
        happened: "NdisQueueIoWorkItem was called for work item 1, which is queued.".to_owned(),
        context: "in FilterSendNetBufferLists, thread send 1, processor 0, IRQL 2".to_owned(),
        bugcheck: Some(Bugcheck {
            code: "0x0000007C".to_owned(),
            name: "BUGCODE_NDIS_DRIVER".to_owned(),
            parameters: vec!["0x0000000000000001".to_owned(); 4],
        }),
        consequence: None,
        stack: vec![
            StackFrame {
                function: "faulty::work_item::queue_twice".to_owned(),
                file: Some("tests/drivers/faulty/src/work_item.rs".to_owned()),
                line: Some(41),
            },
            StackFrame {
                function: "faulty.sys+0x1234".to_owned(),
                file: None,
                line: None,
            },
        ],
        objects: vec![Object {
            kind: "work item".to_owned(),
            address: "0x61000000a000".to_owned(),
            holder: "held by the system or another driver".to_owned(),
            steps: vec![
                step("allocated", 1_200, "attach"),
                step("queued", 3_400, "receive"),
            ],
            left_out: 0,
        }],
        history: vec!["NdisAllocateIoWorkItem -> work item 1".to_owned()],
    });
    assert_eq!(screen::render(&summary), include_str!("screen/broken.txt"));
}

#[test]
fn json_keeps_everything() {
    let summary = clean();
    let text = serde_json::to_string(&summary).unwrap();
    assert!(!text.contains('\n'));
    assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
}

#[test]
fn json_has_the_promised_names() {
    let value = serde_json::to_value(clean()).unwrap();
    for pointer in [
        "/seed",
        "/packets/ndis/send",
        "/packets/ndis/receive",
        "/packets/driver/send",
        "/packets/driver/receive",
        "/packets/driver/not_inspected",
        "/flow_count",
        "/flows/0",
        "/schedule_digest",
        "/work_items/allocated",
        "/work_items/queued",
        "/work_items/coalesced",
        "/work_items/runs",
        "/work_items/freed",
        "/work_items/max_batch",
        "/irql/longest_dispatch_calls",
        "/pool/peak_bytes",
        "/pool/left_bytes",
        "/rules/checked",
        "/rules/broken",
    ] {
        assert!(
            value.pointer(pointer).is_some_and(|value| !value.is_null()),
            "{pointer}"
        );
    }
}
