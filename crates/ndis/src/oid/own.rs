//! Requests of the module's own.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use ndis_sys::{
    NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST,
    NDIS_OID_REQUEST_DATA, NDIS_OID_REQUEST_DATA_METHOD_INFORMATION,
    NDIS_OID_REQUEST_DATA_QUERY_INFORMATION, NDIS_OID_REQUEST_DATA_SET_INFORMATION,
    NDIS_OID_REQUEST_REVISION_2, NDIS_OID_REQUEST_TIMEOUT_INFINITE,
    NDIS_SIZEOF_OID_REQUEST_REVISION_2, NDIS_STATUS_PENDING, NdisFSynchronousOidRequest,
    NdisRequestMethod, NdisRequestQueryInformation, NdisRequestSetInformation,
};

use super::interface::Calls;
use super::raw::Results;
use super::{Direct, DirectOidPath, Interface, MayPend, Oid, OidPath, Raw, Regular, Synchronous};
use crate::Status;
use crate::event::Event;
use crate::filter::{Attached, FilterModule, ModuleCore, TAG};
use crate::irql::{Caller, Passive};
use crate::lock::SpinLock;
use crate::mem::{OutOfMemory, PoolBox, PoolVec};
use crate::rundown::Signal;

/// How long is waited for an answer before the request is cancelled, unless [`Ask::within_ms`] says so, in ms. A request
/// has to end within 12 seconds, as Driver Verifier sees it.
pub const DEFAULT_LIMIT_MS: u32 = 10_000;

/// A request of the module's own, to be handed to [`Attached::ask_oid`], [`Attached::ask_direct_oid`] or
/// [`Attached::ask_synchronous_oid`].
///
/// ```no_run
/// # use ndis::{filter::Attached, irql::Passive, oid::{Ask, Oid, OidPath, Refusal}};
/// fn frame_size<M: OidPath>(this: &Attached<'_, M>, irql: &mut Passive) -> Result<u32, Refusal> {
///     let mut size = [0; 4];
///     this.ask_oid(Ask::query(Oid::GEN_MAXIMUM_FRAME_SIZE, &mut size), irql)?;
///     Ok(u32::from_le_bytes(size))
/// }
/// ```
#[derive(Debug)]
#[must_use = "nothing is asked before `ask_oid`, `ask_direct_oid` or `ask_synchronous_oid`"]
pub struct Ask<'b, P: Interface = Regular> {
    oid: Oid,
    data: Data<'b>,
    port: u32,
    limit_ms: u32,
    _way: PhantomData<P>,
}

/// What goes down, and where that goes which comes back.
#[derive(Debug)]
enum Data<'b> {
    Query(&'b mut [u8]),
    Set(&'b [u8]),
    Method(&'b [u8], &'b mut [u8]),
}

impl<'b, P: Interface> Ask<'b, P> {
    /// Asks for information, which is copied to `output`.
    pub fn query(oid: P::Oid, output: &'b mut [u8]) -> Self {
        Self::new(oid, Data::Query(output))
    }

    /// Has information set: a copy of `input`.
    pub fn set(oid: P::Oid, input: &'b [u8]) -> Self {
        Self::new(oid, Data::Set(input))
    }

    /// Hands down a copy of `input`; what comes back is copied to `output`.
    pub fn method(oid: P::Oid, input: &'b [u8], output: &'b mut [u8]) -> Self {
        Self::new(oid, Data::Method(input, output))
    }

    fn new(oid: P::Oid, data: Data<'b>) -> Self {
        Self {
            oid: oid.into(),
            data,
            port: 0,
            limit_ms: DEFAULT_LIMIT_MS,
            _way: PhantomData,
        }
    }

    /// Asks a port other than the default port.
    pub fn on_port(self, port: u32) -> Self {
        Self { port, ..self }
    }
}

impl<P: MayPend> Ask<'_, P> {
    /// Has the request cancelled if there is no answer within `limit_ms` milliseconds (1 at least).
    pub fn within_ms(self, limit_ms: u32) -> Self {
        Self { limit_ms, ..self }
    }
}

