//! The screen that a person sees at the end of a run.

mod step;

use std::fmt::{self, Write};

use crate::finding;
use crate::quantity::{self, count, nanoseconds, optional_count};
use crate::summary::{
    Adapter, Counted, CountedPackets, Directions, Flow, ModeChange, Script, Spread, Stacked,
    Summary,
};
use crate::table::{Align, Table};

/// Flows shown; the JSON object has all of them.
const TOP_FLOWS: usize = 8;

/// Lines of the driver's own output shown; the JSON object has all that the lab kept.
const DEBUG_LINES: usize = 10;

/// Renders `summary` for a terminal, one line per fact.
pub fn render(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(summary, &mut out);
    out
}

fn write(summary: &Summary, out: &mut String) -> fmt::Result {
    let version = summary
        .driver_version
        .as_ref()
        .map(|version| format!(" {version}"))
        .unwrap_or_default();
    writeln!(
        out,
        "{}{version} on NDIS {} - {} processors, {} worker threads, seed {}",
        summary.image, summary.ndis, summary.processors, summary.workers, summary.seed
    )?;
    write_adapters(&summary.adapters, out)?;
    write_stack(&summary.stack, out)?;
    write_traffic(summary, out)?;
    for change in &summary.mode_changes {
        let outcome = match change.status {
            0 => "in effect".to_owned(),
            status => format!("refused with {status:#010x}"),
        };
        let ModeChange { if_index, mode, .. } = change;
        writeln!(out, "Mode {mode} on interface {if_index}: {outcome}")?;
    }
    if let Some(script) = &summary.script {
        step::write(script, out)?;
    }
    if let Some(flows) = &summary.flows {
        write_flows(flows, out)?;
    }
    write_work_items(summary, out)?;
    writeln!(
        out,
        "\nDISPATCH_LEVEL  longest stay {} imports, {} (virtual)",
        count(summary.irql.longest_dispatch_calls),
        nanoseconds(summary.irql.longest_dispatch_virtual_ns)
    )?;
    writeln!(
        out,
        "Memory          {} allocations, peak {}, left {}",
        count(summary.pool.allocations),
        quantity::bytes(summary.pool.peak_bytes),
        quantity::bytes(summary.pool.left_bytes)
    )?;
    writeln!(
        out,
        "Stack           at most {} of 24 KiB, seen at {} imports",
        quantity::bytes(summary.machine.stack_peak_bytes),
        count(summary.machine.imports)
    )?;
    finding::write_indented(
        "deep",
        summary.machine.stack_peak.iter().map(finding::frame_line),
        out,
    )?;
    writeln!(
        out,
        "Rules           {} checked, {} broken, {} warnings",
        summary.rules.checked,
        summary.rules.broken,
        summary.warnings.len()
    )?;
    writeln!(out, "Schedule        {}", summary.schedule_digest)?;
    for instruction in &summary.machine.not_reproducible {
        writeln!(out, "                no seed decides {instruction}")?;
    }
    if !summary.debug_output.is_empty() {
        writeln!(
            out,
            "\nDbgPrint: {} lines",
            count(summary.debug_output.len() as u64)
        )?;
        for line in summary.debug_output.iter().take(DEBUG_LINES) {
            writeln!(out, "  {line}")?;
        }
    }
    for note in &summary.notes {
        writeln!(out, "\nNOTE            {note}")?;
    }
    for warning in &summary.warnings {
        finding::write("WARNING", warning, out)?;
    }
    if let Some(violation) = &summary.violation {
        finding::write("RULE BROKEN", violation, out)?;
    }
    write_verdict(summary, out)
}

/// Who is above whom, and what each was given; nothing for a filter that is alone.
fn write_stack(stack: &[Stacked], out: &mut String) -> fmt::Result {
    if stack.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nStack, from the top")?;
    let mut table = Table::new(&[
        ("image", Align::Left),
        ("given to send", Align::Right),
        ("passed", Align::Right),
        ("given from below", Align::Right),
        ("passed", Align::Right),
        ("made", Align::Right),
    ]);
    for filter in stack {
        table.row(vec![
            filter.image.clone(),
            count(filter.packets.send),
            count(filter.passed.send),
            count(filter.packets.receive),
            count(filter.passed.receive),
            count(filter.originated.send + filter.originated.receive),
        ]);
    }
    table.write(out);
    Ok(())
}

fn write_adapters(adapters: &[Adapter], out: &mut String) -> fmt::Result {
    writeln!(out, "\nAdapters")?;
    // Most runs take every adapter through the same life: said once, it leaves room for the rest.
    let common = adapters.first().map(|adapter| &adapter.states);
    let common = common.filter(|states| adapters.iter().all(|adapter| adapter.states == **states));
    let mut columns = vec![
        ("name", Align::Left),
        ("MAC address", Align::Left),
        ("directions", Align::Left),
    ];
    if common.is_none() {
        columns.push(("states", Align::Left));
    }
    let mut table = Table::new(&columns);
    for adapter in adapters {
        let mut cells = vec![
            adapter.name.clone(),
            adapter.mac.clone(),
            adapter.direction_by.clone(),
        ];
        if common.is_none() {
            cells.push(adapter.states.join(" > "));
        }
        table.row(cells);
    }
    table.write(out);
    if let Some(states) = common {
        writeln!(out, "  states: {}", states.join(" > "))?;
    }
    for adapter in adapters {
        for note in &adapter.notes {
            writeln!(out, "  {}: {note}", adapter.name)?;
        }
    }
    Ok(())
}

