//! What one run found: the only source of both the screen and the JSON object.
//!
//! Every field is decided by the image, the captures, the options and the seed, so that two runs of one
//! command serialise to the same bytes. Times are virtual. A field that only a driver with deferlwf's
//! control device can fill is an `Option`, and `null` for any other image.

mod script;

use std::collections::BTreeMap;

use lab_rules::PassageCount;
use serde::{Deserialize, Serialize};

pub use script::{Script, Step, StepPackets};

/// The result of `lwf-lab run`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Summary {
    /// File name of the image.
    pub image: String,
    /// The version that the driver reports through its control device.
    pub driver_version: Option<String>,
    /// NDIS version that the lab offered, such as `6.89`.
    pub ndis: String,
    /// NDIS version that the driver registered for, if it did.
    pub registered_ndis: Option<String>,
    /// Simulated processors.
    pub processors: u8,
    /// System worker threads.
    pub workers: u8,
    /// The seed that decided every choice of the run.
    pub seed: u64,
    /// The adapters, in the order of the captures.
    pub adapters: Vec<Adapter>,
    /// The filters from top to bottom, if there are several; all else but `violation` and `warnings` is about `image`.
    pub stack: Vec<Stacked>,
    /// Packets of all adapters. One packet is one `NET_BUFFER`.
    pub packets: CountedPackets,
    /// Packets that came out at the filter's other side.
    pub passed: Directions,
    /// Packets that the filter completed or returned without passing them on.
    pub dropped: Directions,
    /// Packets that the filter made itself, copies among them, and sent or indicated.
    pub originated: Directions,
    /// What came of the packets that the filter was given, followed one by one; absent if nothing was demanded of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passage: Option<Passages>,
    /// Bytes of all adapters: the wire frame, a stripped VLAN tag included.
    pub bytes: Counted,
    /// Why packets were not inspected, by reason, without the reasons that never occurred.
    pub not_inspected: Option<Vec<Reason>>,
    /// How many flows the driver keeps.
    pub flow_count: Option<u64>,
    /// The flows, most bytes first.
    pub flows: Option<Vec<Flow>>,
    /// Changes of the driver's mode that were asked for while packets flowed, and what it answered.
    pub mode_changes: Vec<ModeChange>,
    /// The script that was played, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// OID requests: those that the driver was given, and its own.
    pub requests: Vec<Request>,
    /// Requests to the driver's devices, in the order of their ends.
    pub device_requests: Vec<DeviceRequest>,
    /// What the run met of what drivers get wrong, by name: [`lab_kernel::SITUATIONS`] says what each counts.
    pub situations: BTreeMap<String, u64>,
    /// Work items of the driver.
    pub work_items: WorkItems,
    /// Time spent at raised IRQL.
    pub irql: Irql,
    /// Pool memory of the driver.
    pub pool: Pool,
    /// What the machine measured.
    pub machine: Machine,
    /// The monitors.
    pub rules: Rules,
    /// Digest of the event stream: two runs with one digest took the same schedule.
    pub schedule_digest: String,
    /// Events in that stream.
    pub events: u64,
    /// Virtual time of the whole run.
    pub virtual_ns: u64,
    /// Statements that should hold between two independent counts and do not.
    pub disagreements: Vec<String>,
    /// The broken rule that ended the run.
    pub violation: Option<Finding>,
    /// What does not fail a run: advice, and rules that only a sample shows.
    pub warnings: Vec<Finding>,
    /// What a reader of the result should know of the run: symbols that do not fit, a deep stack.
    pub notes: Vec<String>,
    /// What the driver printed with `DbgPrint`.
    pub debug_output: Vec<String>,
    /// The command that repeats this run.
    pub replay: String,
}

impl Summary {
    /// Whether no rule was broken, all counts agree, and all steps of a script came to what was expected of them.
    pub fn is_clean(&self) -> bool {
        let has_failed_steps = self
            .script
            .iter()
            .any(|script| script.failures().next().is_some());
        self.rules.broken == 0
            && self.violation.is_none()
            && self.disagreements.is_empty()
            && !has_failed_steps
    }
}

/// What came of packets, by direction.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Passages {
    /// Of sends.
    pub send: Passage,
    /// Of receives.
    pub receive: Passage,
}

