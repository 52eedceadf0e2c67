//! What one run is made of: the image, the seed, the simulated machine and the traffic.

use std::path::PathBuf;

use lab_rules::Demands;

use crate::operation::Script;
use crate::trace::TraceSession;

/// Everything that decides a run. The same configuration gives the same run, byte for byte.
pub struct RunConfig {
    /// The bytes of the `.sys` file.
    pub image: Vec<u8>,
    /// The file name of the image, as reports print it (`deferlwf.sys`).
    pub image_name: String,
    /// The program database for function names and source lines; without it reports show offsets.
    pub pdb: Option<PathBuf>,
    /// Other filters on every adapter above the image, the nearest first: three others at most, with those below.
    pub above: Vec<StackedImage>,
    /// Other filters below it, the nearest first.
    pub below: Vec<StackedImage>,
    /// Decides every choice that Windows leaves open.
    pub seed: u64,
    /// What the adapters' medium is said to be.
    pub media: Media,
    /// The NDIS minor version that the simulated system offers: 84 to 89 (6.84 to 6.89).
    pub ndis_minor: u8,
    /// Virtual processors, 1 to 16.
    pub processors: u8,
    /// System worker threads, 2 to 16.
    pub workers: u8,
    /// The adapters that the filter attaches to, at least one.
    pub adapters: Vec<AdapterConfig>,
    /// Registry values: the same for the driver's and for every adapter's parameters, and for all images of a stack.
    pub parameters: Vec<(String, ParameterValue)>,
    /// Files that the disk of each image has from the beginning.
    pub files: Vec<DiskFile>,
    /// When the stacks stop.
    pub stop: Stop,
    /// Whether sends are cancelled, packets come while a module does not run, sends are looped back,
    /// and the stacks stop while the filter may still hold packets; so it is in a hard life anyway.
    /// Such packets come beside those of the adapters.
    pub disturb: bool,
    /// Who talks to the control device, if anyone.
    pub control: Option<Control>,
    /// Control operations at any moment of the traffic, if the life is to be a hard one.
    pub chaos: Option<Chaos>,
    /// What is done to the filters, next to the traffic. With a script nothing is asked and indicated that it does not
    /// say, and adapters refuse nothing, unless [`Self::disturb`] is set.
    pub script: Option<Script>,
    /// The call stacks of the image that fail, each the first time that it is seen. With a list, an empty one
    /// too, [`Report::call_sites`](crate::Report::call_sites) tells every stack that could fail.
    pub faults: Option<Vec<CallSite>>,
    /// A trace session and who reads it.
    pub trace: Option<TraceSession>,
    /// Identifiers of rules that are not watched.
    pub without: Vec<String>,
    /// What is demanded beyond what pages state.
    pub demands: Demands,
    /// Whether [`Report::timeline`](crate::Report::timeline) is kept.
    pub keeps_timeline: bool,
    /// What is measured on the first adapter in place of its traffic; its frames are what the packets are made of.
    /// Nobody watches meanwhile.
    pub loads: Option<NextLoad>,
}

/// Takes what came of the last load, and gives the next.
pub type NextLoad = Box<dyn FnMut(Option<Result<Sample, String>>) -> Option<Load>>;

/// Packets that a filter is given as fast as it takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Which way they go.
    pub direction: Direction,
    /// The length of those frames of the adapter that are used, in bytes.
    pub bytes: u32,
    /// Packets of one call, each in a NET_BUFFER_LIST of its own.
    pub batch: u32,
    /// Whether the same few structures go round, rather than more than caches hold.
    pub is_hot: bool,
    /// Whether they go past the filter: then the lab alone is measured.
    pub is_past: bool,
    /// How often what the lab adds to the driver's time is done once more, with no effect: up to 2.
    pub again: u8,
    /// The least time, in ns.
    pub least_ns: u64,
}

impl Load {
    pub(crate) fn has_same_structures(self, other: Self) -> bool {
        let structures = |it: Self| (it.direction, it.bytes, it.batch, it.is_hot);
        structures(self) == structures(other)
    }
}

