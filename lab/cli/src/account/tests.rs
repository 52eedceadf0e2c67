use lab_kernel::{
    AdapterReport, Answer, ControlPhase, ControlRecord, DispatchReport, MachineReport, PoolReport,
    Report, Request, RuleReport, TrafficCount, WorkItemFunction, WorkItemReport,
};
use protocol::{
    AdapterStatistics, DriverVersion, FLOW_CURSOR_END, FlowHeader, FlowKind, FlowRecord,
    IOCTL_DEFERLWF_QUERY_FLOWS, IOCTL_DEFERLWF_QUERY_STATISTICS, Record, ReplyWriter,
    StatisticsHeader, TcpState,
};

use super::*;
use crate::argument::{Command, CommandLine};
use crate::summary::DriverPackets;

fn arguments() -> RunArguments {
    use clap::Parser;
    let command_line = CommandLine::parse_from(["lwf-lab", "run", "deferlwf.sys"]);
    match command_line.command {
        Command::Run(arguments) => arguments,
        other => unreachable!("{other:?}"),
    }
}

fn traffic(packets: u64, bytes: u64) -> TrafficCount {
    TrafficCount {
        packets,
        bytes,
        passed: packets,
        segments: packets,
        ..TrafficCount::default()
    }
}

/// What deferlwf counts on an adapter with interface index 7 that saw 3 packets out and 2 in.
fn statistics() -> AdapterStatistics {
    let mut statistics = AdapterStatistics {
        if_index: 7,
        ..AdapterStatistics::default()
    };
    (statistics.send.packets, statistics.send.bytes) = (3, 300);
    (statistics.receive.packets, statistics.receive.bytes) = (2, 200);
    (statistics.send.inspected, statistics.receive.inspected) = (3, 1);
    statistics.receive.loopback = 1;
    statistics.work_items.allocated = 1;
    statistics.work_items.queued = 2;
    statistics.work_items.runs = 2;
    statistics.work_items.coalesced = 2;
    statistics.work_items.max_batch = 3;
    statistics
}

fn flow(port_a: u16, bytes_ab: u64) -> FlowRecord {
    let mut flow = FlowRecord {
        kind: FlowKind::Port,
        ip_version: 4,
        protocol: 6,
        tcp_state: TcpState::Closed,
        a_is_local: 1,
        port_a,
        port_b: 80,
        packets_ab: 3,
        packets_ba: 2,
        bytes_ab,
        bytes_ba: 200,
        ..FlowRecord::default()
    };
    flow.address_a[..4].copy_from_slice(&[10, 1, 0, 1]);
    flow.address_b[..4].copy_from_slice(&[10, 1, 0, 2]);
    flow
}

fn record<H: Record, R: Record>(
    phase: ControlPhase,
    code: u32,
    header: &H,
    records: &[R],
) -> ControlRecord {
    let mut output = vec![0; 4096];
    let mut reply = ReplyWriter::<H, R>::new(&mut output).unwrap();
    for record in records {
        assert!(reply.push(record));
    }
    let written = reply.finish(header).unwrap();
    output.truncate(written);
    ControlRecord {
        phase,
        request: Request::io_control(code, &[], 0),
        answer: Answer {
            status: 0,
            information: output.len() as u64,
            output,
        },
    }
}

fn flows_record(flows: &[FlowRecord], next_cursor: u32) -> ControlRecord {
    let header = FlowHeader {
        if_index: 7,
        next_cursor,
        ..FlowHeader::default()
    };
    record(
        ControlPhase::BeforePause,
        IOCTL_DEFERLWF_QUERY_FLOWS,
        &header,
        flows,
    )
}

fn report(before_pause: AdapterStatistics) -> Report {
    let driver = DriverVersion {
        major: 0,
        minor: 1,
        patch: 0,
    };
    let mut departed = AdapterStatistics::default();
    departed.add_departed(&before_pause);
    departed.work_items.freed = 1;
    Report {
        stack: Vec::new(),
        seed: 5,
        registered_version: Some(0x0006_0059),
        adapters: vec![AdapterReport {
            name: "1 http".to_owned(),
            if_index: 7,
            mac: [2, 0, 0, 0, 0, 1],
            states: vec!["Running"],
            send: traffic(3, 300),
            receive: traffic(2, 200),
            lower_edge: "prompt",
            before_pause: Some([traffic(3, 300), traffic(2, 200)]),
            passage: None,
        }],
        requests: Vec::new(),
        device_requests: Vec::new(),
        situations: BTreeMap::new(),
        work_items: WorkItemReport {
            allocated: 1,
            queued: 2,
            runs: 2,
            freed: 1,
            max_concurrent: 1,
            queue_to_run_ns: vec![30, 10],
            entry_irql: Some(0),
            runs_on_system_thread: 2,
        },
        holds: lab_kernel::HoldReport::default(),
        work_item_functions: [
            ("NdisAllocateIoWorkItem", 1, 0),
            ("NdisQueueIoWorkItem", 2, 2),
            ("NdisFreeIoWorkItem", 1, 0),
            // The device's, which the adapters' counts have nothing to do with.
            ("IoQueueWorkItem", 5, 5),
        ]
        .map(|(name, calls, runs)| (name, WorkItemFunction { calls, runs }))
        .into(),
        machine: MachineReport::default(),
        operations: BTreeMap::new(),
        steps: Vec::new(),
        call_sites: Vec::new(),
        timeline: Vec::new(),
        refusal: None,
        longest_dispatch: DispatchReport {
            imports: 4,
            virtual_ns: 900,
        },
        pool: PoolReport {
            allocations: 6,
            peak_bytes: 4096,
            left_bytes: 0,
            tags: Vec::new(),
        },
        rules: RuleReport {
            checked: 90,
            broken: Vec::new(),
        },
        violation: None,
        warnings: Vec::new(),
        schedule_digest: "00ff".to_owned(),
        events: 100,
        virtual_ns: 5000,
        control_device_found: Some(true),
        control: vec![
            record(
                ControlPhase::BeforePause,
                IOCTL_DEFERLWF_QUERY_STATISTICS,
                &StatisticsHeader {
                    adapter_count: 1,
                    driver,
                    ..StatisticsHeader::default()
                },
                &[before_pause],
            ),
            flows_record(&[flow(40_000, 300)], 1),
            flows_record(&[flow(40_001, 900)], FLOW_CURSOR_END),
            record::<_, AdapterStatistics>(
                ControlPhase::BeforeUnload,
                IOCTL_DEFERLWF_QUERY_STATISTICS,
                &StatisticsHeader {
                    departed,
                    driver,
                    ..StatisticsHeader::default()
                },
                &[],
            ),
        ],
        debug_output: Vec::new(),
    }
}

