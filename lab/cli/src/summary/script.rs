//! What came of a script.

use serde::{Deserialize, Serialize};

/// A script, and what came of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Script {
    /// The file, as it was named.
    pub file: String,
    /// Its steps, in the order in which they stand there.
    pub steps: Vec<Step>,
}

impl Script {
    /// A line for each step that came to something else than expected.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        let line = |step: &Step| {
            let Step {
                number, line, does, ..
            } = step;
            let why = step.failed.as_ref()?;
            Some(format!(
                "{}:{line}: step {number} ({does}): {why}",
                self.file
            ))
        };
        self.steps.iter().filter_map(line)
    }
}

/// A step of a script, and what came of it: the last time, if it was done several times.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its number, from 1; a group has none.
    pub number: u32,
    /// The line of the script in which it begins.
    pub line: u32,
    /// What it does: the word of the script.
    pub does: String,
    /// To what.
    pub about: String,
    /// The name of the adapter.
    pub adapter: Option<String>,
    /// How often it has ended.
    pub times: u64,
    /// When it began for the first time, if it did.
    pub begun_virtual_ns: Option<u64>,
    /// When it ended for the last time.
    pub ended_virtual_ns: Option<u64>,
    /// The `NTSTATUS` or `NDIS_STATUS` that it has ended with, if it has one.
    pub status: Option<u32>,
    /// Its C name, if the lab knows it.
    pub status_name: Option<String>,
    /// Bytes that were written or read, as who has answered says.
    pub bytes: Option<u64>,
    /// The output, in hexadecimal.
    pub output: String,
    /// What came of its packets.
    pub packets: Option<StepPackets>,
    /// Why it was not done, or what a reader should know of it.
    pub note: Option<String>,
    /// What is not as expected, the first time that it is not.
    pub failed: Option<String>,
}

/// What came of the packets of a step.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct StepPackets {
    /// Given to the stack.
    pub given: u64,
    /// Come out at the other side of the filter that had them first, or gone past it.
    pub passed: u64,
    /// Completed or returned by it.
    pub dropped: u64,
}
