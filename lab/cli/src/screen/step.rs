//! What came of the steps of a script.

use std::fmt::{self, Write};

use crate::quantity::{count, nanoseconds, optional_count};
use crate::summary::{Script, Step, StepPackets};
use crate::table::{Align, Table};

/// Bytes of output that a row has room for; the JSON object has all of them.
const OUTPUT_BYTES: usize = 16;

/// Writes a row for each step.
pub(super) fn write(script: &Script, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\nScript {}, times from its begin (virtual)",
        script.file
    )?;
    let mut table = Table::new(&[
        ("step", Align::Right),
        ("line", Align::Right),
        ("does", Align::Left),
        ("", Align::Left),
        ("adapter", Align::Left),
        ("times", Align::Right),
        ("begun", Align::Right),
        ("ended", Align::Right),
        ("bytes", Align::Right),
        ("came to", Align::Left),
    ]);
    let first = script
        .steps
        .iter()
        .filter_map(|step| step.begun_virtual_ns)
        .min();
    let since = |time: Option<u64>| match (time, first) {
        (Some(time), Some(first)) => nanoseconds(time.saturating_sub(first)),
        _ => "-".to_owned(),
    };
    for step in &script.steps {
        table.row(vec![
            step.number.to_string(),
            step.line.to_string(),
            step.does.clone(),
            visible(&step.about),
            step.adapter.clone().unwrap_or_default(),
            count(step.times),
            since(step.begun_virtual_ns),
            since(step.ended_virtual_ns),
            optional_count(step.bytes),
            came_to(step),
        ]);
    }
    table.write(out);
    Ok(())
}

/// A text on one line, whatever is in it.
fn visible(text: &str) -> String {
    let replaced = |character: char| match character.is_control() {
        true => '?',
        false => character,
    };
    text.chars().map(replaced).collect()
}

/// The last column, which has what there is of a step.
fn came_to(step: &Step) -> String {
    let mut parts = Vec::new();
    match (&step.status_name, step.status) {
        (Some(name), _) => parts.push(name.clone()),
        (None, Some(status)) => parts.push(format!("{status:#010x}")),
        (None, None) => {}
    }
    if let Some(StepPackets {
        given,
        passed,
        dropped,
    }) = step.packets
    {
        parts.push(format!(
            "{} of {} packets passed, {} dropped",
            count(passed),
            count(given),
            count(dropped)
        ));
    }
    if !step.output.is_empty() {
        let room = 2 * OUTPUT_BYTES;
        let shown = step.output.get(..room);
        parts.push(shown.map_or_else(|| step.output.clone(), |start| format!("{start}...")));
    }
    parts.extend(step.note.clone());
    match (&step.failed, step.times) {
        (Some(_), _) => parts.push("FAILED".to_owned()),
        (None, 0) => parts.push("did not end".to_owned()),
        (None, _) => {}
    }
    parts.join("; ")
}