/// How a request of the module's own was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// [`Status::SUCCESS`], or another that is no failure.
    pub status: Status,
    /// Bytes of output that are valid, from the first on.
    pub written: u32,
    /// Bytes of input that were read.
    pub read: u32,
    /// The revision of the structure that those below have used; a lower one than that which was sent down means that
    /// its newer members were not looked at.
    pub supported_revision: u8,
}

/// Why a request of the module's own has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What those below have said. [`Status::REQUEST_ABORTED`] if the request was cancelled: its time was over, or the
    /// module is detaching. [`Status::RESOURCES`] if there was no memory for it. [`Status::DEVICE_NOT_READY`] if a thread or
    /// a device request came before NDIS has called the module for the first time, with `FilterRestart` at the latest:
    /// `FilterAttach` may not have returned.
    pub status: Status,
    /// Bytes that would have been enough, if [`status`](Self::status) is about length.
    pub needed: u32,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { status, needed: 0 }
    }
}

impl From<OutOfMemory> for Refusal {
    fn from(error: OutOfMemory) -> Self {
        Status::from(error).into()
    }
}

impl<M: OidPath> Attached<'_, M> {
    /// Sends a request of the module's own down, and waits for the answer.
    ///
    /// There may be several at a time. Detach cancels them and waits until they are back; with a
    /// [`PnpPath`](crate::filter::PnpPath) the event `NetEventFilterPreDetach` is the last place for one.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Refusal`]. The buffers are the caller's again; what is in the one for output then is unspecified.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/network/generating-oid-requests-from-an-ndis-filter-driver>
    pub fn ask_oid(&self, ask: Ask<'_, Regular>, irql: &mut Passive) -> Result<Answer, Refusal> {
        const {
            assert!(
                M::HANDLERS.has_oid(),
                "a filter that sends requests has `oid` among its handlers: answers come through them"
            );
        }
        // SAFETY: `FilterOidRequestComplete` is registered, as just asserted.
        unsafe { ask_attached(self.core(), ask, irql) }
    }
}