fn write_traffic(summary: &Summary, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\nPackets and bytes as NDIS counted them, and beside each as the driver did"
    )?;
    let mut table = Table::new(&[
        ("adapter", Align::Left),
        ("sent", Align::Right),
        ("driver", Align::Right),
        ("received", Align::Right),
        ("driver", Align::Right),
        ("bytes sent", Align::Right),
        ("driver", Align::Right),
        ("received", Align::Right),
        ("driver", Align::Right),
        ("", Align::Left),
    ]);
    for adapter in &summary.adapters {
        table.row(traffic_row(&adapter.name, &adapter.packets, &adapter.bytes));
    }
    if summary.adapters.len() > 1 {
        table.row(traffic_row("total", &summary.packets, &summary.bytes));
    }
    table.write(out);
    let given = summary.packets.ndis;
    writeln!(
        out,
        "  passed on: {} of {} sent, {} of {} received",
        count(summary.passed.send),
        count(given.send),
        count(summary.passed.receive),
        count(given.receive)
    )?;
    let Directions { send, receive } = summary.originated;
    if send + receive > 0 {
        writeln!(
            out,
            "  originated: {} sent, {} received",
            count(send),
            count(receive)
        )?;
    }
    match (summary.packets.driver.not_inspected, &summary.not_inspected) {
        (Some(0), _) => writeln!(out, "  not inspected: 0"),
        (Some(total), Some(reasons)) => {
            let reasons: Vec<String> = reasons
                .iter()
                .map(|reason| format!("{} {}", count(reason.packets), reason.reason))
                .collect();
            writeln!(
                out,
                "  not inspected: {} ({})",
                count(total),
                reasons.join(", ")
            )
        }
        _ => writeln!(
            out,
            "  no counts of the driver: it did not answer as deferlwf's device does"
        ),
    }
}

fn traffic_row(name: &str, packets: &CountedPackets, bytes: &Counted) -> Vec<String> {
    let pairs = [
        (packets.ndis.send, packets.driver.seen.send),
        (packets.ndis.receive, packets.driver.seen.receive),
        (bytes.ndis.send, bytes.driver.send),
        (bytes.ndis.receive, bytes.driver.receive),
    ];
    let agree = pairs
        .iter()
        .all(|(ndis, driver)| driver.is_none_or(|driver| driver == *ndis));
    let mut cells = vec![name.to_owned()];
    for (ndis, driver) in pairs {
        cells.extend([count(ndis), optional_count(driver)]);
    }
    cells.push(if agree { "" } else { "DIFFERS" }.to_owned());
    cells
}

fn write_flows(flows: &[Flow], out: &mut String) -> fmt::Result {
    let shown = flows.len().min(TOP_FLOWS);
    writeln!(
        out,
        "\nFlows: {shown} of {}, most bytes first",
        count(flows.len() as u64)
    )?;
    let mut table = Table::new(&[
        ("adapter", Align::Left),
        ("protocol", Align::Left),
        ("A", Align::Left),
        ("B", Align::Left),
        ("packets A-B", Align::Right),
        ("B-A", Align::Right),
        ("bytes A-B", Align::Right),
        ("B-A", Align::Right),
        ("state", Align::Left),
    ]);
    for flow in flows.iter().take(TOP_FLOWS) {
        table.row(vec![
            flow.adapter.clone(),
            flow.protocol.clone(),
            flow.a.clone(),
            flow.b.clone(),
            count(flow.a_to_b.packets),
            count(flow.b_to_a.packets),
            count(flow.a_to_b.bytes),
            count(flow.b_to_a.bytes),
            flow.tcp_state.clone().unwrap_or_default(),
        ]);
    }
    table.write(out);
    Ok(())
}

fn write_work_items(summary: &Summary, out: &mut String) -> fmt::Result {
    let items = &summary.work_items;
    writeln!(
        out,
        "\nWork items      {} allocated, {} freed; queued {} times, {} wishes coalesced, {} runs",
        count(items.allocated),
        count(items.freed),
        count(items.queued),
        optional_count(items.coalesced),
        count(items.runs)
    )?;
    if let (Some(mean), Some(most)) = (items.packets_per_run, items.max_batch) {
        writeln!(
            out,
            "                packets per run {mean:.2}, at most {}",
            count(most)
        )?;
    }
    if let Some(Spread { min, median, max }) = items.queue_to_run_virtual_ns {
        writeln!(
            out,
            "                queue to run {} / {} / {} (virtual; least, median, most)",
            nanoseconds(min),
            nanoseconds(median),
            nanoseconds(max)
        )?;
    }
    if let Some(irql) = items.entry_irql {
        writeln!(
            out,
            "                entered at IRQL {irql}, {} of {} runs on a system thread, at most {} \
             of one item at once",
            count(items.runs_on_system_thread),
            count(items.runs),
            count(items.max_concurrent)
        )?;
    }
    Ok(())
}

fn write_verdict(summary: &Summary, out: &mut String) -> fmt::Result {
    out.push('\n');
    for failure in summary.script.iter().flat_map(Script::failures) {
        writeln!(out, "STEP FAILED     {failure}")?;
    }
    for disagreement in &summary.disagreements {
        writeln!(out, "COUNTS DIFFER   {disagreement}")?;
    }
    if summary.is_clean() {
        let accounted = match summary.packets.driver.seen.send {
            Some(_) => "the driver and NDIS counted the same",
            None => "the driver has no counts to compare",
        };
        writeln!(out, "Clean: no rule broken, {accounted}.")
    } else {
        writeln!(out, "Failed. To see it again:\n  {}", summary.replay)
    }
}
