//! From a report and the driver's own readings to a [`Summary`]: two counts of everything, compared.

pub(crate) mod finding;
mod flow;
mod side;
use std::collections::BTreeMap;

use lab_kernel::{
    AdapterReport, ControlPhase, DeviceRequestReport, Report, RequestReport, StackedReport,
    TrafficCount, WorkItemFunction,
};
use lab_net::Mac;
use protocol::{AdapterStatistics, DirectionCounters};

use self::side::{
    before_last_pause, counted, driver_bytes, driver_packets, ndis_bytes, ndis_packets,
};
use crate::argument::RunArguments;
use crate::device::{self, Reading};
use crate::quantity::count;
use crate::summary::{
    Adapter, Counted, CountedPackets, DeviceRequest, Directions, Irql, Machine, Passages, Pool,
    Reason, Request, Rules, Spread, Stacked, Summary, WorkItems,
};

/// What the command knows about an adapter beside the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// File name of the capture.
    pub(crate) capture: Option<String>,
    /// How directions were decided.
    pub(crate) direction_by: String,
    /// What a reader of the counts should know.
    pub(crate) notes: Vec<String>,
}

/// Where NDIS and the driver count differently, over the whole life: nothing for a driver that counts nothing.
pub(crate) fn disagreements(report: &Report) -> Vec<String> {
    let mut disagreements = Vec::new();
    match Reading::of_phase(ControlPhase::BeforeUnload, &report.control) {
        Err(line) => disagreements.push(line),
        Ok(None) => {}
        Ok(Some(reading)) => {
            let total = reading.total();
            let sum = |part: fn(&AdapterReport) -> Directions| {
                report
                    .adapters
                    .iter()
                    .map(part)
                    .fold(Directions::default(), Directions::plus)
            };
            let packets = counted(sum(ndis_packets), Some(driver_packets(&total)));
            let bytes = counted(sum(ndis_bytes), Some(driver_bytes(&total)));
            compare("all adapters", &packets, &bytes, &mut disagreements);
            account_for_all("sent", &total.send, &mut disagreements);
            account_for_all("received", &total.receive, &mut disagreements);
            if let Some(passage) = passage(report) {
                compare_left(&passage, &total, &mut disagreements);
            }
            compare_work_items(report, &total, &mut disagreements);
        }
    }
    disagreements
}

/// The most packets of one direction of an adapter that waited for their verdict at one time, as the driver says.
pub(crate) fn held_peak(report: &Report) -> Option<u64> {
    let reading = Reading::of_phase(ControlPhase::BeforeUnload, &report.control).ok()??;
    let total = reading.total();
    Some(u64::from(total.send.held_peak.max(total.receive.held_peak)))
}

/// Packets that the driver counts as too many to wait for their verdict, over its whole life; `None` for a driver that does
/// not count, or has not answered.
pub(crate) fn overloaded(report: &Report) -> Option<u64> {
    let reading = Reading::of_phase(ControlPhase::BeforeUnload, &report.control).ok()??;
    let total = reading.total();
    let both = |part: fn(&DirectionCounters) -> u64| part(&total.send) + part(&total.receive);
    Some(both(|counters| counters.not_inspected_overload))
}

