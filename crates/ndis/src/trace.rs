//! Events for Windows' tracing (ETW), in the form that describes itself (TraceLogging): a tool needs no manifest to show
//! names and fields.
//!
//! [`events!`](crate::events!) declares a provider and its events; [`driver!`](crate::driver!) registers it.
//!
//! ```text
//!   write(|| Event { … }) ── is its bit set? ── no: nothing was made, nothing called
//!                             │ yes
//!                             ▼
//!                            EtwWriteTransfer ─▶ sessions
//!   a session comes or goes ─▶ the callback sets the bit of each event that somebody wants
//! ```
//!
//! # Cost
//!
//! With no session that wants it, an event costs a load, a test and a branch. Nothing is formatted at any time: fields are
//! written as they lie in memory.
//!
//! # The error log
//!
//! There is no wrapper of it: the two functions of NDIS are for miniports (`NdisWriteErrorLogEntry` takes the handle that
//! `MiniportInitializeEx` is given) and for protocol drivers (`NdisWriteEventLogEntry`). What an administrator should read is an
//! event.
//!
//! # Failures
//!
//! A driver that cannot be registered runs untraced. An event that the system does not take is
//! [counted](Provider::refused).
//!
//! <https://learn.microsoft.com/windows/win32/tracelogging/trace-logging-about>
//!
//! # Example
//!
//! ```no_run
//! use ndis::Status;
//! use ndis::irql::Passive;
//! use ndis::trace::{self, Ascii, Binary, Bool, Bytes, Mac, NtStatus};
//!
//! mod keyword {
//!     pub const LIFE: u64 = 1;
//! }
//!
//! ndis::events! {
//!     /// The events of an example.
//!     pub provider EXAMPLE = "Example", rundown: rundown;
//!
//!     /// A module came.
//!     event ModuleCame<'a>(Information, keyword::LIFE, Start) {
//!         /// The name of its adapter.
//!         name = "Name": Ascii,
//!         /// Its address.
//!         address = "Address": Mac,
//!         /// Whether it runs.
//!         is_running = "IsRunning": Bool,
//!         /// How it went.
//!         status = "Status": NtStatus,
//!         /// What it has said.
//!         answer = "Answer": Binary,
//!     }
//! }
//!
//! /// A session asks what there is.
//! fn rundown(_irql: &mut Passive) {
//!     trace::write(|| ModuleCame {
//!         name: b"Ethernet",
//!         address: [2, 0, 0, 0, 0, 1],
//!         is_running: true,
//!         status: Status::SUCCESS,
//!         answer: Bytes::new(&[1, 2, 3]),
//!     });
//! }
//! # fn main() {}
//! ```

#[cfg(any(windows, test))]
pub(crate) mod blob;
#[cfg(windows)]
mod kind;
#[cfg(windows)]
mod provider;

#[cfg(windows)]
pub(crate) use self::provider::from_context;
#[cfg(windows)]
pub use self::{
    blob::FieldFacts,
    kind::{Ascii, Binary, Bool, Bytes, Hex32, Kind, Mac, NtStatus, Pieces, SocketAddress, Utf16},
    provider::{Event, Facts, Level, Opcode, Provider, write},
};

/// For [`events!`](crate::events!).
#[cfg(windows)]
#[doc(hidden)]
pub mod made {
    pub use super::blob::{event, event_length, id_of_name, provider, provider_length};
    pub use super::provider::{emit, guid};
}
