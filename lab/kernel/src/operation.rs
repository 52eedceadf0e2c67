//! What can be done to a filter from outside: by protocols, adapters, NDIS and programs.
//!
//! A hard life does what its seed chooses ([`Chaos`](crate::Chaos)), a script what its author says ([`Script`]). Both are
//! made of [`Operation`]s, which one place carries out. What an operation leaves open the seed decides.

use lab_rules::event::{OidKind, OidPath};

use crate::{Direction, Frame, Request};

/// One thing that is done to the filters on an adapter, or to their devices.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Packets come.
    Traffic(Traffic),
    /// A protocol cancels sends: some that are on their way if there are any, or what nobody has.
    CancelSend,
    /// A request is made; without one, any that an adapter may be asked for.
    Oid(Option<OidAsk>),
    /// The adapter indicates a status; without one, that its link is up, or down.
    Status(Option<StatusIndication>),
    /// Filters hear of an event; without one, of two that concern nothing that a filter holds.
    Event(Option<Event>),
    /// The adapter goes to another power state; without one, to sleep and back, with a pause in between or without.
    Power(Option<PowerState>),
    /// The stack pauses, from the top.
    Pause,
    /// What is paused restarts, from below.
    Restart,
    /// Both, with some time in between.
    PauseAndRestart,
    /// A filter is removed from the stack.
    Detach,
    /// It is inserted again.
    Attach,
    /// Both, with some time in between.
    Reattach,
    /// The administrator of [`RunConfig::control`](crate::RunConfig::control) opens the device, asks, and closes it.
    Control(Request),
    /// A program does something with a file of a device.
    File(FileOperation),
    /// Nothing is done for so long, in ns of virtual time.
    Sleep(u64),
    /// Nothing is done until all packets are home and the worker threads idle, for at most so long.
    Settle(u64),
}

impl Operation {
    /// What people call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Traffic(_) => "traffic",
            Self::CancelSend => "cancelled send",
            Self::Oid(_) => "OID request",
            Self::Status(_) => "status",
            Self::Event(_) => "PnP event",
            Self::Power(_) => "power",
            Self::Pause => "pause",
            Self::Restart => "restart",
            Self::PauseAndRestart => "pause and restart",
            Self::Detach => "detach",
            Self::Attach => "attach",
            Self::Reattach => "detach and attach",
            Self::Control(_) => "mode change",
            Self::File(_) => "device request",
            Self::Sleep(_) | Self::Settle(_) => "wait",
        }
    }
}

/// Packets of one direction.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Which way they go.
    pub direction: Direction,
    /// The frames, in order. Their own directions do not count.
    pub frames: Vec<Frame>,
    /// NET_BUFFER_LISTs of one call, at most; at least 1.
    pub batch: u32,
    /// The port that they are for, or come from.
    pub port: u32,
    /// Whether receives are only lent, as by a miniport that is short of memory.
    pub is_lent: bool,
}

/// A request.
#[derive(Clone, Debug)]
pub struct OidAsk {
    /// By which interface.
    pub path: OidPath,
    /// What it is for.
    pub kind: OidKind,
    /// The OID.
    pub oid: u32,
    /// The port that it is for.
    pub port: u32,
    /// Bytes of input, of a set or a method; random ones of [`Self::length`] if left open.
    pub input: Option<Vec<u8>>,
    /// `InformationBufferLength`, or `InputBufferLength`.
    pub length: u32,
    /// `OutputBufferLength`, of a method.
    pub output_length: u32,
    /// Whether its header is that of a request: some protocols fill in none.
    pub has_header: bool,
    /// Whether it is cancelled before it has ended, if that can be; open, at times.
    pub is_cancelled: Option<bool>,
}

/// A status that the adapter indicates.
#[derive(Clone, Debug)]
pub struct StatusIndication {
    /// `StatusCode`.
    pub code: u32,
    /// `PortNumber`.
    pub port: u32,
    /// The status buffer.
    pub data: Vec<u8>,
}

