//! A violation as plain data.

use lab_rules::Violation;

use crate::quantity::count;
use crate::summary::{Bugcheck, Finding, StackFrame};

/// What `violation`, in the driver `image`, says.
pub(crate) fn of(image: &str, violation: &Violation) -> Finding {
    let callback = violation
        .callback
        .map(|name| format!("in {name}, "))
        .unwrap_or_default();
    Finding {
        rule: violation.rule.id.to_owned(),
        official_name: violation.rule.official_name.map(str::to_owned),
        severity: violation.rule.severity.to_string(),
        statement: violation.rule.statement.to_owned(),
        page: violation.rule.page.to_owned(),
        happened: violation.happened.clone(),
        context: format!(
            "{callback}thread {}, processor {}, IRQL {}, at {} ns (virtual)",
            violation.thread,
            violation.processor,
            violation.irql,
            count(violation.time_ns)
        ),
        bugcheck: violation.bug_check.map(|bug_check| Bugcheck {
            code: format!("0x{:08X}", bug_check.code),
            name: bug_check.name.to_owned(),
            parameters: bug_check
                .parameters
                .iter()
                .map(|value| format!("0x{value:016X}"))
                .collect(),
        }),
        stack: frames(image, &violation.stack),
        history: violation.history.clone(),
    }
}

/// The frames of a stack in the driver `image`.
pub(crate) fn frames(image: &str, stack: &[lab_rules::StackFrame]) -> Vec<StackFrame> {
    let frame = |frame: &lab_rules::StackFrame| StackFrame {
        function: frame
            .function
            .clone()
            .unwrap_or_else(|| format!("{image}+{:#x}", frame.rva)),
        file: frame.file.clone(),
        line: frame.line,
    };
    stack.iter().map(frame).collect()
}
