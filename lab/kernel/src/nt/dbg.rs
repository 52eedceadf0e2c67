//! `DbgPrint*`: what the driver prints.

use std::cell::RefCell;

use lab_rules::Kind;
use lab_rules::event::{Fault, FaultKind, Region};

use super::format::{self, Arguments, Dialect};
use super::{SUCCESS, imports};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::{self, OrFault};

imports! {
    "ntoskrnl.exe":
    DbgBreakPoint => break_point,
    DbgBreakPointWithStatus => break_point,
    DbgPrint => print,
    DbgPrintEx => print_ex,
    vDbgPrintEx => print_list,
    vDbgPrintExWithPrefix => print_list_with_prefix,
    RtlAssert => failed_assertion,
}

/// Lines that are kept.
const LINES: usize = 1_000;

per_image! {
    static OUTPUT: RefCell<(Vec<String>, String)> = const { RefCell::new((Vec::new(), String::new())) };
}

/// What was printed since the last call, in lines.
pub(crate) fn take_output() -> Vec<String> {
    let (mut lines, rest) = OUTPUT.take();
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// No debugger is there, so nobody handles the exception.
fn break_point(call: &Call<'_>) -> u64 {
    watch::emit(Kind::Fault(Fault {
        kind: FaultKind::Breakpoint,
        address: 0,
        instruction: 0,
        region: Region::Image,
        in_import: Some(call.import().name),
    }));
    SUCCESS
}

/// What `ASSERT` calls in checked builds: it says what does not hold, and stops where no debugger is.
fn failed_assertion(call: &Call<'_>) -> u64 {
    let read = |index| match call.arg(index) {
        0 => String::new(),
        address => text(address),
    };
    let (assertion, file, line, message) = (read(0), read(1), call.arg_u32(2), read(3));
    keep(&format!(
        "assertion failed: {message}{assertion} ({file}, line {line})\n"
    ));
    break_point(call)
}

fn print(call: &Call<'_>) -> u64 {
    let mut next = 1;
    emit(call.arg(0), "", &mut || {
        next += 1;
        Ok(call.arg(next - 1))
    })
}

fn print_ex(call: &Call<'_>) -> u64 {
    let mut next = 3;
    emit(call.arg(2), "", &mut || {
        next += 1;
        Ok(call.arg(next - 1))
    })
}

fn print_list(call: &Call<'_>) -> u64 {
    emit_list("", call.arg(2), call.arg(3))
}

fn print_list_with_prefix(call: &Call<'_>) -> u64 {
    let prefix = text(call.arg(0));
    emit_list(&prefix, call.arg(3), call.arg(4))
}

/// A `va_list` is an array of eight-byte slots on x64.
fn emit_list(prefix: &str, format: u64, list: u64) -> u64 {
    let mut next = list;
    emit(format, prefix, &mut || {
        let argument = mem::read(next)?;
        next = next.wrapping_add(8);
        Ok(argument)
    })
}

/// Drivers print what their sources have, which is UTF-8.
const DIALECT: Dialect = Dialect {
    is_wide: false,
    decode: |bytes| String::from_utf8_lossy(bytes).encode_utf16().collect(),
};

fn emit(format: u64, prefix: &str, argument: &mut Arguments<'_>) -> u64 {
    let formatted = format::expand(DIALECT, format, argument).or_fault();
    keep(prefix);
    keep(&String::from_utf16_lossy(&formatted));
    SUCCESS
}

/// Zero-terminated text.
fn text(address: u64) -> String {
    let bytes = format::narrow(address, None).or_fault();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Keeps what was printed, in lines.
fn keep(printed: &str) {
    OUTPUT.with_borrow_mut(|(lines, rest)| {
        rest.push_str(printed);
        while let Some(end) = rest.find('\n') {
            let line = rest[..end].trim_end_matches('\r').to_owned();
            rest.drain(..=end);
            if lines.len() < LINES {
                lines.push(line);
            }
        }
    });
}