/// Joins what the lab saw with what the driver says.
pub(crate) fn summarise(
    image: &str,
    arguments: &RunArguments,
    sources: &[Source],
    mut notes: Vec<String>,
    report: &Report,
) -> Summary {
    let mut disagreements = Vec::new();
    let mut read = |phase| match Reading::of_phase(phase, &report.control) {
        Ok(reading) => reading,
        Err(line) => {
            disagreements.push(line);
            None
        }
    };
    let before_pause = read(ControlPhase::BeforePause);
    let before_unload = read(ControlPhase::BeforeUnload);
    let driver_total = before_unload
        .as_ref()
        .or(before_pause.as_ref())
        .map(Reading::total);

    // In a hard life, and in that of a script, a module comes and goes, and what it counted is in the total alone.
    let comes_and_goes = arguments.hard || arguments.script.is_some();
    let adapters: Vec<Adapter> = report
        .adapters
        .iter()
        .zip(sources)
        .map(|(adapter, source)| {
            let statistics = before_pause
                .as_ref()
                .filter(|_| !comes_and_goes)
                .and_then(|reading| reading.adapter(adapter.if_index));
            // The driver's counts of one adapter are those of then.
            let counts = match statistics {
                Some(_) => before_last_pause(adapter),
                None => adapter.clone(),
            };
            summarise_adapter(&counts, source, statistics)
        })
        .collect();
    let sum_of = |adapters: &[AdapterReport], part: fn(&AdapterReport) -> Directions| {
        adapters
            .iter()
            .map(part)
            .fold(Directions::default(), Directions::plus)
    };
    let sum = |part| sum_of(&report.adapters, part);
    // So are those of all, where its device has gone with the adapters.
    let as_counted: Vec<AdapterReport> = match (&before_unload, &before_pause) {
        (None, Some(_)) => report.adapters.iter().map(before_last_pause).collect(),
        _ => report.adapters.clone(),
    };
    let dropped = sum(|adapter| Directions {
        send: adapter.send.dropped,
        receive: adapter.receive.dropped,
    });
    let originated = sum(|adapter| Directions {
        send: adapter.send.originated,
        receive: adapter.receive.originated,
    });
    let packets = counted(
        sum_of(&as_counted, ndis_packets),
        driver_total.as_ref().map(driver_packets),
    );
    let bytes = counted(
        sum_of(&as_counted, ndis_bytes),
        driver_total.as_ref().map(driver_bytes),
    );

    if comes_and_goes {
        if report.violation.is_none() && report.refusal.is_none() {
            disagreements = self::disagreements(report);
        }
    } else {
        for adapter in &adapters {
            compare(
                &adapter.name,
                &adapter.packets,
                &adapter.bytes,
                &mut disagreements,
            );
        }
        compare("all adapters", &packets, &bytes, &mut disagreements);
        if let Some(total) = &driver_total {
            account_for_all("sent", &total.send, &mut disagreements);
            account_for_all("received", &total.receive, &mut disagreements);
        }
        if let Some(total) = before_unload.as_ref().map(Reading::total) {
            compare_work_items(report, &total, &mut disagreements);
            match passage(report) {
                Some(passage) => compare_left(&passage, &total, &mut disagreements),
                None => compare_dropped(&dropped, &originated, &total, &mut disagreements),
            }
        }
    }

    let flows = before_pause
        .as_ref()
        .map(|reading| flow::summarise(reading, report));
    notes.extend(report.refusal.clone());
    notes.extend(before_pause.as_ref().and_then(Reading::untraced));
    notes.extend(before_unload.as_ref().and_then(Reading::refused));
    Summary {
        image: image.to_owned(),
        driver_version: before_pause
            .as_ref()
            .or(before_unload.as_ref())
            .map(|reading| {
                let version = reading.header.driver;
                format!("{}.{}.{}", version.major, version.minor, version.patch)
            }),
        ndis: format!("6.{}", arguments.ndis),
        registered_ndis: report
            .registered_version
            .map(|version| format!("{}.{}", version >> 16, version & 0xffff)),
        processors: arguments.processors,
        workers: arguments.workers,
        seed: report.seed,
        adapters,
        stack: report.stack.iter().map(stacked).collect(),
        packets,
        bytes,
        passed: sum(|adapter| Directions {
            send: adapter.send.passed,
            receive: adapter.receive.passed,
        }),
        dropped,
        originated,
        passage: passage(report),
        not_inspected: driver_total.as_ref().map(reasons),
        flow_count: flows.as_ref().map(|flows| flows.len() as u64),
        flows,
        mode_changes: device::mode_changes(&report.control),
        script: None,
        requests: report.requests.iter().map(request).collect(),
        device_requests: report.device_requests.iter().map(device_request).collect(),
        situations: situations(report),
        work_items: summarise_work_items(report, driver_total.as_ref()),
        irql: Irql {
            longest_dispatch_calls: report.longest_dispatch.imports,
            longest_dispatch_virtual_ns: report.longest_dispatch.virtual_ns,
        },
        pool: Pool {
            allocations: report.pool.allocations,
            peak_bytes: report.pool.peak_bytes,
            left_bytes: report.pool.left_bytes,
        },
        machine: Machine {
            imports: report.machine.imports,
            stack_peak_bytes: report.machine.stack_peak_bytes,
            stack_peak: finding::frames(image, &report.machine.stack_peak),
            not_reproducible: report
                .machine
                .nondeterministic
                .iter()
                .map(|(rva, mnemonic)| format!("{mnemonic} at {image}+{rva:#x}"))
                .collect(),
        },
        rules: Rules {
            checked: report.rules.checked,
            broken: report.rules.broken.len() as u64,
            without: arguments.without.clone(),
        },
        schedule_digest: report.schedule_digest.clone(),
        events: report.events,
        virtual_ns: report.virtual_ns,
        disagreements,
        violation: report
            .violation
            .as_ref()
            .map(|violation| finding::of(image, violation)),
        warnings: report
            .warnings
            .iter()
            .map(|violation| finding::of(image, violation))
            .collect(),
        notes,
        debug_output: report.debug_output.clone(),
        replay: arguments.replay(),
    }
}