impl Passages {
    /// Of all adapters, or lives: counts of both added, and the worst of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            send: self.send.plus(other.send),
            receive: self.receive.plus(other.receive),
        }
    }
}

impl From<[PassageCount; 2]> for Passages {
    fn from([send, receive]: [PassageCount; 2]) -> Self {
        Self {
            send: send.into(),
            receive: receive.into(),
        }
    }
}

/// What came of the packets of one direction: those that a handler of the filter was given. A copy that the filter makes
/// of one is that one.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Passage {
    /// Packets that the filter was given.
    pub given: u64,
    /// Those that left on the other side.
    pub left: u64,
    /// Those that did not.
    pub dropped: u64,
    /// Those that left after one that had come later.
    pub overtaken: u64,
    /// Those that left twice.
    pub again: u64,
    /// The most that waited in one adapter's filter when it had none in hand.
    pub most_waiting: u64,
    /// The longest virtual time that one, or its copy, was held.
    pub longest_virtual_ns: u64,
}

impl Passage {
    fn plus(self, other: Self) -> Self {
        Self {
            given: self.given + other.given,
            left: self.left + other.left,
            dropped: self.dropped + other.dropped,
            overtaken: self.overtaken + other.overtaken,
            again: self.again + other.again,
            most_waiting: self.most_waiting.max(other.most_waiting),
            longest_virtual_ns: self.longest_virtual_ns.max(other.longest_virtual_ns),
        }
    }
}

impl From<PassageCount> for Passage {
    fn from(count: PassageCount) -> Self {
        Self {
            given: count.given,
            left: count.left,
            dropped: count.given - count.left,
            overtaken: count.overtaken,
            again: count.again,
            most_waiting: count.most_waiting,
            longest_virtual_ns: count.longest_ns,
        }
    }
}

/// A change of mode that the driver was asked for.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ModeChange {
    /// Interface index of the adapter.
    pub if_index: u32,
    /// The mode that was wanted: `off`, `tap` or `inline`.
    pub mode: String,
    /// The `NTSTATUS` that the request ended with; 0 is success.
    pub status: u32,
}

/// An OID request that the driver was given, or sent on its own account.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Index of the adapter, from 0.
    pub adapter: u32,
    /// The interface: `regular`, `direct` or `synchronous`.
    pub interface: String,
    /// Whether it is the driver's own.
    pub is_own: bool,
    /// What it is for: `query`, `set` or `method`.
    pub kind: String,
    /// The OID.
    pub oid: u32,
    /// The port that it is for.
    pub port: u32,
    /// The IRQL at which it came, or went.
    pub irql: u8,
    /// Bytes of the information buffer: what may be written, of a set what may be read.
    pub room_bytes: u32,
    /// The state of the filter module when it came, or went.
    pub state: String,
    /// Whether it has gone down: itself if it is the driver's own, else a clone.
    pub has_gone_down: bool,
    /// How many of the driver's own were under way already at its adapter, by its interface, if it is one of them.
    pub own_meanwhile: u32,
    /// Whether it was left pending.
    pub was_pending: bool,
    /// Whether it was cancelled while it was under way.
    pub was_cancelled: bool,
    /// Whether it was cancelled before its handler had returned.
    pub was_cancelled_in_handler: bool,
    /// Whether it has ended with `NDIS_STATUS_INDICATION_REQUIRED`, and a status indication for it has followed.
    pub was_told_later: bool,
    /// The `NDIS_STATUS` that it has ended with, if it has.
    pub status: Option<u32>,
    /// `BytesWritten`, of a set `BytesRead`, at the end.
    pub done_bytes: u32,
    /// `BytesNeeded` at the end.
    pub needed_bytes: u32,
    /// `SupportedRevision` at the end.
    pub supported_revision: u8,
}

/// A request to one of the driver's devices.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct DeviceRequest {
    /// `IRP_MJ_…`: 14 is `IRP_MJ_DEVICE_CONTROL`.
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

