//! Events as a person reads them: one short line each.

use std::fmt::{Display, Formatter, Result};

use super::{
    Alteration, DeviceEvent, DpcEvent, HandleEvent, IrpEvent, Kind, LockEvent, ModuleEvent,
    NblEvent, NblPath, NetPnpEvent, OidAlteration, OidEvent, OidKind, OidPath, OidRequest, Overdue,
    PoolEvent, TimerEvent, WorkItemEvent,
};

/// NBLs that a line names.
const NAMED: usize = 3;

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Loaded(_) => write!(f, "   image loaded"),
            Self::Returned(returned) => {
                write!(f, "   {} = {:#x}", returned.name, returned.result)
            }
            Self::Structure(header) => write!(f, "   takes {}", header.structure),
            Self::Trace(write) => write!(f, "   a trace record of {} bytes", write.bytes),
            Self::Timer(event) => event.fmt(f),
            Self::Dpc(event) => event.fmt(f),
            Self::ThreadStarted { thread, .. } => {
                write!(f, "   system thread {thread:#x} started")
            }
            Self::ThreadEnded { thread } => write!(f, "   system thread {thread:#x} ended"),
            Self::NetPnp(event) => event.fmt(f),
            Self::Oid(event) => event.fmt(f),
            Self::Import(import) => write!(f, "   {}", import.name),
            Self::Enter(call) => write!(f, "-> {}", call.callback.name()),
            Self::Leave {
                call,
                status: Some(status),
            } => write!(f, "<- {} = {status:#x}", call.callback.name()),
            Self::Leave { call, status: None } => write!(f, "<- {}", call.callback.name()),
            Self::Registration(registration) => {
                let verb = if registration.accepted {
                    "registered"
                } else {
                    "refused"
                };
                write!(
                    f,
                    "   filter driver {verb} for NDIS {}.{}",
                    registration.major, registration.minor
                )
            }
            Self::Module(event) => event.fmt(f),
            Self::Nbl(event) => event.fmt(f),
            Self::WorkItem(event) => event.fmt(f),
            Self::Pool(event) => event.fmt(f),
            Self::Lock(event) => event.fmt(f),
            Self::Handle(event) => event.fmt(f),
            Self::Device(event) => event.fmt(f),
            Self::Irp(event) => event.fmt(f),
            Self::Fault(fault) => write!(f, "   fault at {:#x}", fault.address),
            Self::Stack { used_bytes } => write!(f, "   {used_bytes} bytes of stack in use"),
            Self::Overdue(overdue) => write!(f, "   overdue: {overdue}"),
            Self::Left(_) => write!(f, "   the driver is gone"),
            Self::Affinity { mask: 0 } => {
                write!(f, "   the thread may run on its own processors again")
            }
            Self::Affinity { mask } => {
                write!(f, "   the thread may run on the processors {mask:#x}")
            }
        }
    }
}

impl Display for HandleEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Opened { handle, .. } => write!(f, "   handle {handle:#x} opened"),
            Self::Referenced { object } => write!(f, "   object {object:#x} referenced"),
            Self::Dereferenced { object } => write!(f, "   object {object:#x} dereferenced"),
            Self::Invalid { handle, function } => {
                write!(f, "   {function}: handle {handle:#x} is not open")
            }
            Self::UserAddress { function, address } => {
                write!(f, "   {function}: {address:#x} is of user mode")
            }
        }
    }
}

impl Display for ModuleEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Loaded { .. } => write!(f, "   driver loaded"),
            Self::AttributesSet { adapter, .. } => write!(f, "   module {adapter} has its context"),
            Self::HandlersChanged { adapter, .. } => {
                write!(f, "   module {adapter} has other handlers")
            }
            Self::RestartReturned { adapter, .. } => {
                write!(f, "   restart of module {adapter} looked at")
            }
            Self::PauseCompleted { adapter } => write!(f, "   pause of module {adapter} completed"),
            Self::RestartCompleted { adapter, status } => {
                write!(
                    f,
                    "   restart of module {adapter} completed with {status:#x}"
                )
            }
            Self::StatusIndicated { adapter, code, .. } => {
                write!(f, "   module {adapter} indicates status {code:#x}")
            }
            Self::Deregistered { .. } => write!(f, "   filter driver deregistered"),
            Self::BadHandle { handle, .. } => write!(f, "   bad handle {handle:#x}"),
        }
    }
}

