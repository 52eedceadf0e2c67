//! What a run found out. Plain data; times are virtual.

use std::collections::BTreeMap;

use lab_rules::event::{OidKind, OidPath};
use lab_rules::{PassageCount, StackFrame, Violation};

use crate::timeline::Moment;
use crate::{Answer, CallSite, ControlPhase, Direction, Performance, Request};

/// The outcome of a run that could be carried out, rule broken or not.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed that repeats it.
    pub seed: u64,
    /// The NDIS version that the driver registered for (`0x0006_0059` is 6.89), if it did.
    pub registered_version: Option<u32>,
    /// Per adapter, in configuration order.
    pub adapters: Vec<AdapterReport>,
    /// The filters of the stack from top to bottom, if there are several. All else is about the image that the
    /// configuration names first, but violation and warnings.
    pub stack: Vec<StackedReport>,
    /// I/O work items, NDIS and WDM families together.
    pub work_items: WorkItemReport,
    /// What the filter kept.
    pub holds: HoldReport,
    /// What was done with I/O work items, by function.
    pub work_item_functions: BTreeMap<&'static str, WorkItemFunction>,
    /// OID requests: those that the filter was given, and its own.
    pub requests: Vec<RequestReport>,
    /// Requests to the driver's devices, in the order of their ends.
    pub device_requests: Vec<DeviceRequestReport>,
    /// What the run met of what drivers get wrong, by the names of [`SITUATIONS`](crate::SITUATIONS).
    pub situations: BTreeMap<&'static str, u64>,
    /// The longest time a processor stayed at DISPATCH_LEVEL or above, counted in imports.
    pub longest_dispatch: DispatchReport,
    /// Memory that the driver allocated.
    pub pool: PoolReport,
    /// How many rules were watched, and which were broken.
    pub rules: RuleReport,
    /// The first fatal violation; it ended the run.
    pub violation: Option<Violation>,
    /// What does not fail a run: broken rules of severity `style` or strength `sample`.
    pub warnings: Vec<Violation>,
    /// BLAKE3 over the event stream, as lower-case hex.
    pub schedule_digest: String,
    /// The number of events.
    pub events: u64,
    /// Virtual nanoseconds from load to the end.
    pub virtual_ns: u64,
    /// Whether the driver created the device named in the configuration; `None` without one.
    pub control_device_found: Option<bool>,
    /// Every control request in order.
    pub control: Vec<ControlRecord>,
    /// What the machine measured.
    pub machine: MachineReport,
    /// Control operations that were carried out, by name.
    pub operations: BTreeMap<&'static str, u64>,
    /// How the steps of the script were done, in the order in which they began.
    pub steps: Vec<Performance>,
    /// The call stacks that could fail, in the order in which they were first seen; empty unless
    /// the configuration has [`RunConfig::faults`](crate::RunConfig::faults).
    pub call_sites: Vec<CallSiteReport>,
    /// What ran where and when; empty unless the configuration has
    /// [`RunConfig::keeps_timeline`](crate::RunConfig::keeps_timeline).
    pub timeline: Vec<Moment>,
    /// Why the driver did not load, when a call that was made to fail led to that.
    pub refusal: Option<String>,
    /// What the driver printed with `DbgPrint`, without line ends; at most 1,000 lines.
    pub debug_output: Vec<String>,
}

/// One filter of a stack after the run.
#[derive(Clone, Debug, Default)]
pub struct StackedReport {
    /// The file name of its image.
    pub image: String,
    /// Per adapter, in configuration order, as it saw them.
    pub adapters: Vec<AdapterReport>,
}

/// One adapter after the run.
#[derive(Clone, Debug, Default)]
pub struct AdapterReport {
    /// The configured name.
    pub name: String,
    /// The `NET_IFINDEX` that the driver was given for it.
    pub if_index: u32,
    /// The configured address.
    pub mac: [u8; 6],
    /// The states its filter module went through: `Detached`, `Attaching`, `Paused`, …
    pub states: Vec<&'static str>,
    /// Sends as NDIS counted them at the filter's upper edge.
    pub send: TrafficCount,
    /// Receives as NDIS counted them at the filter's lower edge.
    pub receive: TrafficCount,
    /// How the miniport below treated sends: `prompt`, `slow`, `refusing` or `stuck`.
    pub lower_edge: &'static str,
    /// Both counts as they were when the control device was asked before the pause, if there was a time for that: packets
    /// may also come later.
    pub before_pause: Option<[TrafficCount; 2]>,
    /// What came of the packets that the filter was given, one by one: sends and receives. Only if something was demanded
    /// of it.
    pub passage: Option<[PassageCount; 2]>,
}