/// What a load came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Packets that went through.
    pub packets: u64,
    /// All the time that it took, in ns.
    pub elapsed_ns: f64,
    /// Time of it in the driver's code, in ns, with the way there and back, and with those imports that the driver runs
    /// itself.
    pub driver_ns: f64,
    /// How far that may be wrong for what was taken off for the other imports and for the clock, in ns.
    pub doubt_ns: f64,
    /// Calls of imports.
    pub imports: u64,
    /// Whether another process had the processor meanwhile.
    pub is_interrupted: bool,
}

/// A file of the simulated disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFile {
    /// Its full name, such as `\??\C:\ProgramData\my.dat`; see [`check_disk_name`](crate::check_disk_name).
    pub name: String,
    /// What is in it.
    pub data: Vec<u8>,
}

/// Another filter of the stack.
#[derive(Clone, Debug)]
pub struct StackedImage {
    /// The bytes of the `.sys` file.
    pub image: Vec<u8>,
    /// Its file name, as reports print it.
    pub name: String,
    /// Its program database.
    pub pdb: Option<PathBuf>,
}

/// What makes a life hard: the neighbours use several threads, worker threads come late, packets may
/// still flow when the stack is torn down, and NDIS does what it may do at any moment.
#[derive(Clone, Debug, Default)]
pub struct Chaos {
    /// Control operations per adapter: status, PnP, power, pause and restart, detach and attach,
    /// requests to the devices, changes of mode, cancelled sends; those that the driver has handlers for.
    pub operations: u32,
    /// IOCTL codes and inputs that the driver's devices know; the seed spoils some of them.
    pub requests: Vec<(u32, Vec<u8>)>,
    /// The requests to the device of [`RunConfig::control`] that change the mode of each adapter.
    pub modes: Vec<Vec<Request>>,
}

/// A call of an import, told by the driver's stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallSite {
    /// The import that is called.
    pub import: String,
    /// Offsets of the return addresses in the image, innermost first; without any, every stack.
    pub stack: Vec<u32>,
}

/// The medium of an adapter (`NDIS_MEDIUM`) as filters are told; by default it is Ethernet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// In `FilterAttach`.
    pub attach: u32,
    /// In `FilterRestart`.
    pub restart: u32,
}

/// When the stacks stop. In all cases every packet is home by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// The worker threads are idle.
    #[default]
    Idle,
    /// Work items may be queued or running: nobody asks the control device before the pause.
    Busy,
    /// As with `Idle`, but not before the driver is unloaded: NDIS pauses and detaches inside
    /// `NdisFDeregisterFilterDriver`.
    InUnload,
}

/// One simulated Ethernet adapter and what passes through it.
#[derive(Clone, Debug)]
pub struct AdapterConfig {
    /// A name for people; also the adapter's friendly name.
    pub name: String,
    /// The current MAC address.
    pub mac: [u8; 6],
    /// The frames in capture order; the order of each direction is kept.
    pub frames: Vec<Frame>,
}

/// One frame on the wire: one NET_BUFFER.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Which way it goes.
    pub direction: Direction,
    /// The frame as it lies in memory: no FCS, and without the tag given in `vlan`.
    pub data: Vec<u8>,
    /// Tag control information that hardware stripped (receive) or will insert (send).
    pub vlan: Option<u16>,
    /// Capture time in nanoseconds since the first frame of the run.
    pub time_ns: u64,
    /// How many wire segments the frame stands for; 1 for an ordinary frame.
    pub segments: u16,
    /// Whether the checksums in `data` are left to the hardware.
    pub checksum_offloaded: bool,
}

/// The direction of a frame, seen from the adapter's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From a protocol down to the wire.
    Send,
    /// From the wire up to a protocol.
    Receive,
}

/// A registry value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterValue {
    /// `REG_DWORD`.
    Integer(u32),
    /// `REG_SZ`.
    String(String),
    /// `REG_MULTI_SZ`.
    MultiString(Vec<String>),
    /// `REG_BINARY`.
    Binary(Vec<u8>),
}

/// A simulated administrator who opens the driver's device and asks.
pub struct Control {
    /// The NT name of the device: `\Device\Deferlwf`.
    pub device: String,
    /// Called once per phase with the open device. Everything it asks is recorded in
    /// [`Report::control`](crate::Report::control), so it needs no state of its own; a driver
    /// fault during a request abandons it, and what it owns at that moment is leaked.
    pub ask: Ask,
    /// Sent one after the other while packets flow: the frames are cut into as many parts as
    /// there are requests, and one more, and a request comes between two parts.
    pub during: Vec<Request>,
    /// Registry values that are written before the first of these, as [`RunConfig::parameters`] are given.
    pub writes: Vec<(String, ParameterValue)>,
}