impl Display for NblEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Given {
                path,
                nbls,
                low_resources,
                ..
            } => {
                let verb = if *low_resources { "lent" } else { "given" };
                write!(f, "   {verb} to the filter, {path}: {}", Nbls(nbls))
            }
            Self::Back { path, nbls, .. } => {
                write!(f, "   back from the neighbour, {path}: {}", Nbls(nbls))
            }
            Self::Handed { nbls, .. } => {
                let nbls: Vec<u64> = nbls.iter().map(|handed| handed.nbl).collect();
                write!(f, "   handed over: {}", Nbls(&nbls))
            }
            Self::LentBack { now, .. } => write!(f, "   lent list now: {}", Nbls(now)),
            Self::HandlerReturned { path, .. } => write!(f, "   {path} handler done"),
            Self::Altered {
                nbl, alteration, ..
            } => write!(f, "   NBL {nbl:#x} altered: {alteration}"),
            Self::Away { nbl, .. } => write!(f, "   NBL {nbl:#x} is out of reach"),
            Self::HeaderGone { nbl, .. } => {
                write!(f, "   the headers of NBL {nbl:#x} are gone")
            }
            Self::Unused { nbl, .. } => {
                write!(f, "   NBL {nbl:#x} has memory that is not used")
            }
            Self::Home { nbl, .. } => write!(f, "   NBL {nbl:#x} is home"),
            Self::PoolAllocated { pool, .. } => write!(f, "   NBL pool {pool:#x} allocated"),
            Self::CancelAsked { nbls, .. } => write!(f, "   to cancel: {}", Nbls(nbls)),
            Self::Allocated { nbl, .. } => write!(f, "   NBL {nbl:#x} allocated"),
            Self::PoolFreed { pool } => write!(f, "   NBL pool {pool:#x} freed"),
            Self::Freed { nbl, .. } => write!(f, "   NBL {nbl:#x} freed"),
        }
    }
}

impl Display for NblPath {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Send => "send",
            Self::Receive => "receive",
        })
    }
}

impl Display for Alteration {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::SourceHandle => "SourceHandle",
            Self::Buffers => "its NET_BUFFER list",
            Self::Chain => "an MDL chain",
            Self::Offset => "where a NET_BUFFER's data begins",
            Self::Geometry => "how long a NET_BUFFER's data is",
            Self::Mdl => "the range of an MDL",
            Self::Context => "its context areas",
            Self::Parent => "ParentNetBufferList",
            Self::OutOfBand(slot) => return write!(f, "NetBufferListInfo[{slot}]"),
            Self::Reserved => "a reserved member",
            Self::Data => "the bytes of its frame",
        })
    }
}

impl Display for NetPnpEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Given { adapter, code } => {
                write!(f, "   network PnP event {code:#x} for module {adapter}")
            }
            Self::Issued { code } => {
                write!(f, "   network PnP event {code:#x} issued by the driver")
            }
        }
    }
}

impl Display for OidEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Given { path, request, .. } => {
                write!(f, "   given to the filter, {path}: {request}")
            }
            Self::Answered {
                request, status, ..
            } => write!(f, "   handler returned {status:#x} for {request}"),
            Self::Completed {
                request, status, ..
            } => write!(f, "   completed with {status:#x}: {request}"),
            Self::Cloned { source, clone, .. } => {
                write!(f, "   OID request {source:#x} cloned as {clone:#x}")
            }
            Self::CloneRefused { source } => {
                write!(f, "   OID request {source:#x} cannot be cloned")
            }
            Self::CloneFreed { clone, .. } => write!(f, "   clone {clone:#x} freed"),
            Self::Sent { path, request, .. } => write!(f, "   sent below, {path}: {request}"),
            Self::Back {
                request, status, ..
            } => write!(f, "   back from below with {status:#x}: {request}"),
            Self::CancelGiven { id, .. } => write!(f, "   to cancel: OID requests of id {id:#x}"),
            Self::CancelSent { id, .. } => {
                write!(f, "   cancelled below: OID requests of id {id:#x}")
            }
            Self::Overdue { request, .. } => {
                write!(f, "   OID request {request:#x} waited for in vain")
            }
            Self::Altered {
                request,
                alteration,
                ..
            } => write!(f, "   OID request {request:#x} altered: {alteration}"),
        }
    }
}

