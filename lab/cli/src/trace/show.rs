//! Decoded records for people and for programs.

use std::fmt::Write as _;

use serde_json::{Map, Number, json};

use super::decode::{Decoded, Value};

/// One line.
pub(super) fn text(decoded: &Decoded) -> String {
    let micros = decoded.time_ns / 1000;
    let mut line = format!(
        "{:>6}.{:06} s  cpu {}",
        micros / 1_000_000,
        micros % 1_000_000,
        decoded.processor
    );
    if let Some(irql) = decoded.irql {
        let _ = write!(line, "  irql {irql}");
    }
    let level = match decoded.level {
        1 => "critical",
        2 => "error",
        3 => "warning",
        4 => "info",
        5 => "verbose",
        _ => "",
    };
    let _ = write!(line, "  {level:<8}{} {}", decoded.provider, decoded.name);
    match &decoded.text {
        Some(text) => {
            let _ = write!(line, ": {}", text.escape_debug());
        }
        None => {
            for (name, value) in &decoded.fields {
                let _ = write!(line, "  {name}={}", value_text(value));
            }
        }
    }
    if let Some(problem) = &decoded.problem {
        let _ = write!(line, "  ({problem})");
    }
    line
}

/// A value inside a text.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => value_text(other),
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Hex(number) => format!("{number:#x}"),
        Value::Bool(truth) => truth.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => printable(text),
        Value::Bytes(bytes) => hex(bytes),
        Value::List(values) => {
            let values: Vec<String> = values.iter().map(value_text).collect();
            format!("[{}]", values.join(", "))
        }
    }
}

/// Text of a driver's, which may hold anything.
fn printable(text: &str) -> String {
    let shown = |character: char| {
        if character.is_control() {
            character.escape_default().to_string()
        } else {
            character.to_string()
        }
    };
    let text: String = text.chars().map(shown).collect();
    if text.is_empty() || text.contains(' ') {
        format!("\"{text}\"")
    } else {
        text
    }
}

/// Six bytes are shown as an address.
fn hex(bytes: &[u8]) -> String {
    let separator = if bytes.len() == 6 { ":" } else { "" };
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(separator)
}

/// One object.
pub(super) fn json(decoded: &Decoded) -> String {
    let mut fields = Map::new();
    for (name, value) in &decoded.fields {
        fields.insert(name.clone(), value_json(value));
    }
    let mut object = json!({
        "time_ns": decoded.time_ns,
        "processor": decoded.processor,
        "thread": decoded.thread,
        "provider": decoded.provider,
        "name": decoded.name,
        "level": decoded.level,
        "opcode": decoded.opcode,
        "keywords": decoded.keywords,
        "fields": fields,
    });
    if let Some(text) = &decoded.text {
        object["text"] = text.as_str().into();
        object["function"] = decoded.function.as_str().into();
    }
    if let Some(irql) = decoded.irql {
        object["irql"] = irql.into();
    }
    if let Some(problem) = &decoded.problem {
        object["problem"] = problem.as_str().into();
    }
    object.to_string()
}

fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Unsigned(number) => (*number).into(),
        Value::Signed(number) => (*number).into(),
        Value::Bool(truth) => (*truth).into(),
        Value::Float(number) => {
            Number::from_f64(*number).map_or(serde_json::Value::Null, Into::into)
        }
        Value::Text(text) => text.as_str().into(),
        Value::Hex(_) | Value::Bytes(_) => value_text(value).into(),
        Value::List(values) => values.iter().map(value_json).collect(),
    }
}