impl<M: DirectOidPath> Attached<'_, M> {
    /// Sends a request of the module's own down by the direct interface, and waits for the answer. Otherwise it is like
    /// [`ask_oid`](Self::ask_oid).
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Refusal`]. The buffers are the caller's again; what is in the one for output then is unspecified.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfdirectoidrequest>
    pub fn ask_direct_oid(
        &self,
        ask: Ask<'_, Direct>,
        irql: &mut Passive,
    ) -> Result<Answer, Refusal> {
        const {
            assert!(
                M::HANDLERS.has_direct_oid(),
                "a filter that sends direct requests has `direct_oid` among its handlers: answers come through them"
            );
        }
        // SAFETY: `FilterDirectOidRequestComplete` is registered, as just asserted.
        unsafe { ask_attached(self.core(), ask, irql) }
    }
}

impl<M: FilterModule> Attached<'_, M> {
    /// Sends a request of the module's own down by the synchronous interface: it is answered when this returns, so it can be
    /// asked from any callback, one that deals with another request included. Nobody waits, and nobody can cancel it.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// [`Refusal`]. The buffers are the caller's again; what is in the one for output then is unspecified.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfsynchronousoidrequest>
    pub fn ask_synchronous_oid(
        &self,
        ask: Ask<'_, Synchronous>,
        _irql: &mut impl Caller,
    ) -> Result<Answer, Refusal> {
        let core = self.core();
        core.acquire_to_speak()?;
        // SAFETY: the reference keeps the module attached.
        let result = unsafe { ask_at_once(core.handle(), ask) };
        core.attached.release();
        result
    }
}

/// # Safety
///
/// `handle` is that of a module which stays attached until this returns.
unsafe fn ask_at_once(handle: NDIS_HANDLE, ask: Ask<'_, Synchronous>) -> Result<Answer, Refusal> {
    let mut parcel = Parcel::pack(&ask)?;
    let request = PoolBox::try_new(TAG, UnsafeCell::new(parcel.request(&ask)))?;
    // SAFETY: this function's contract; the request and its buffer are in pool, and stay until this has returned.
    let status = unsafe { NdisFSynchronousOidRequest(handle, request.get()) };
    // SAFETY: the members of all revisions are there; it was answered, so nobody else has it.
    let raw = unsafe { Raw::new(NonNull::from(&*request).cast()) };
    // This interface has no other way to answer.
    let status = Status::from_raw(status).into_final();
    parcel.unpack(ask, raw.results(), status)
}

/// Asks, unless the module is detaching, or its attach may not have returned.
///
/// # Safety
///
/// The handler for answers of `P` is registered.
unsafe fn ask_attached<M: FilterModule, P: Calls>(
    core: &ModuleCore<M>,
    ask: Ask<'_, P>,
    irql: &mut Passive,
) -> Result<Answer, Refusal> {
    core.acquire_to_speak()?;
    // SAFETY: this function's contract; the reference keeps the module attached.
    let result = unsafe { ask_below(core.handle(), &P::requests(core).own, ask, irql) };
    core.attached.release();
    result
}

/// # Safety
///
/// `handle` is that of a module which stays attached until this returns, `requests` is what it has of `P`, and the handler
/// for answers of `P` is registered.
unsafe fn ask_below<P: Calls>(
    handle: NDIS_HANDLE,
    requests: &OwnRequests,
    ask: Ask<'_, P>,
    irql: &mut Passive,
) -> Result<Answer, Refusal> {
    let mut parcel = Parcel::pack(&ask)?;
    let request = parcel.request(&ask);
    let own = PoolBox::try_new(TAG, Own::new(request, irql)?)?;
    own.prepare();
    // SAFETY: prepared; it stays in its place until it was taken off the list.
    unsafe { requests.list(&own, irql) };
    // SAFETY: this function's contract. The request is in pool and listed, so its answer is found; it and its buffer stay
    // until the answer is there, for which this function waits below.
    let status = unsafe { P::send(handle, own.request.get()) };
    let status = if status == NDIS_STATUS_PENDING {
        // Detach may have looked through the list before the request had arrived below.
        let is_cancelled = own.is_cancelled.load(Ordering::SeqCst);
        if is_cancelled || !own.done.wait_for(ask.limit_ms, irql) {
            // SAFETY: this function's contract.
            unsafe { P::cancel(handle, own.id()) };
        }
        own.done.wait(irql);
        own.status.load(Ordering::Acquire)
    } else {
        status
    };
    // SAFETY: listed above, and answered.
    unsafe { requests.unlist(&own, irql) };
    // SAFETY: it was answered, so nobody else has it.
    let raw = unsafe { own.raw() };
    parcel.unpack(ask, raw.results(), Status::from_raw(status))
}

/// The buffer of a request.
struct Parcel {
    buffer: PoolVec<UnsafeCell<u8>>,
    /// Bytes of input, and of room for output.
    input: u32,
    room: u32,
}

impl Parcel {
    /// Copies the input.
    fn pack<P: Interface>(ask: &Ask<'_, P>) -> Result<Self, Refusal> {
        let (input, room): (&[u8], usize) = match &ask.data {
            Data::Query(output) => (&[], output.len()),
            Data::Set(input) => (input, 0),
            Data::Method(input, output) => (input, output.len()),
        };
        let length = |bytes: usize| u32::try_from(bytes).map_err(|_| Status::RESOURCES);
        let mut parcel = Self {
            input: length(input.len())?,
            room: length(room)?,
            buffer: PoolVec::try_zeroed(TAG, input.len().max(room))?,
        };
        for (to, from) in parcel.buffer.iter_mut().zip(input) {
            *to.get_mut() = *from;
        }
        Ok(parcel)
    }

    /// Copies the output of a request that has ended with `status`.
    fn unpack<P: Interface>(
        &mut self,
        ask: Ask<'_, P>,
        results: Results,
        status: Status,
    ) -> Result<Answer, Refusal> {
        let Results {
            written,
            read,
            needed,
            supported_revision,
            ..
        } = results;
        if status.ok().is_err() {
            return Err(Refusal { status, needed });
        }
        let written = written.min(self.room);
        if let Data::Query(output) | Data::Method(_, output) = ask.data {
            for (to, from) in output
                .iter_mut()
                .zip(self.buffer.iter_mut())
                .take(usize::try_from(written).unwrap_or(usize::MAX))
            {
                *to = *from.get_mut();
            }
        }
        Ok(Answer {
            status,
            written,
            read,
            supported_revision,
        })
    }

    /// The request, as NDIS wants to see it.
    fn request<P: Interface>(&self, ask: &Ask<'_, P>) -> NDIS_OID_REQUEST {
        let (input, room) = (self.input, self.room);
        let oid = ask.oid.into_raw();
        let information: *mut c_void = match self.buffer.first() {
            // All of the buffer is reached through it, and it may be written.
            Some(_) => self.buffer.as_ptr().cast_mut().cast(),
            None => core::ptr::null_mut(),
        };
        let (kind, data) = match ask.data {
            Data::Query(_) => (
                NdisRequestQueryInformation,
                NDIS_OID_REQUEST_DATA {
                    QUERY_INFORMATION: NDIS_OID_REQUEST_DATA_QUERY_INFORMATION {
                        Oid: oid,
                        InformationBuffer: information,
                        InformationBufferLength: room,
                        BytesWritten: 0,
                        BytesNeeded: 0,
                    },
                },
            ),
            Data::Set(_) => (
                NdisRequestSetInformation,
                NDIS_OID_REQUEST_DATA {
                    SET_INFORMATION: NDIS_OID_REQUEST_DATA_SET_INFORMATION {
                        Oid: oid,
                        InformationBuffer: information,
                        InformationBufferLength: input,
                        BytesRead: 0,
                        BytesNeeded: 0,
                    },
                },
            ),
            Data::Method(..) => (
                NdisRequestMethod,
                NDIS_OID_REQUEST_DATA {
                    METHOD_INFORMATION: NDIS_OID_REQUEST_DATA_METHOD_INFORMATION {
                        Oid: oid,
                        InformationBuffer: information,
                        InputBufferLength: input,
                        OutputBufferLength: room,
                        MethodId: 0,
                        BytesWritten: 0,
                        BytesRead: 0,
                        BytesNeeded: 0,
                    },
                },
            ),
        };
        NDIS_OID_REQUEST {
            Header: NDIS_OBJECT_HEADER {
                Type: NDIS_OBJECT_TYPE_OID_REQUEST,
                // The revision of every version from 6.84 to 6.89.
                Revision: NDIS_OID_REQUEST_REVISION_2,
                Size: NDIS_SIZEOF_OID_REQUEST_REVISION_2,
            },
            RequestType: kind,
            PortNumber: ask.port,
            Timeout: NDIS_OID_REQUEST_TIMEOUT_INFINITE,
            RequestId: core::ptr::null_mut(),
            RequestHandle: core::ptr::null_mut(),
            DATA: data,
            NdisReserved: [0; 128],
            MiniportReserved: [0; 16],
            SourceReserved: [0; 16],
            SupportedRevision: 0,
            Reserved1: 0,
            Reserved2: 0,
            SwitchId: 0,
            VPortId: 0,
            Flags: 0,
        }
    }
}

/// A request of the module's own in pool.
///
/// # Invariants
///
/// 1. From `list` to `unlist` it stays in its place, and in the list.
/// 2. From `send` on the request is NDIS's, until it has given a status other than `NDIS_STATUS_PENDING`, or `done` is set.
/// 3. Before `done` is set, `status` has what the request has ended with.
/// 4. `following` is touched under the lock of the list only.
struct Own {
    request: UnsafeCell<NDIS_OID_REQUEST>,
    status: AtomicI32,
    done: Event,
    is_cancelled: AtomicBool,
    following: UnsafeCell<Option<NonNull<Self>>>,
}

impl Own {
    fn new(request: NDIS_OID_REQUEST, irql: &mut Passive) -> Result<Self, OutOfMemory> {
        Ok(Self {
            request: UnsafeCell::new(request),
            status: AtomicI32::new(NDIS_STATUS_PENDING),
            done: Event::try_new(TAG, irql)?,
            is_cancelled: AtomicBool::new(false),
            following: UnsafeCell::new(None),
        })
    }

    /// Makes the request known by where it lies, which is where it has to stay: nobody else's identifier is the same.
    fn prepare(&self) {
        // SAFETY: nobody else has it yet.
        let raw = unsafe { self.raw() };
        raw.set_id(self.id());
        raw.set_source_words([core::ptr::null_mut(), self.id()]);
    }

    fn id(&self) -> *mut c_void {
        NonNull::from(self).as_ptr().cast()
    }

    /// # Safety
    ///
    /// Nobody else has the request.
    unsafe fn raw(&self) -> Raw<'_> {
        // SAFETY: the members of all revisions are there, and this function's contract.
        unsafe { Raw::new(NonNull::from(&self.request).cast()) }
    }
}

/// Takes the answer to a request, if it is one of a module's own: not a clone.
///
/// # Safety
///
/// NDIS has given the request back with `status`; it came from `ask_below`, or is a clone of this crate.
pub(crate) unsafe fn answer_own(request: Raw<'_>, status: Status) -> bool {
    let [original, own] = request.source_words();
    let Some(own) = NonNull::new(own.cast::<Own>()).filter(|_| original.is_null()) else {
        return false;
    };
    // SAFETY: `prepare` has written the address, and who has sent it waits for `done`.
    let own = unsafe { own.as_ref() };
    own.status.store(status.into_raw(), Ordering::Release);
    // From here on it may be gone.
    Signal::set(&own.done);
    true
}

/// Requests of the module's own that are below, or on the way there.
pub(crate) struct OwnRequests(SpinLock<First>);

/// # Invariants
///
/// The list is of requests that are listed, each once.
struct First(Option<NonNull<Own>>);

// SAFETY: requests may be used on any processor; what they share is atomic, or under the lock.
unsafe impl Send for First {}

impl OwnRequests {
    pub(super) const fn new() -> Self {
        Self(SpinLock::new(First(None)))
    }

    /// # Safety
    ///
    /// The request stays in its place until it is taken off the list, which it is not on.
    unsafe fn list(&self, own: &PoolBox<Own>, irql: &mut impl Caller) {
        self.0.with(irql, |first, _| {
            // SAFETY: invariant 4 of `Own`: the lock is held.
            unsafe { *own.following.get() = first.0 };
            first.0 = Some(NonNull::from(&**own));
        });
    }

    /// # Safety
    ///
    /// The request is on the list.
    unsafe fn unlist(&self, own: &PoolBox<Own>, irql: &mut impl Caller) {
        let gone = NonNull::from(&**own);
        self.0.with(irql, |first, _| {
            // SAFETY: invariant 4 of `Own`: the lock is held.
            let following = unsafe { *own.following.get() };
            if first.0 == Some(gone) {
                first.0 = following;
                return;
            }
            let mut at = first.0;
            while let Some(before) = at {
                // SAFETY: it is on the list, whose lock is held, so by invariant 1 it is there.
                let place = unsafe { before.as_ref() }.following.get();
                // SAFETY: invariant 4 of `Own`: the lock is held.
                at = unsafe { *place };
                if at == Some(gone) {
                    // SAFETY: likewise.
                    unsafe { *place = following };
                    return;
                }
            }
        });
    }

    /// Cancels all that is below. Who has sent it waits for its end.
    ///
    /// # Safety
    ///
    /// `handle` is that of the attached module that has these requests, by interface `P`.
    pub(crate) unsafe fn cancel_all<P: Calls>(&self, handle: NDIS_HANDLE, irql: &mut Passive) {
        while let Some(id) = self.mark_cancelled(irql) {
            // SAFETY: this function's contract.
            unsafe { P::cancel(handle, id) };
        }
    }

    /// Marks a request that is not marked yet, and gives its identifier.
    fn mark_cancelled(&self, irql: &mut Passive) -> Option<*mut c_void> {
        self.0.with(irql, |first, _| {
            let mut at = first.0;
            while let Some(own) = at {
                // SAFETY: it is on the list, whose lock is held, so by invariant 1 it is there.
                let request = unsafe { own.as_ref() };
                if !request.is_cancelled.swap(true, Ordering::SeqCst) {
                    return Some(own.as_ptr().cast());
                }
                // SAFETY: invariant 4 of `Own`: the lock is held.
                at = unsafe { *request.following.get() };
            }
            None
        })
    }
}