impl Display for OidPath {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Regular => "regular",
            Self::Direct => "direct",
            Self::Synchronous => "synchronous",
        })
    }
}

impl Display for OidKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Query => "query",
            Self::Set => "set",
            Self::Method => "method",
        })
    }
}

impl Display for OidRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self {
            request, oid, kind, ..
        } = self;
        write!(f, "OID request {request:#x}, {kind} of {oid:#x}")
    }
}

impl Display for OidAlteration {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Reserved => "a reserved member",
            Self::Synchronous => "what is read-only in a synchronous request",
            Self::Pending => "while it is pending below",
        })
    }
}

impl Display for Overdue {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Pause { adapter, .. } => write!(f, "the pause of module {adapter}"),
            Self::Restart { adapter, .. } => write!(f, "the restart of module {adapter}"),
            Self::Callback { callback, .. } => write!(f, "the return of {}", callback.name()),
            Self::Sends { adapter, .. } => write!(f, "sends that module {adapter} was given"),
            Self::Receives { adapter, .. } => write!(f, "receives that module {adapter} was given"),
            Self::Deadlock => write!(f, "every thread, each waits for another"),
            Self::Dispatch => write!(f, "the end of a stay at DISPATCH_LEVEL"),
            Self::EndlessLoop => write!(f, "the end of a loop that calls nothing"),
            Self::EndlessCalls => write!(f, "the end of a loop that never waits"),
            Self::Workers => write!(f, "work items after the last packet"),
            Self::Run => write!(f, "the end of the run"),
        }
    }
}

/// A list of NBLs, shortened.
struct Nbls<'a>(&'a [u64]);

impl Display for Nbls<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (index, nbl) in self.0.iter().take(NAMED).enumerate() {
            write!(f, "{}{nbl:#x}", if index == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Display for WorkItemEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (item, what) = match self {
            Self::Allocated { item, .. } => (item, "allocated"),
            Self::Queued { item, .. } => (item, "queued"),
            Self::Started { item } => (item, "taken off the queue"),
            Self::Finished { item, .. } => (item, "done"),
            Self::Freed { item } => (item, "freed"),
        };
        write!(f, "   work item {item:#x} {what}")
    }
}

impl Display for PoolEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Allocated { block, size, .. } => {
                write!(f, "   {size} bytes at {block:#x} allocated")
            }
            Self::BadRequest { size, .. } => write!(f, "   {size} bytes refused"),
            Self::Freed { block, size, .. } => write!(f, "   {size} bytes at {block:#x} freed"),
            Self::BadFree { address, .. } => write!(f, "   {address:#x} cannot be freed"),
            Self::Damaged { block, .. } => write!(f, "   block at {block:#x} damaged"),
            Self::Exposed { block, length, .. } => {
                write!(
                    f,
                    "   {length} bytes of block at {block:#x} leave unwritten"
                )
            }
        }
    }
}

impl Display for LockEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (lock, what) = match self {
            Self::Acquired { lock, .. } => (lock, "acquired"),
            Self::Recursive { lock, .. } => (lock, "asked for again"),
            Self::Uninitialized { lock } => (lock, "asked for, never initialized"),
            Self::Released { lock, .. } => (lock, "released"),
        };
        write!(f, "   spin lock {lock:#x} {what}")
    }
}

