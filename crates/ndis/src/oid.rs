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
//!
//! # Example
//!
//! ```no_run
//! use ndis::filter::Attached;
//! use ndis::irql::Passive;
//! use ndis::oid::{
//!     Answer, Answered, Ask, BeyondBuffer, Direct, DirectOid, DirectOidPath, Oid, OidPath,
//!     OidRequest, Refusal, Regular, RequestKind, Settled, SyncOidPath, Synchronous,
//! };
//!
//! /// Answers one query, and passes on all else. What a callback gets it has to settle.
//! fn settle(request: OidRequest<'_, Regular>) -> Settled<'_> {
//!     match (request.kind(), request.oid()) {
//!         (RequestKind::Query, Oid::GEN_MAXIMUM_FRAME_SIZE) if request.port() == 0 => {
//!             request.answer(&1496_u32.to_le_bytes(), 0)
//!         }
//!         _ => request.forward(),
//!     }
//! }
//!
//! fn pass_direct(request: OidRequest<'_, Direct>) -> Settled<'_> {
//!     request.forward()
//! }
//!
//! fn pass_synchronous(request: OidRequest<'_, Synchronous>) -> Settled<'_> {
//!     // The number comes back with the answer, in `synchronous_oid_answered`.
//!     request.forward(0)
//! }
//!
//! /// In `oid_answered`: those above see one packet less.
//! fn change(answer: &mut Answered<'_>) -> Result<(), BeyondBuffer> {
//!     if answer.oid() == Oid::GEN_RCV_OK {
//!         let count = u64::from_le_bytes(answer.read(0)?);
//!         answer.overwrite(0, &count.saturating_sub(1).to_le_bytes())?;
//!     }
//!     Ok(())
//! }
//!
//! /// Asks on the module's own account, and waits.
//! fn ask<M: OidPath>(this: &Attached<'_, M>, irql: &mut Passive) -> Result<u32, Refusal> {
//!     let mut filter = [0; 4];
//!     let ask = Ask::query(Oid::GEN_CURRENT_PACKET_FILTER, &mut filter).within_ms(100);
//!     let answer: Answer = this.ask_oid(ask, irql)?;
//!     Ok(if answer.written == 4 { u32::from_le_bytes(filter) } else { 0 })
//! }
//!
//! fn ask_direct<M: DirectOidPath>(
//!     this: &Attached<'_, M>,
//!     input: &[u8],
//!     irql: &mut Passive,
//! ) -> Result<Answer, Refusal> {
//!     this.ask_direct_oid(Ask::set(DirectOid::IPSEC_UPDATE_SA, input), irql)
//! }
//!
//! /// What a filter says that wants to see the synchronous ones.
//! fn wants<M: SyncOidPath>() {}
//! ```

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
pub(crate) use serve::{CallContext, Course, arrive, arrive_synchronously, cancel, come_back};
pub(crate) use waiting::Requests;
