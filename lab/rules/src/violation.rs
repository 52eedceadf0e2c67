//! A broken rule, as it is reported.

use crate::{BugCheck, Rule};

/// A broken rule: what the run says about it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The rule.
    pub rule: &'static Rule,
    /// The file name of the image that did it, where a stack has several.
    pub image: Option<String>,
    /// What the driver did, in one sentence.
    pub happened: String,
    /// How Windows would stop, where it defines that.
    pub bug_check: Option<BugCheck>,
    /// The driver's stack, innermost frame first; empty when no driver code was running.
    pub stack: Vec<StackFrame>,
    /// The objects that it is about, with what happened to each.
    pub objects: Vec<ObjectHistory>,
    /// The last events before it, oldest first, one line each.
    pub history: Vec<String>,
    /// The callback that was running: `FilterSendNetBufferLists`.
    pub callback: Option<&'static str>,
    /// The level the processor was at.
    pub irql: u8,
    /// The virtual processor.
    pub processor: u8,
    /// The name of the kernel thread or DPC.
    pub thread: String,
    /// Virtual nanoseconds since load.
    pub time_ns: u64,
    /// The seed that repeats it.
    pub seed: u64,
}

/// What happened to an object that the driver had to do with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectHistory {
    /// What it is: `NET_BUFFER_LIST`.
    pub noun: &'static str,
    /// Its address or handle.
    pub address: u64,
    /// Who has it now, in words.
    pub holder: &'static str,
    /// Steps, oldest first; of many, the first ones and the last ones.
    pub steps: Vec<ObjectStep>,
    /// How many are left out between those.
    pub left_out: u64,
}

impl ObjectHistory {
    /// How many of an object's first steps are kept, whatever comes later.
    pub const FIRST: usize = 2;
}

/// One thing that happened to an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectStep {
    /// Virtual nanoseconds since load.
    pub time_ns: u64,
    /// The virtual processor.
    pub processor: u8,
    /// The number of the kernel thread or DPC.
    pub thread: u32,
    /// The level of the processor.
    pub irql: u8,
    /// What: `allocated`.
    pub what: &'static str,
    /// The driver's stack, innermost frame first.
    pub stack: Vec<StackFrame>,
}

/// One frame of a driver's stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackFrame {
    /// The file name of the image, where a stack has several.
    pub image: Option<String>,
    /// The return (or fault) address relative to the image.
    pub rva: u64,
    /// The function's name.
    pub function: Option<String>,
    /// The source file.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
}
