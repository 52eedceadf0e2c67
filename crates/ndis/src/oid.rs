//! OID requests: those that pass the filter, and the filter's own.
//!
//! ```text
//!   protocols, NDIS                                        the module
//!        │ FilterOidRequest                                     │ ask
//!        ▼                                                      ▼
//!   OidPath::oid_request ─▶ forward ─▶ clone ─▶ NdisFOidRequest ─▶ below
//!        │        └▶ pend ─▶ take_pended_oid ─▶ forward …           │
//!        ▼                                                          ▼
//!   complete, answer        OidPath::oid_answered ◀─ copied back, clone freed
//! ```
//!
//! - A filter opts in with [`OidPath`] (regular requests), [`DirectOidPath`] and [`SyncOidPath`]; the first two are the same
//!   but for the interface ([`Regular`], [`Direct`]).
//! - A request is a value, [`OidRequest`], that its callback has to turn into [`Settled`]: by passing it on, by completing
//!   it, or by leaving it for later. There is no other `Settled` to return, so a request can neither be forgotten nor
//!   finished twice; and it is finished by this crate after the callback, so never under a lock.
//! - Cloning, copying back, freeing the clone, the two ways in which an answer comes, cancellation: this crate's.
//! - Buffers are copied from and to, with their lengths looked at; they are never lent.
//! - [`Ask`] is a request of the module's own. Who asks waits, so it takes `PASSIVE_LEVEL`; detach cancels what is below. By the
//!   synchronous interface nobody waits, so it goes from any callback.
//! - What a request has led to later is told to its [`Requester`] by a status indication.
//!
//! A request may come in every state but `Attaching`: [`Attached`](crate::filter::Attached) is all that a callback gets.
//!
//! <https://learn.microsoft.com/windows-hardware/drivers/network/filter-module-oid-requests>

mod answered;
mod interface;
mod own;
mod path;
mod raw;
mod request;
mod serve;
mod waiting;

pub use crate::desk::MAX_PENDED;
pub use answered::Answered;
pub use interface::{Direct, DirectOid, Interface, MayPend, Oid, Regular, Synchronous};
pub use own::{Answer, Ask, DEFAULT_LIMIT_MS, Refusal};
pub use path::{DirectOidPath, OidPath, SyncOidPath};
pub use raw::{BeyondBuffer, RequestKind};
pub use request::{OidRequest, Requester, Settled};

pub(crate) use own::answer_own;
pub(crate) use path::Route;
pub(crate) use raw::Raw;
pub(crate) use request::Outcome;
pub(crate) use serve::{Course, arrive, arrive_synchronously, cancel, come_back};
pub(crate) use waiting::Requests;