impl Display for TimerEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (timer, what) = match self {
            Self::Allocated { timer, .. } => (timer, "allocated"),
            Self::Set { timer, .. } => (timer, "set"),
            Self::Cancelled { timer } => (timer, "cancelled"),
            Self::Expired { timer } => (timer, "expired"),
            Self::Fired { timer, .. } => (timer, "fired"),
            Self::Finished { timer } => (timer, "done"),
            Self::Freed { timer, .. } => (timer, "freed"),
        };
        write!(f, "   timer {timer:#x} {what}")
    }
}

impl Display for DpcEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (dpc, what) = match self {
            Self::Initialized { dpc } => (dpc, "initialized"),
            Self::Queued { dpc, .. } => (dpc, "queued"),
            Self::Removed { dpc } => (dpc, "removed"),
            Self::Started { dpc, .. } => (dpc, "taken off the queue"),
            Self::Finished { dpc } => (dpc, "done"),
        };
        write!(f, "   DPC {dpc:#x} {what}")
    }
}

impl Display for DeviceEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (device, what) = match self {
            Self::Created { device, .. } => (device, "created"),
            Self::Deleted { device, .. } => (device, "deleted"),
            Self::TimerAgain { device } => (device, "given a second timer"),
            Self::LockNotHeld { lock, tag } => {
                return write!(f, "   remove lock {lock:#x} released with tag {tag:#x}");
            }
            Self::NotAttached { device } => (device, "detached, with nothing attached to it"),
            Self::WmiLeft { device } => (device, "registered with WMI, and deleted next"),
        };
        write!(f, "   device {device:#x} {what}")
    }
}

impl Display for IrpEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Sent { irp, major, .. } => {
                write!(f, "   IRP {irp:#x} sent, major function {major:#x}")
            }
            Self::Completed { irp, status, .. } => {
                write!(f, "   IRP {irp:#x} completed with {status:#x}")
            }
            Self::Returned { irp, status, .. } => {
                write!(f, "   IRP {irp:#x}: dispatch routine returned {status:#x}")
            }
            Self::Allocated { irp } => write!(f, "   IRP {irp:#x} made"),
            Self::Freed { irp } => write!(f, "   IRP {irp:#x} freed"),
            Self::PagesLocked { mdl, .. } => write!(f, "   pages locked, MDL {mdl:#x}"),
            Self::Called { irp } => write!(f, "   IRP {irp:#x} given to a device"),
            Self::CameBack { irp } => write!(f, "   IRP {irp:#x} came back"),
            Self::Passed { irp, status, .. } => {
                write!(f, "   IRP {irp:#x} completed further up with {status:#x}")
            }
            Self::Misused { irp, misuse } => write!(f, "   IRP {irp:#x} misused: {misuse:?}"),
            Self::Overdue { irp, .. } => write!(f, "   IRP {irp:#x} waited for in vain"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::event::{
        Content, Kind, NblEvent, NblPath, OidEvent, OidPath, OidRequest, Overdue, WorkItemEvent,
    };

    #[test]
    fn lines_are_short() {
        let given = NblEvent::Given {
            adapter: 0,
            path: NblPath::Send,
            nbls: vec![1, 2, 3, 4, 5],
            contents: vec![Content::default(); 5],
            low_resources: false,
        };
        assert_eq!(
            Kind::Nbl(given).to_string(),
            "   given to the filter, send: 0x1, 0x2, 0x3 and 2 more"
        );
        let started = Kind::WorkItem(WorkItemEvent::Started { item: 16 });
        assert_eq!(started.to_string(), "   work item 0x10 taken off the queue");
    }

    #[test]
    fn lines_are_for_people() {
        let given = OidEvent::Given {
            adapter: 0,
            path: OidPath::Direct,
            request: OidRequest {
                request: 16,
                oid: 0x0001_0106,
                ..OidRequest::default()
            },
        };
        assert_eq!(
            Kind::Oid(given).to_string(),
            "   given to the filter, direct: OID request 0x10, query of 0x10106"
        );
        let overdue = Overdue::Receives {
            adapter: 1,
            waited_ns: 7,
        };
        assert_eq!(
            Kind::Overdue(overdue).to_string(),
            "   overdue: receives that module 1 was given"
        );
    }
}