impl AdapterReport {
    /// Whether the driver refused to attach at some time.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        self.states
            .windows(2)
            .any(|states| states == ["Attaching", "Detached"])
    }

    /// The counts of one direction.
    #[must_use]
    pub fn traffic(&self, direction: Direction) -> &TrafficCount {
        match direction {
            Direction::Send => &self.send,
            Direction::Receive => &self.receive,
        }
    }
}

/// Packets (one NET_BUFFER each) and bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficCount {
    /// Frames given to the filter.
    pub packets: u64,
    /// Their bytes on the wire, a stripped VLAN tag (4 bytes) included.
    pub bytes: u64,
    /// Frames that came out at the filter's other side.
    pub passed: u64,
    /// Frames that went past the filter, which was away, or out of the datapath by its own wish.
    pub past: u64,
    /// Frames that the filter dropped: completed or returned without passing them on.
    pub dropped: u64,
    /// Frames that the filter originated itself.
    pub originated: u64,
    /// Wire segments behind the frames (equal to `packets` without coalescing).
    pub segments: u64,
}

/// What was done with I/O work items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkItemReport {
    /// Items allocated.
    pub allocated: u64,
    /// Times an item was queued.
    pub queued: u64,
    /// Times a routine ran.
    pub runs: u64,
    /// Items freed.
    pub freed: u64,
    /// Most routines of one item that ran at the same time.
    pub max_concurrent: u64,
    /// Virtual nanoseconds from queue to run, one value per run in the order of the runs.
    pub queue_to_run_ns: Vec<u64>,
    /// The highest level at which a routine was entered; `None` when none ran.
    pub entry_irql: Option<u8>,
    /// Runs on a system worker thread: all of them.
    pub runs_on_system_thread: u64,
}

/// What the filter kept of what it was given, low resources apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldReport {
    /// Structures that it had when a pause began, over all pauses.
    pub held_at_pause: u64,
    /// The longest virtual time that it had one.
    pub longest_ns: u64,
    /// The longest virtual time that `FilterPause` ran.
    pub longest_pause_ns: u64,
}

/// What was done with one function of the work items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkItemFunction {
    /// Calls that did what they are there for: an item was allocated, queued, freed.
    pub calls: u64,
    /// Runs of routines that were queued with it.
    pub runs: u64,
}

/// An OID request that the filter was given, or sent on its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestReport {
    /// The adapter.
    pub adapter: u32,
    /// The interface by which it came, or went.
    pub path: OidPath,
    /// Whether it is the filter's own.
    pub is_own: bool,
    /// What it is for.
    pub kind: OidKind,
    /// The OID.
    pub oid: u32,
    /// `RequestId`.
    pub id: u64,
    /// `RequestHandle`.
    pub handle: u64,
    /// The IRQL at which it came, or went.
    pub irql: u8,
    /// `PortNumber`.
    pub port: u32,
    /// Bytes of the information buffer: what may be written or read.
    pub room_bytes: u32,
    /// The state of the filter module when it came, or went.
    pub state: &'static str,
    /// Whether it has gone down: itself if it is the filter's own, else a clone.
    pub has_gone_down: bool,
    /// How many of the filter's own were under way already at its adapter, by its interface, if it is one of them.
    pub own_meanwhile: u32,
    /// Whether it was left pending.
    pub was_pending: bool,
    /// Whether it was cancelled while it was under way.
    pub was_cancelled: bool,
    /// Whether it was cancelled before its handler had returned.
    pub was_cancelled_in_handler: bool,
    /// Whether it has ended with NDIS_STATUS_INDICATION_REQUIRED, and a status indication for it has followed.
    pub was_told_later: bool,
    /// What it has ended with; `None` if it has not.
    pub status: Option<u32>,
    /// `BytesWritten` or `BytesRead` at the end.
    pub done_bytes: u32,
    /// `BytesNeeded` at the end.
    pub needed_bytes: u32,
    /// `SupportedRevision` at the end.
    pub supported_revision: u8,
}

