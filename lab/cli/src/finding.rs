//! A broken rule, told to a person.

use std::fmt::{self, Write};

use lab_rules::ObjectHistory;

use crate::quantity::count;
use crate::summary::{Finding, Object, StackFrame};

/// Writes `finding` under `title`: the rule, what happened, where, and how Windows would stop.
pub(crate) fn write(title: &str, finding: &Finding, out: &mut String) -> fmt::Result {
    let official = finding
        .official_name
        .as_ref()
        .map(|name| format!(" ({name})"))
        .unwrap_or_default();
    writeln!(out, "\n{title}: {}{official}", finding.rule)?;
    writeln!(
        out,
        "  rule      {} [{}]",
        finding.statement, finding.severity
    )?;
    writeln!(out, "  page      {}", finding.page)?;
    if let Some(image) = &finding.image {
        writeln!(out, "  image     {image}")?;
    }
    writeln!(out, "  happened  {}", finding.happened)?;
    writeln!(out, "  where     {}", finding.context)?;
    if let Some(bugcheck) = &finding.bugcheck {
        writeln!(
            out,
            "  Windows   {}\n            *** STOP: {} ({})",
            bugcheck.name,
            bugcheck.code,
            bugcheck.parameters.join(",")
        )?;
    }
    if let Some(consequence) = &finding.consequence {
        writeln!(
            out,
            "  Windows   no stop code is defined for this; {consequence}"
        )?;
    }
    write_indented("stack", finding.stack.iter().map(frame_line), out)?;
    for object in &finding.objects {
        write_object(object, out)?;
    }
    write_indented("before", finding.history.iter().cloned(), out)
}

/// Writes what made the life of a seed fail: a broken rule, and what came to something else than it must.
pub(crate) fn write_failure(
    seed: u64,
    violation: Option<&Finding>,
    failed_steps: &[String],
    disagreements: &[String],
    out: &mut String,
) -> fmt::Result {
    if let Some(violation) = violation {
        write(&format!("RULE BROKEN, seed {seed}"), violation, out)?;
    }
    let steps = failed_steps.iter().map(|step| ("STEP FAILED", step));
    let counts = disagreements.iter().map(|line| ("COUNTS DIFFER", line));
    for (label, line) in steps.chain(counts) {
        writeln!(out, "\n{label:<15} seed {seed}: {line}")?;
    }
    Ok(())
}

/// Writes what matters of `finding`: the rule, what happened, and the driver's innermost frame.
pub(crate) fn write_short(title: &str, finding: &Finding, out: &mut String) -> fmt::Result {
    writeln!(out, "\n{title}: {}", finding.rule)?;
    writeln!(out, "  rule      {}", finding.statement)?;
    writeln!(out, "  page      {}", finding.page)?;
    writeln!(out, "  happened  {}", finding.happened)?;
    write_indented("stack", finding.stack.iter().take(1).map(frame_line), out)
}

/// Frames of a step that are shown; the JSON object has all.
const STEP_FRAMES: usize = 4;

/// An object, and each step of its history as an event is shown, with the stack under it.
fn write_object(object: &Object, out: &mut String) -> fmt::Result {
    let Object {
        kind,
        address,
        holder,
        ..
    } = object;
    writeln!(out, "  object    {kind} {address}: {holder}")?;
    for (index, step) in object.steps.iter().enumerate() {
        if index == ObjectHistory::FIRST && object.left_out > 0 {
            writeln!(out, "            {} more", count(object.left_out))?;
        }
        writeln!(
            out,
            "            {:>12} ns  cpu {}  thread {:<3}  irql {}     {}",
            step.virtual_ns, step.processor, step.thread, step.irql, step.what
        )?;
        for frame in step.stack.iter().take(STEP_FRAMES) {
            writeln!(out, "                by {}", frame_line(frame))?;
        }
    }
    Ok(())
}

pub(crate) fn write_indented(
    label: &str,
    lines: impl Iterator<Item = String>,
    out: &mut String,
) -> fmt::Result {
    for (index, line) in lines.enumerate() {
        writeln!(out, "  {:<8}  {line}", if index == 0 { label } else { "" })?;
    }
    Ok(())
}

pub(crate) fn frame_line(frame: &StackFrame) -> String {
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!("{} at {file}:{line}", frame.function),
        (Some(file), None) => format!("{} in {file}", frame.function),
        _ => frame.function.clone(),
    }
}