fn summary(report: &Report) -> Summary {
    summarise(
        "deferlwf.sys",
        &arguments(),
        &[Source::default()],
        Vec::new(),
        report,
    )
}

#[test]
fn two_counts_that_agree_are_clean() {
    let summary = summary(&report(statistics()));
    assert_eq!(summary.notes, [""; 0]);
    assert_eq!(summary.disagreements, [""; 0]);
    assert!(summary.is_clean());
    assert_eq!(summary.driver_version.as_deref(), Some("0.1.0"));
    assert_eq!(summary.registered_ndis.as_deref(), Some("6.89"));
    assert_eq!(summary.packets.driver.seen.send, Some(3));
    assert_eq!(summary.packets.driver.not_inspected, Some(0));
    assert_eq!(summary.bytes.driver.receive, Some(200));
    assert_eq!(summary.work_items.packets_per_run, Some(2.0));
    let queue_to_run = Spread {
        min: 10,
        median: 10,
        max: 30,
    };
    assert_eq!(
        summary.work_items.queue_to_run_virtual_ns,
        Some(queue_to_run)
    );
}

#[test]
fn packets_after_the_driver_was_asked_differ_in_the_total_alone() {
    let mut report = report(statistics());
    report.adapters[0].send = traffic(4, 400);
    let summary = summary(&report);
    let said = summary.disagreements.iter();
    assert!(
        said.clone().all(|said| said.starts_with("all adapters: ")),
        "{summary:#?}"
    );
    assert_eq!(said.count(), 2);
}

#[test]
fn flows_of_all_pages_come_most_bytes_first() {
    let summary = summary(&report(statistics()));
    assert_eq!(summary.flow_count, Some(2));
    let flows = summary.flows.unwrap();
    assert_eq!(flows[0].a, "10.1.0.1:40001");
    assert_eq!(flows[1].a, "10.1.0.1:40000");
    assert_eq!(flows[1].b, "10.1.0.2:80");
    assert_eq!(flows[1].adapter, "1 http");
    assert_eq!(flows[1].tcp_state.as_deref(), Some("closed"));
}

#[test]
fn what_two_counts_differ_in_is_said() {
    for (change, line) in [
        (
            (|statistics| (statistics.send.packets, statistics.send.inspected) = (2, 2))
                as fn(&mut AdapterStatistics),
            "1 http: NDIS counted 3 packets sent, the driver 2",
        ),
        (
            |statistics| statistics.receive.bytes = 1,
            "all adapters: NDIS counted 200 bytes received, the driver 1",
        ),
        (
            |statistics| statistics.send.inspected = 2,
            "the driver counted 3 packets sent and accounts for 2",
        ),
        (
            |statistics| statistics.work_items.runs = 9,
            "work items run: the lab counted 2, the driver 9",
        ),
        (
            |statistics| statistics.send.dropped_late = 1,
            "of the packets sent the lab saw 0 dropped, the driver 1; and 0 that the filter originated",
        ),
    ] {
        let mut changed = statistics();
        change(&mut changed);
        let summary = summary(&report(changed));
        assert!(
            summary.disagreements.iter().any(|said| said == line),
            "{summary:#?}"
        );
        assert!(!summary.is_clean());
    }
}

#[test]
fn snapshots_that_were_lost_are_counted_by_reason() {
    let mut changed = statistics();
    (changed.send.inspected, changed.send.not_inspected_ring_full) = (1, 2);
    let summary = summary(&report(changed));
    assert!(summary.is_clean(), "{:?}", summary.disagreements);
    assert_eq!(summary.packets.driver.not_inspected, Some(2));
    let reason = Reason {
        reason: "ring full".to_owned(),
        packets: 2,
    };
    assert_eq!(summary.not_inspected, Some(vec![reason]));
}

#[test]
fn an_image_without_the_device_has_no_driver_counts() {
    let mut report = report(statistics());
    report.control.clear();
    report.control_device_found = Some(false);
    let summary = summary(&report);
    assert!(summary.is_clean());
    assert_eq!(summary.packets.driver, DriverPackets::default());
    assert_eq!((summary.flow_count, summary.flows), (None, None));
    assert_eq!(summary.work_items.max_batch, None);
    assert_eq!(summary.driver_version, None);
}

#[test]
fn a_refused_request_is_a_disagreement() {
    let mut report = report(statistics());
    report.control[0].answer = Answer {
        information: 0,
        status: 0xC000_000D,
        output: Vec::new(),
    };
    let line = "the driver refused IOCTL_DEFERLWF_QUERY_STATISTICS with status 0xc000000d";
    assert!(
        summary(&report)
            .disagreements
            .iter()
            .any(|said| said == line)
    );
}