/// An event of Plug and Play.
#[derive(Clone, Debug)]
pub struct Event {
    /// Which way it goes.
    pub way: EventWay,
    /// `NET_PNP_EVENT_CODE`, or `NDIS_DEVICE_PNP_EVENT`.
    pub code: u32,
    /// The buffer that comes with it.
    pub data: Vec<u8>,
}

/// Which way an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventWay {
    /// A network PnP event, up the stack.
    Up,
    /// A device PnP event, down the stack.
    Down,
}

/// A power state of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerState {
    /// It works.
    D0,
    /// It sleeps lightly.
    D1,
    /// It sleeps.
    D2,
    /// It is off.
    D3,
}

/// What a program does with a file of a device.
#[derive(Clone, Debug)]
pub struct FileOperation {
    /// Which file, by a number of the caller's.
    pub file: u32,
    /// What.
    pub call: FileCall,
}

/// A call of a program.
#[derive(Clone, Debug)]
pub enum FileCall {
    /// `IRP_MJ_CREATE`.
    Open {
        /// The NT name of the device.
        device: String,
        /// What follows the device's name in the path that is opened; empty for the device itself.
        name: String,
    },
    /// `IRP_MJ_DEVICE_CONTROL`, `IRP_MJ_READ` or `IRP_MJ_WRITE`.
    Send(Request),
    /// `IRP_MJ_CLEANUP`: the last handle is closed.
    Cleanup,
    /// The same, then `IRP_MJ_CLOSE`.
    Close,
}

/// What came of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Why it was not done, if so.
    pub undone: Option<&'static str>,
    /// What a reader should know: that it went past the filter.
    pub note: Option<&'static str>,
    /// The `NTSTATUS` or `NDIS_STATUS` that it has ended with, if it has one.
    pub status: Option<u32>,
    /// Bytes of output.
    pub output: Vec<u8>,
    /// Bytes that were written or read, as who has answered says.
    pub bytes: Option<u64>,
    /// What came of its packets.
    pub packets: Option<Packets>,
}

impl Outcome {
    pub(crate) fn done() -> Self {
        Self::default()
    }

    pub(crate) fn undone(why: &'static str) -> Self {
        Self {
            undone: Some(why),
            ..Self::default()
        }
    }

    /// Whether it was done; if not, why.
    pub(crate) fn done_if(is_done: bool, why: &'static str) -> Self {
        if is_done {
            Self::done()
        } else {
            Self::undone(why)
        }
    }

    pub(crate) fn past() -> Self {
        Self {
            note: Some("no filter has a handler for it"),
            ..Self::default()
        }
    }

    pub(crate) fn with_status(status: u32) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }
}

/// What came of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packets {
    /// Given to the stack.
    pub given: u64,
    /// Come out at the other side of the filter that was given them, or gone past it.
    pub passed: u64,
    /// Neither: the filter has completed or returned them.
    pub dropped: u64,
}

/// What is done to filters, and in which order.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// One after the other.
    pub steps: Vec<Step>,
}

/// A step of a script.
#[derive(Clone, Debug)]
pub struct Step {
    /// How often.
    pub times: u32,
    /// What.
    pub what: Act,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Act {
    /// One operation.
    One(Target),
    /// Several sequences of steps at the same time; the step has ended when all have.
    Parallel(Vec<Vec<Step>>),
}

/// An operation and what it is done to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The number of the step, by which its outcome is told.
    pub number: u32,
    /// The adapter.
    pub adapter: u32,
    /// The image of a stack, counted from the top; open, the first that is concerned.
    pub image: Option<u8>,
    /// What is done.
    pub operation: Operation,
}

/// How a step was done, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Performance {
    /// The number of the step.
    pub number: u32,
    /// When it began, in ns of virtual time.
    pub begun_ns: u64,
    /// When it ended; `None` if the run has ended before.
    pub ended_ns: Option<u64>,
    /// What came of it.
    pub outcome: Outcome,
}
