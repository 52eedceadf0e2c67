//! A broken rule, told to a person.

use std::fmt::{self, Write};

use crate::summary::{Finding, StackFrame};

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
    write_indented("stack", finding.stack.iter().map(frame_line), out)?;
    write_indented("before", finding.history.iter().cloned(), out)
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