/// One simulated adapter.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Adapter {
    /// Its name in the lab.
    pub name: String,
    /// Its MAC address.
    pub mac: String,
    /// File name of the capture that it replays; `None` for an adapter without traffic.
    pub capture: Option<String>,
    /// How the direction of its packets was decided.
    pub direction_by: String,
    /// What is missing or made up in its traffic.
    pub notes: Vec<String>,
    /// The states that the filter module went through on it.
    pub states: Vec<String>,
    /// The driver's mode on it at the end of the traffic: `off`, `tap` or `inline`.
    pub mode: Option<String>,
    /// Packets on this adapter.
    pub packets: CountedPackets,
    /// Packets that came out at the filter's other side.
    pub passed: Directions,
    /// Bytes on this adapter.
    pub bytes: Counted,
    /// Wire segments behind the packets: more than those when packets are coalesced.
    pub segments: Directions,
}

/// One quantity as NDIS and as the driver counted it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Counted<D = DriverDirections> {
    /// What passed NDIS.
    pub ndis: Directions,
    /// What the driver reports.
    pub driver: D,
}

/// Packets as NDIS and as the driver counted them.
pub type CountedPackets = Counted<DriverPackets>;

/// A quantity by direction.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Directions {
    /// From the system to the adapter.
    pub send: u64,
    /// From the adapter to the system.
    pub receive: u64,
}

impl Directions {
    /// The sum by direction.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            send: self.send + other.send,
            receive: self.receive + other.receive,
        }
    }
}

/// A quantity by direction that only the driver can tell.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct DriverDirections {
    /// From the system to the adapter.
    pub send: Option<u64>,
    /// From the adapter to the system.
    pub receive: Option<u64>,
}

/// Packets that only the driver can tell.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct DriverPackets {
    /// All that the driver saw.
    #[serde(flatten)]
    pub seen: DriverDirections,
    /// Seen and passed on, but not looked into.
    pub not_inspected: Option<u64>,
}

/// A count with its reason.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The reason in words.
    pub reason: String,
    /// How often.
    pub packets: u64,
}

/// A conversation as the driver keeps it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Name of the adapter.
    pub adapter: String,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or `ip-N` for the IP protocol N.
    pub protocol: String,
    /// Whether ports are part of what identifies the flow; else it is the addresses and the protocol.
    pub by_port: bool,
    /// The end that sent the first packet: address, and port of a flow by port.
    pub a: String,
    /// The other end.
    pub b: String,
    /// Whether A is on this adapter's side.
    pub a_is_local: bool,
    /// From A to B.
    pub a_to_b: Amount,
    /// From B to A.
    pub b_to_a: Amount,
    /// TCP state in words.
    pub tcp_state: Option<String>,
    /// When the driver saw its first packet and its last one, in nanoseconds of the interrupt time.
    pub first_ns: u64,
    /// See `first_ns`.
    pub last_ns: u64,
}

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Packets.
    pub packets: u64,
    /// Bytes of whole frames.
    pub bytes: u64,
}

/// Work items, as the lab saw them and, for `coalesced` and `max_batch`, as the driver reports.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct WorkItems {
    /// Allocated by the driver.
    pub allocated: u64,
    /// Times that one was queued.
    pub queued: u64,
    /// Wishes to queue that a pending item already satisfied.
    pub coalesced: Option<u64>,
    /// Times that a routine ran.
    pub runs: u64,
    /// Freed by the driver.
    pub freed: u64,
    /// Most packets that one run drained.
    pub max_batch: Option<u64>,
    /// Inspected packets per run.
    pub packets_per_run: Option<f64>,
    /// Virtual time from queue to run.
    pub queue_to_run_virtual_ns: Option<Spread>,
    /// Highest IRQL at which a routine was entered.
    pub entry_irql: Option<u8>,
    /// Runs on a system worker thread.
    pub runs_on_system_thread: u64,
    /// Most runs of one item that were on at the same time.
    pub max_concurrent: u64,
    /// The same by function, of NDIS and of WDM.
    #[serde(default)]
    pub functions: BTreeMap<String, WorkItemFunction>,
}

/// What was done with one function of the work items.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct WorkItemFunction {
    /// Calls that did what they are there for: an item was allocated, queued, freed.
    pub calls: u64,
    /// Runs of routines that were queued with it.
    pub runs: u64,
}

/// Minimum, median and maximum.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Smallest value.
    pub min: u64,
    /// Median (the lower one of two).
    pub median: u64,
    /// Largest value.
    pub max: u64,
}