/// A request to one of the driver's devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequestReport {
    /// `IRP_MJ_…`.
    pub major: u32,
    /// The control code, of `IRP_MJ_DEVICE_CONTROL`.
    pub code: u32,
    /// Bytes of input.
    pub input_bytes: u32,
    /// Bytes of output that there was room for.
    pub room_bytes: u32,
    /// Whether it came with a file object: what another driver asks may have none.
    pub has_file: bool,
    /// Whether it was left pending.
    pub was_pending: bool,
    /// The `NTSTATUS` that it has ended with.
    pub status: u32,
    /// Bytes of output.
    pub output_bytes: u32,
}

/// The longest stay at DISPATCH_LEVEL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatchReport {
    /// Import calls that the driver made during it.
    pub imports: u64,
    /// Its virtual time.
    pub virtual_ns: u64,
}

/// What the machine measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineReport {
    /// Import calls of the driver.
    pub imports: u64,
    /// The deepest use of a 24 KiB kernel stack seen at an import, in bytes.
    pub stack_peak_bytes: u64,
    /// Where that was, innermost frame first, if it was 12 KiB or more.
    pub stack_peak: Vec<StackFrame>,
    /// Instructions in the image whose results a seed does not decide (`rdrand`, `cpuid`): offset
    /// in the image and mnemonic.
    pub nondeterministic: Vec<(u32, &'static str)>,
}

/// Pool memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolReport {
    /// Allocations made.
    pub allocations: u64,
    /// The most bytes held at one time.
    pub peak_bytes: u64,
    /// Bytes that were left after unload.
    pub left_bytes: u64,
    /// Per tag in tag order.
    pub tags: Vec<PoolTagReport>,
}

/// Pool memory of one tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolTagReport {
    /// The four characters, as a pool tool shows them.
    pub tag: String,
    /// Allocations made.
    pub allocations: u64,
    /// The most bytes held at one time.
    pub peak_bytes: u64,
    /// Bytes that were left after unload.
    pub left_bytes: u64,
}

/// Which rules were watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleReport {
    /// Rules that a monitor or an import check watched in this run.
    pub checked: u64,
    /// Identifiers of the broken ones that fail a run.
    pub broken: Vec<&'static str>,
}

/// A call stack that could fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSiteReport {
    /// Which.
    pub site: CallSite,
    /// Whether the call fails for want of memory.
    pub is_allocation: bool,
    /// How often it was met.
    pub calls: u64,
    /// Whether it was made to fail, the first time.
    pub has_failed: bool,
    /// The driver's stack.
    pub frames: Vec<StackFrame>,
}

/// One control request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// When it was asked.
    pub phase: ControlPhase,
    /// What went in.
    pub request: Request,
    /// What came out.
    pub answer: Answer,
}

/// What the run is doing, for a person who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `load`, `attach`, `traffic`, `pause`, `detach`, `unload`.
    pub phase: &'static str,
    /// Frames whose buffers are home again.
    pub frames_done: u64,
    /// Frames in all.
    pub frames_total: u64,
    /// Virtual nanoseconds.
    pub virtual_ns: u64,
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The image or the configuration cannot be run (exit code 2): one line that begins with the
    /// image's file name, or names the option.
    BadInput(String),
    /// The image imports what the lab does not have (exit code 2).
    UnknownImports {
        /// The image's file name.
        image: String,
        /// All of it, as `module!name`.
        names: Vec<String>,
    },
    /// The lab itself failed (exit code 3).
    Lab(String),
}

/// Names of imports in a line, at most.
const NAMES_SHOWN: usize = 12;

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadInput(line) => f.write_str(line),
            Self::UnknownImports { image, names } => {
                let shown = names.get(..NAMES_SHOWN).unwrap_or(names);
                let count = match names.len() {
                    1 => "1 import is".to_owned(),
                    count => format!("{count} imports are"),
                };
                write!(
                    f,
                    "{image}: {count} unknown to the lab: {}",
                    shown.join(", ")
                )?;
                match names.len() - shown.len() {
                    0 => Ok(()),
                    more => write!(f, ", and {more} more"),
                }
            }
            Self::Lab(line) => write!(f, "fault of the lab: {line}"),
        }
    }
}

impl std::error::Error for Failure {}