/// A filter of the stack, over all adapters.
fn stacked(filter: &StackedReport) -> Stacked {
    let sum = |part: fn(&TrafficCount) -> u64| Directions {
        send: filter.adapters.iter().map(|it| part(&it.send)).sum(),
        receive: filter.adapters.iter().map(|it| part(&it.receive)).sum(),
    };
    Stacked {
        image: filter.image.clone(),
        packets: sum(|count| count.packets),
        passed: sum(|count| count.passed),
        originated: sum(|count| count.originated),
    }
}

fn summarise_adapter(
    adapter: &AdapterReport,
    source: &Source,
    statistics: Option<&AdapterStatistics>,
) -> Adapter {
    Adapter {
        name: adapter.name.clone(),
        mac: Mac(adapter.mac).to_string(),
        capture: source.capture.clone(),
        direction_by: source.direction_by.clone(),
        notes: source.notes.clone(),
        states: adapter
            .states
            .iter()
            .map(|state| (*state).to_owned())
            .collect(),
        mode: statistics.map(|statistics| device::mode_name(statistics.mode).to_owned()),
        packets: counted(ndis_packets(adapter), statistics.map(driver_packets)),
        passed: Directions {
            send: adapter.send.passed,
            receive: adapter.receive.passed,
        },
        bytes: counted(ndis_bytes(adapter), statistics.map(driver_bytes)),
        segments: Directions {
            send: adapter.send.segments,
            receive: adapter.receive.segments,
        },
    }
}

fn compare(
    whose: &str,
    packets: &CountedPackets,
    bytes: &Counted,
    disagreements: &mut Vec<String>,
) {
    let by_driver = packets.driver.seen;
    for (what, by_ndis, by_driver) in [
        ("packets sent", packets.ndis.send, by_driver.send),
        ("packets received", packets.ndis.receive, by_driver.receive),
        ("bytes sent", bytes.ndis.send, bytes.driver.send),
        ("bytes received", bytes.ndis.receive, bytes.driver.receive),
    ] {
        if let Some(by_driver) = by_driver
            && by_driver != by_ndis
        {
            disagreements.push(format!(
                "{whose}: NDIS counted {} {what}, the driver {}",
                count(by_ndis),
                count(by_driver)
            ));
        }
    }
}

/// Every packet that the driver saw was inspected, looped back, or counted under a reason.
fn account_for_all(direction: &str, counters: &DirectionCounters, disagreements: &mut Vec<String>) {
    let accounted = counters.inspected + counters.not_inspected() + counters.loopback;
    if accounted != counters.packets {
        disagreements.push(format!(
            "the driver counted {} packets {direction} and accounts for {}",
            count(counters.packets),
            count(accounted)
        ));
    }
}

/// Every packet that was not passed on, neither itself nor as a copy, is under one reason: in sums.
fn compare_dropped(
    dropped: &Directions,
    originated: &Directions,
    by_driver: &AdapterStatistics,
    disagreements: &mut Vec<String>,
) {
    for (direction, dropped, originated, by_driver) in [
        (
            "sent",
            dropped.send,
            originated.send,
            by_driver.send.dropped(),
        ),
        (
            "received",
            dropped.receive,
            originated.receive,
            by_driver.receive.dropped(),
        ),
    ] {
        if dropped != by_driver + originated {
            disagreements.push(format!(
                "of the packets {direction} the lab saw {} dropped, the driver {}; and {} that the filter originated",
                count(dropped),
                count(by_driver),
                count(originated)
            ));
        }
    }
}

/// What came of the packets of all adapters, if they were followed.
pub(crate) fn passage(report: &Report) -> Option<Passages> {
    let adapters = report.adapters.iter();
    adapters
        .filter_map(|adapter| adapter.passage.map(Passages::from))
        .reduce(Passages::plus)
}

/// Every packet that did not leave, neither itself nor as a copy, is under one reason.
fn compare_left(by_lab: &Passages, by_driver: &AdapterStatistics, disagreements: &mut Vec<String>) {
    for (direction, by_lab, by_driver) in [
        ("sent", by_lab.send.dropped, by_driver.send.dropped()),
        (
            "received",
            by_lab.receive.dropped,
            by_driver.receive.dropped(),
        ),
    ] {
        if by_lab != by_driver {
            disagreements.push(format!(
                "of the packets {direction} {} did not leave, and the driver counted {} dropped",
                count(by_lab),
                count(by_driver)
            ));
        }
    }
}

/// What queues an NDIS work item.
const QUEUE: &str = "NdisQueueIoWorkItem";

fn work_item_function(report: &Report, function: &str) -> WorkItemFunction {
    let functions = &report.work_item_functions;
    functions.get(function).copied().unwrap_or_default()
}

