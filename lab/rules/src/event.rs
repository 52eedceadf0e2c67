//! What happens in the simulated kernel, as plain data: the only thing that monitors see.

mod callback;
mod device;
mod fault;
mod handle;
mod image;
mod import;
mod module;
mod nbl;
mod oid;
mod pool;
mod registered;
mod text;
mod timer;
mod trace;
mod work_item;

pub use callback::Callback;
pub use device::{DeviceEvent, IrpEvent, IrpMisuse};
pub use fault::{Access, Fault, FaultKind, Lent, Region, UserMisuse};
pub use handle::HandleEvent;
pub use image::Loaded;
pub use import::{Arguments, Import, Returned};
pub use module::{
    HandlerSet, Header, Left, ModuleEvent, NetPnpEvent, Overdue, Registration, Remaining,
};
pub use nbl::{Alteration, Chain, Content, HandedNbl, NblCall, NblEvent, NblFacts, NblPath};
pub use oid::{OidAlteration, OidEvent, OidKind, OidPath, OidRequest};
pub use pool::{Exposure, PoolEvent, PoolFreeError};
pub use registered::Registered;
pub use timer::{DpcEvent, TimerEvent};
pub use trace::TraceWrite;
pub use work_item::{WorkItemEvent, WorkItemOwner};

/// `PASSIVE_LEVEL`.
pub const PASSIVE_LEVEL: u8 = 0;
/// `APC_LEVEL`.
pub const APC_LEVEL: u8 = 1;
/// `DISPATCH_LEVEL`.
pub const DISPATCH_LEVEL: u8 = 2;

/// One thing that happened, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// Virtual nanoseconds since load.
    pub time_ns: u64,
    /// The virtual processor.
    pub processor: u8,
    /// The kernel thread or DPC (a number that is never used again in the run).
    pub thread: u32,
    /// The level of the processor.
    pub irql: u8,
    /// What happened.
    pub kind: Kind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The image is about to run.
    Loaded(Loaded),
    /// The driver called an import.
    Import(Import),
    /// An import whose result tells something has returned.
    Returned(Returned),
    /// An import was given a structure with a header.
    Structure(Header),
    /// The kernel called the driver.
    Enter(Call),
    /// The driver returned from that call.
    Leave {
        /// The call.
        call: Call,
        /// The returned status, for callbacks that return one.
        status: Option<u32>,
    },
    /// `NdisFRegisterFilterDriver`.
    Registration(Registration),
    /// Something in the life of the driver or of a filter module.
    Module(ModuleEvent),
    /// NET_BUFFER_LIST structures changed hands.
    Nbl(NblEvent),
    /// An I/O work item, of either family.
    WorkItem(WorkItemEvent),
    /// Pool memory.
    Pool(PoolEvent),
    /// A spin lock.
    Lock(LockEvent),
    /// A timer.
    Timer(TimerEvent),
    /// A deferred procedure call.
    Dpc(DpcEvent),
    /// The driver made a system thread.
    ThreadStarted {
        /// Its object.
        thread: u64,
        /// What its routine is given.
        context: u64,
    },
    /// That thread has ended.
    ThreadEnded {
        /// Its object.
        thread: u64,
    },
    /// A network PnP event.
    NetPnp(NetPnpEvent),
    /// An OID request.
    Oid(OidEvent),
    /// A handle of an object.
    Handle(HandleEvent),
    /// A device object.
    Device(DeviceEvent),
    /// An IRP.
    Irp(IrpEvent),
    /// The driver gave something to event tracing.
    Trace(TraceWrite),
    /// The driver did what the processor refuses.
    Fault(Fault),
    /// A call came from deeper in a driver stack than any before it.
    Stack {
        /// Bytes of the stack in use.
        used_bytes: u64,
    },
    /// Something took longer than its documented limit.
    Overdue(Overdue),
    /// The unload routine has returned: what is still there.
    Left(Left),
    /// The driver has given the running thread a system affinity, or taken it back.
    Affinity {
        /// The processors, a bit for each; 0 for the thread's own.
        mask: u64,
    },
}

/// A call of the kernel into the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Which routine.
    pub callback: Callback,
    /// The adapter (index in the configuration) whose module it concerns, if one.
    pub adapter: Option<u32>,
}

/// A spin lock changed hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockEvent {
    /// It was acquired.
    Acquired {
        /// The lock's address.
        lock: u64,
        /// Whether the variant expects DISPATCH_LEVEL and leaves the level alone.
        dpr: bool,
        /// Whether others may hold it at the same time: a reader of a lock for many readers.
        shared: bool,
        /// The level before.
        old_irql: u8,
        /// Time that the processor itself has spent since load, in ns. The clock is shared: it goes
        /// on for all processors whichever works.
        processor_ns: u64,
    },
    /// It was asked for by the thread that holds it.
    Recursive {
        /// The lock's address.
        lock: u64,
        /// Whether the variant expects DISPATCH_LEVEL and leaves the level alone.
        dpr: bool,
    },
    /// It was asked for and holds what no initialization leaves.
    Uninitialized {
        /// The lock's address.
        lock: u64,
    },
    /// It was released.
    Released {
        /// The lock's address.
        lock: u64,
        /// Whether the variant leaves the level alone.
        dpr: bool,
        /// The level that the processor goes back to.
        restored_irql: u8,
        /// Time that the processor itself has spent since load, in ns.
        processor_ns: u64,
    },
}
