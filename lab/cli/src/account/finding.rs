//! A violation as plain data.

use lab_rules::{ObjectHistory, Violation};

use crate::quantity::count;
use crate::summary::{Bugcheck, Finding, Object, ObjectStep, StackFrame};

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
        page: violation.rule.url(),
        image: violation.image.clone(),
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
        consequence: violation
            .bug_check
            .is_none()
            .then(|| violation.rule.consequence().to_owned())
            .filter(|consequence| !consequence.is_empty()),
        stack: frames(image, &violation.stack),
        objects: violation
            .objects
            .iter()
            .map(|it| object(image, it))
            .collect(),
        history: violation.history.clone(),
    }
}

/// An object of the driver `image` with its history.
fn object(image: &str, history: &ObjectHistory) -> Object {
    let step = |step: &lab_rules::ObjectStep| ObjectStep {
        what: step.what.to_owned(),
        virtual_ns: step.time_ns,
        thread: step.thread,
        processor: step.processor,
        irql: step.irql,
        stack: frames(image, &step.stack),
    };
    Object {
        kind: history.noun.to_owned(),
        address: format!("{:#x}", history.address),
        holder: history.holder.to_owned(),
        steps: history.steps.iter().map(step).collect(),
        left_out: history.left_out,
    }
}

/// The frames of a stack in the driver `image`.
pub(crate) fn frames(image: &str, stack: &[lab_rules::StackFrame]) -> Vec<StackFrame> {
    let frame = |frame: &lab_rules::StackFrame| StackFrame {
        function: match (&frame.image, &frame.function) {
            (None, Some(function)) => function.clone(),
            (Some(image), Some(function)) => format!("{image}!{function}"),
            (other, None) => {
                let image = other.as_deref().unwrap_or(image);
                format!("{image}+{:#x}", frame.rva)
            }
        },
        file: frame.file.clone(),
        line: frame.line,
    };
    stack.iter().map(frame).collect()
}