impl Spread {
    /// Summarises `values`; `None` when there are none.
    pub fn of(values: &[u64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let middle = sorted.len().checked_sub(1)? / 2;
        Some(Self {
            min: *sorted.first()?,
            median: *sorted.get(middle)?,
            max: *sorted.last()?,
        })
    }
}

/// The longest stay at `DISPATCH_LEVEL`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Irql {
    /// Imports that were called in one stay, at most.
    pub longest_dispatch_calls: u64,
    /// The longest stay in virtual nanoseconds.
    pub longest_dispatch_virtual_ns: u64,
}

/// Pool memory.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Allocations made.
    pub allocations: u64,
    /// Most bytes held at one time.
    pub peak_bytes: u64,
    /// Bytes still held after unload.
    pub left_bytes: u64,
}

/// What the machine measured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Import calls of the driver.
    pub imports: u64,
    /// The deepest use of a kernel stack, which has 24 KiB, seen at an import.
    pub stack_peak_bytes: u64,
    /// Where that was, innermost frame first, if it was half of the stack or more.
    pub stack_peak: Vec<StackFrame>,
    /// Instructions in the image whose results no seed decides, with their place.
    pub not_reproducible: Vec<String>,
}

/// Monitors.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// Rules that were watched.
    pub checked: u64,
    /// Rules that the driver broke.
    pub broken: u64,
    /// Rules that were switched off.
    pub without: Vec<String>,
}

/// One filter of a stack.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Stacked {
    /// File name of its image.
    pub image: String,
    /// Packets that it was given, those that others of the stack have made among them.
    pub packets: Directions,
    /// Packets of those that it passed on.
    pub passed: Directions,
    /// Packets that it made itself.
    pub originated: Directions,
}

/// A broken rule, or advice, with its place in the driver.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name of the rule.
    pub rule: String,
    /// Microsoft's name for it, where one exists.
    pub official_name: Option<String>,
    /// What a breach leads to on a real system.
    pub severity: String,
    /// What the documentation demands.
    pub statement: String,
    /// The documentation page that demands it.
    pub page: String,
    /// File name of the image that did it, where a stack has several.
    pub image: Option<String>,
    /// What the driver did.
    pub happened: String,
    /// Where: callback, thread, processor and IRQL.
    pub context: String,
    /// How Windows would stop, where it defines that.
    pub bugcheck: Option<Bugcheck>,
    /// What follows where it does not, in words; `None` with a stop code.
    pub consequence: Option<String>,
    /// Driver frames, innermost first; empty when no driver code was running.
    pub stack: Vec<StackFrame>,
    /// The objects that it is about, at most two, with what happened to each.
    pub objects: Vec<Object>,
    /// The events before it, oldest first.
    pub history: Vec<String>,
}

/// What happened to an object that the driver had to do with.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Object {
    /// Such as `NET_BUFFER_LIST` or `work item`.
    pub kind: String,
    /// Address or handle, in hexadecimal.
    pub address: String,
    /// Who has it at the end.
    pub holder: String,
    /// Steps, oldest first; of many, the first ones and the last ones.
    pub steps: Vec<ObjectStep>,
    /// Steps that are left out between those.
    pub left_out: u64,
}

/// One thing that happened to an object.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ObjectStep {
    /// What, such as `allocated`.
    pub what: String,
    /// When.
    pub virtual_ns: u64,
    /// The number of the kernel thread or DPC.
    pub thread: u32,
    /// The virtual processor.
    pub processor: u8,
    /// Its level.
    pub irql: u8,
    /// Driver frames, innermost first.
    pub stack: Vec<StackFrame>,
}

/// A stop code with its parameters, in hexadecimal as Windows shows them.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Bugcheck {
    /// Such as `0x000000C4`.
    pub code: String,
    /// Such as `DRIVER_VERIFIER_DETECTED_VIOLATION`.
    pub name: String,
    /// Four values such as `0x0000000000000002`.
    pub parameters: Vec<String>,
}

/// One frame of the driver's stack.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct StackFrame {
    /// Function, or image and offset when there are no symbols.
    pub function: String,
    /// Source file.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<u32>,
}