fn compare_work_items(report: &Report, total: &AdapterStatistics, disagreements: &mut Vec<String>) {
    // An attach that failed leaves no record in the driver, of what it allocated neither.
    if report.adapters.iter().any(AdapterReport::has_refused) {
        return;
    }
    // Those of its adapters are NDIS's.
    let by_lab = |function| work_item_function(report, function);
    let by_driver = &total.work_items;
    let (allocate, queue, free) = (
        by_lab("NdisAllocateIoWorkItem"),
        by_lab(QUEUE),
        by_lab("NdisFreeIoWorkItem"),
    );
    for (what, by_lab, by_driver) in [
        ("allocated", allocate.calls, by_driver.allocated),
        ("queued", queue.calls, by_driver.queued),
        ("run", queue.runs, by_driver.runs),
        ("freed", free.calls, by_driver.freed),
    ] {
        if by_lab != by_driver {
            disagreements.push(format!(
                "work items {what}: the lab counted {}, the driver {}",
                count(by_lab),
                count(by_driver)
            ));
        }
    }
}

fn reasons(total: &AdapterStatistics) -> Vec<Reason> {
    let both = |part: fn(&DirectionCounters) -> u64| part(&total.send) + part(&total.receive);
    [
        (
            "ring full",
            both(|counters| counters.not_inspected_ring_full),
        ),
        (
            "no memory",
            both(|counters| counters.not_inspected_no_memory),
        ),
        (
            "unreadable",
            both(|counters| counters.not_inspected_unreadable),
        ),
        ("paused", both(|counters| counters.not_inspected_paused)),
        (
            "too many held",
            both(|counters| counters.not_inspected_overload),
        ),
        (
            "held too long",
            both(|counters| counters.not_inspected_late),
        ),
        (
            "not holdable",
            both(|counters| counters.not_inspected_unholdable),
        ),
        (
            "cancelled",
            both(|counters| counters.not_inspected_cancelled),
        ),
    ]
    .into_iter()
    .filter(|(_, packets)| *packets > 0)
    .map(|(reason, packets)| Reason {
        reason: reason.to_owned(),
        packets,
    })
    .collect()
}

/// A request as a summary shows it.
fn request(report: &RequestReport) -> Request {
    Request {
        adapter: report.adapter,
        interface: report.path.to_string(),
        is_own: report.is_own,
        own_meanwhile: report.own_meanwhile,
        kind: report.kind.to_string(),
        oid: report.oid,
        port: report.port,
        irql: report.irql,
        room_bytes: report.room_bytes,
        state: report.state.to_owned(),
        has_gone_down: report.has_gone_down,
        was_pending: report.was_pending,
        was_cancelled: report.was_cancelled,
        was_cancelled_in_handler: report.was_cancelled_in_handler,
        was_told_later: report.was_told_later,
        status: report.status,
        done_bytes: report.done_bytes,
        needed_bytes: report.needed_bytes,
        supported_revision: report.supported_revision,
    }
}

/// A request to a device as a summary shows it.
fn device_request(report: &DeviceRequestReport) -> DeviceRequest {
    DeviceRequest {
        major: report.major,
        code: report.code,
        input_bytes: report.input_bytes,
        room_bytes: report.room_bytes,
        has_file: report.has_file,
        was_pending: report.was_pending,
        status: report.status,
        output_bytes: report.output_bytes,
    }
}

/// What the run met.
fn situations(report: &Report) -> BTreeMap<String, u64> {
    let met = report.situations.iter();
    met.map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

fn summarise_work_items(report: &Report, driver: Option<&AdapterStatistics>) -> WorkItems {
    let items = &report.work_items;
    let inspected = driver.map(|total| total.send.inspected + total.receive.inspected);
    WorkItems {
        allocated: items.allocated,
        queued: items.queued,
        coalesced: driver.map(|total| total.work_items.coalesced),
        runs: items.runs,
        freed: items.freed,
        max_batch: driver.map(|total| total.work_items.max_batch),
        packets_per_run: inspected.and_then(|packets| {
            let runs = work_item_function(report, QUEUE).runs;
            let hundredths = (u128::from(packets) * 100).checked_div(runs.into())?;
            Some(hundredths as f64 / 100.0)
        }),
        functions: report
            .work_item_functions
            .iter()
            .map(|(name, function)| {
                let WorkItemFunction { calls, runs } = *function;
                (
                    (*name).to_owned(),
                    crate::summary::WorkItemFunction { calls, runs },
                )
            })
            .collect(),
        queue_to_run_virtual_ns: Spread::of(&items.queue_to_run_ns),
        entry_irql: items.entry_irql,
        runs_on_system_thread: items.runs_on_system_thread,
        max_concurrent: items.max_concurrent,
    }
}

#[cfg(test)]
mod tests;