/// A request to an open device. How its buffers reach the driver is told by the control code, or for reads and writes
/// by the flags of the device object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub kind: RequestKind,
    /// The input buffer; of a write, what is written.
    pub input: Vec<u8>,
    /// The length of the caller's output buffer in bytes; of a read, how much is asked for.
    pub output_len: u32,
    /// What the output buffer holds at first, where a driver can see that: of `METHOD_IN_DIRECT` more input. Zeros
    /// follow, and what is behind `output_len` is left out.
    pub output: Vec<u8>,
    /// Who sends it.
    pub requestor: Requestor,
    /// What the sender's input buffer is, of a sender in user mode.
    pub input_memory: UserMemory,
    /// The same of its output buffer.
    pub output_memory: UserMemory,
    /// After how many virtual nanoseconds it is cancelled, if it was left pending.
    pub cancelled_after_ns: Option<u64>,
}

impl Request {
    /// A control request of user mode, with buffers as they should be.
    #[must_use]
    pub fn io_control(code: u32, input: &[u8], output_len: u32) -> Self {
        Self {
            kind: RequestKind::IoControl { code },
            input: input.to_vec(),
            output_len,
            ..Self::default()
        }
    }

    /// The control code, if it is a control request.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        match self.kind {
            RequestKind::IoControl { code } => Some(code),
            RequestKind::Read { .. } | RequestKind::Write { .. } => None,
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// `IRP_MJ_DEVICE_CONTROL`.
    IoControl {
        /// The IOCTL code, with its transfer method in bits 0 and 1.
        code: u32,
    },
    /// `IRP_MJ_READ`.
    Read {
        /// Where from, in bytes.
        offset: u64,
    },
    /// `IRP_MJ_WRITE`.
    Write {
        /// Where to, in bytes.
        offset: u64,
    },
}

impl Default for RequestKind {
    fn default() -> Self {
        Self::IoControl { code: 0 }
    }
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requestor {
    /// A process of user mode: its addresses are user mode's, and only its threads can use them.
    #[default]
    User,
    /// Another driver, in the system process: its addresses are the system's.
    Kernel,
}

/// What a buffer of a sender in user mode is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserMemory {
    /// Memory that can be read and written. Its address is a multiple of 16.
    #[default]
    Valid,
    /// The same, one byte further on.
    Misaligned,
    /// Memory that can only be read.
    ReadOnly,
    /// An address where nothing is.
    Unmapped,
    /// Memory that another thread of the sender unmaps as soon as the driver has probed it.
    Vanishing,
    /// An address of the system's, which the sender has no business with.
    System,
}

impl UserMemory {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Valid,
        Self::Misaligned,
        Self::ReadOnly,
        Self::Unmapped,
        Self::Vanishing,
        Self::System,
    ];
}

/// Asks an open device.
pub type Ask = Box<dyn FnMut(ControlPhase, &mut dyn Device)>;

/// When the control device is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlPhase {
    /// Packets flow: a request of [`Control::during`].
    DuringTraffic,
    /// All packets are home and the worker threads idle; the adapters still run. Left out with
    /// [`Stop::Busy`].
    BeforePause,
    /// All adapters are detached; the driver is still loaded. Left out with [`Stop::InUnload`].
    BeforeUnload,
}

/// An open handle of the driver's control device.
pub trait Device {
    /// Sends a request and waits for its end.
    fn send(&mut self, request: &Request) -> Answer;

    /// Sends `IRP_MJ_DEVICE_CONTROL` and waits for its end. `output_len` is the length of the
    /// caller's buffer in bytes.
    fn io_control(&mut self, code: u32, input: &[u8], output_len: u32) -> Answer {
        self.send(&Request::io_control(code, input, output_len))
    }
}

/// The outcome of one control request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The final `NTSTATUS`.
    pub status: u32,
    /// `IoStatus.Information`.
    pub information: u64,
    /// `IoStatus.Information` bytes of output (none when the request failed).
    pub output: Vec<u8>,
}
