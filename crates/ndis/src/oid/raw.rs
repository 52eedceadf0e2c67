//! `NDIS_OID_REQUEST`, as this crate touches it.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;

use ndis_sys::{
    NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST,
    NDIS_OID_REQUEST_DATA_METHOD_INFORMATION as Method,
    NDIS_OID_REQUEST_DATA_QUERY_INFORMATION as Query, NDIS_OID_REQUEST_DATA_SET_INFORMATION as Set,
    NDIS_OID_REQUEST_REVISION_1, NDIS_REQUEST_TYPE, NDIS_SIZEOF_OID_REQUEST_REVISION_1,
    NDIS_SIZEOF_OID_REQUEST_REVISION_2, NdisRequestMethod, NdisRequestQueryInformation,
    NdisRequestQueryStatistics, NdisRequestSetInformation,
};

use super::{Oid, Requester};

/// What a request wants done (`NDIS_REQUEST_TYPE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// To be told something: there is output.
    Query,
    /// Likewise, for statistics.
    QueryStatistics,
    /// To have something set: there is input.
    Set,
    /// Both: there is input, and output in its place.
    Method,
    /// Something that is not documented for filters; it has neither input nor output here.
    Other(i32),
}

impl RequestKind {
    const fn from_raw(raw: NDIS_REQUEST_TYPE) -> Self {
        if raw == NdisRequestQueryInformation {
            Self::Query
        } else if raw == NdisRequestQueryStatistics {
            Self::QueryStatistics
        } else if raw == NdisRequestSetInformation {
            Self::Set
        } else if raw == NdisRequestMethod {
            Self::Method
        } else {
            Self::Other(raw)
        }
    }
}

/// Bytes were wanted that the buffer does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeyondBuffer;

/// What a request comes back with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Results {
    pub(crate) written: u32,
    pub(crate) read: u32,
    pub(crate) needed: u32,
    /// `OutputBufferLength`, of a method.
    pub(crate) output_length: u32,
    pub(crate) supported_revision: u8,
}

/// A request that may be read and written for `'a`.
///
/// # Invariants
///
/// For `'a` the address is that of a request with the members of revision 1, and who has this value has the request. Its
/// buffer is as long as it says, in nonpaged memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a> {
    address: NonNull<NDIS_OID_REQUEST>,
    _lent: PhantomData<&'a ()>,
}

impl Raw<'_> {
    /// The request at an address, or `None` if its header does not say that it is one.
    ///
    /// NDIS stops the system (bug check 0x7C) when it is asked to clone what is none.
    ///
    /// # Safety
    ///
    /// The address is null, or that of a header behind which there is as much as it says; and if it is that of a
    /// request, the invariants hold.
    pub(crate) unsafe fn checked(address: *mut NDIS_OID_REQUEST) -> Option<Self> {
        let address = NonNull::new(address)?;
        // SAFETY: this function's contract: the header is there.
        let header = unsafe { (*address.as_ptr()).Header };
        let least_size = match header.Revision {
            0 => return None,
            NDIS_OID_REQUEST_REVISION_1 => NDIS_SIZEOF_OID_REQUEST_REVISION_1,
            _ => NDIS_SIZEOF_OID_REQUEST_REVISION_2,
        };
        let is_request = header.Type == NDIS_OBJECT_TYPE_OID_REQUEST && header.Size >= least_size;
        // INVARIANT: the caller's promise.
        is_request.then_some(Self {
            address,
            _lent: PhantomData,
        })
    }

    /// A request that is known to be one.
    ///
    /// # Safety
    ///
    /// The invariants hold.
    pub(crate) const unsafe fn new(address: NonNull<NDIS_OID_REQUEST>) -> Self {
        // INVARIANT: the caller's promise.
        Self {
            address,
            _lent: PhantomData,
        }
    }

    pub(crate) const fn as_ptr(self) -> *mut NDIS_OID_REQUEST {
        self.address.as_ptr()
    }

    pub(crate) const fn kind(self) -> RequestKind {
        // SAFETY: by the invariant the member is there.
        RequestKind::from_raw(unsafe { (*self.as_ptr()).RequestType })
    }

    pub(crate) const fn oid(self) -> Oid {
        // SAFETY: by the invariant it is there; every kind of request has this member in the same place.
        Oid::from_raw(unsafe { (*self.data::<Query>()).Oid })
    }

    pub(crate) const fn port(self) -> u32 {
        // SAFETY: by the invariant the member is there.
        unsafe { (*self.as_ptr()).PortNumber }
    }

    pub(crate) const fn id(self) -> *mut c_void {
        // SAFETY: by the invariant the member is there.
        unsafe { (*self.as_ptr()).RequestId }
    }

    pub(crate) const fn set_id(self, id: *mut c_void) {
        // SAFETY: by the invariant the member is there, and who has this value may write it.
        unsafe { (*self.as_ptr()).RequestId = id };
    }

    /// Who has made the request.
    pub(crate) fn requester(self) -> Requester {
        // SAFETY: by the invariant the member is there.
        let handle = unsafe { (*self.as_ptr()).RequestHandle };
        Requester {
            handle: handle.expose_provenance(),
            id: self.id().expose_provenance(),
        }
    }

    /// The two words that belong to who has made the request.
    pub(crate) const fn source_words(self) -> [*mut c_void; 2] {
        // SAFETY: by the invariant the member is there.
        let place = unsafe { &raw const (*self.as_ptr()).SourceReserved };
        // SAFETY: it is as long as two pointers, and for its maker to use.
        unsafe { place.cast::<[*mut c_void; 2]>().read_unaligned() }
    }

    /// Keeps two words in what belongs to who has made the request: this crate.
    pub(crate) const fn set_source_words(self, words: [*mut c_void; 2]) {
        // SAFETY: by the invariant the member is there.
        let place = unsafe { &raw mut (*self.as_ptr()).SourceReserved };
        // SAFETY: it is as long as two pointers, and for its maker to use.
        unsafe { place.cast::<[*mut c_void; 2]>().write_unaligned(words) };
    }

    /// The part of the request that its kind decides about.
    const fn data<T>(self) -> *mut T {
        // SAFETY: by the invariant the member is there.
        let data = unsafe { &raw mut (*self.as_ptr()).DATA };
        data.cast()
    }

    /// Bytes of input, and room for output.
    pub(crate) const fn lengths(self) -> (u32, u32) {
        match self.kind() {
            RequestKind::Query | RequestKind::QueryStatistics => {
                // SAFETY: by the invariant it is there; this kind of request has it.
                let query = unsafe { *self.data::<Query>() };
                (0, query.InformationBufferLength)
            }
            RequestKind::Set => {
                // SAFETY: likewise.
                let set = unsafe { *self.data::<Set>() };
                (set.InformationBufferLength, 0)
            }
            RequestKind::Method => {
                // SAFETY: likewise.
                let method = unsafe { *self.data::<Method>() };
                (method.InputBufferLength, method.OutputBufferLength)
            }
            RequestKind::Other(_) => (0, 0),
        }
    }

    /// Room for output. Those below may write it, in a method request.
    pub(crate) const fn room(self) -> u32 {
        let (_, room) = self.lengths();
        room
    }

    /// The buffer, which is one for input and output, and may be null when both are empty.
    const fn buffer(self) -> *mut u8 {
        // SAFETY: by the invariant it is there; every kind of request has this member in the same place.
        unsafe { (*self.data::<Query>()).InformationBuffer.cast() }
    }

    /// Copies from the first `length` bytes of the buffer.
    pub(crate) fn copy_to(
        self,
        length: u32,
        offset: u32,
        to: &mut [u8],
    ) -> Result<(), BeyondBuffer> {
        let Some(from) = self.place(length, offset, to.len())? else {
            return Ok(());
        };
        let length = to.len();
        // SAFETY: `place` has found so many bytes there; `to` is the caller's own memory.
        unsafe { from.copy_to_nonoverlapping(NonNull::from(to).cast(), length) };
        Ok(())
    }

    /// Copies to the first `length` bytes of the buffer.
    pub(crate) fn copy_from(
        self,
        length: u32,
        offset: u32,
        from: &[u8],
    ) -> Result<(), BeyondBuffer> {
        let Some(to) = self.place(length, offset, from.len())? else {
            return Ok(());
        };
        // SAFETY: `place` has found `from.len()` bytes there; `from` is the caller's own memory.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(from).cast(), from.len()) };
        Ok(())
    }

    /// Where `wanted` bytes are, `offset` bytes behind the beginning of a buffer of `length` bytes; `None` if none are
    /// wanted.
    fn place(
        self,
        length: u32,
        offset: u32,
        wanted: usize,
    ) -> Result<Option<NonNull<u8>>, BeyondBuffer> {
        let end = usize::try_from(offset)
            .ok()
            .and_then(|offset| offset.checked_add(wanted))
            .and_then(|end| u32::try_from(end).ok());
        if end.is_none_or(|end| end > length) {
            return Err(BeyondBuffer);
        }
        if wanted == 0 {
            return Ok(None);
        }
        let buffer = NonNull::new(self.buffer()).ok_or(BeyondBuffer)?;
        // SAFETY: by the invariant the buffer has `length` bytes, and `offset` is below that.
        Ok(Some(unsafe { buffer.byte_add(offset as usize) }))
    }

    pub(crate) const fn results(self) -> Results {
        // SAFETY: by the invariant the member is there.
        let supported_revision = unsafe { (*self.as_ptr()).SupportedRevision };
        match self.kind() {
            RequestKind::Query | RequestKind::QueryStatistics => {
                // SAFETY: by the invariant the member is there; this kind of request has it.
                let query = unsafe { *self.data::<Query>() };
                Results {
                    written: query.BytesWritten,
                    read: 0,
                    needed: query.BytesNeeded,
                    output_length: 0,
                    supported_revision,
                }
            }
            RequestKind::Set => {
                // SAFETY: likewise.
                let set = unsafe { *self.data::<Set>() };
                Results {
                    written: 0,
                    read: set.BytesRead,
                    needed: set.BytesNeeded,
                    output_length: 0,
                    supported_revision,
                }
            }
            RequestKind::Method => {
                // SAFETY: likewise.
                let method = unsafe { *self.data::<Method>() };
                Results {
                    written: method.BytesWritten,
                    read: method.BytesRead,
                    needed: method.BytesNeeded,
                    output_length: method.OutputBufferLength,
                    supported_revision,
                }
            }
            RequestKind::Other(_) => Results {
                written: 0,
                read: 0,
                needed: 0,
                output_length: 0,
                supported_revision,
            },
        }
    }

    /// Writes those results that this kind of request has.
    pub(crate) const fn set_results(self, results: Results) {
        // SAFETY: by the invariant the member is there, and who has this value may write it.
        unsafe { (*self.as_ptr()).SupportedRevision = results.supported_revision };
        match self.kind() {
            RequestKind::Query | RequestKind::QueryStatistics => {
                // SAFETY: likewise; this kind of request has it.
                let query = unsafe { &mut *self.data::<Query>() };
                query.BytesWritten = results.written;
                query.BytesNeeded = results.needed;
            }
            RequestKind::Set => {
                // SAFETY: likewise.
                let set = unsafe { &mut *self.data::<Set>() };
                set.BytesRead = results.read;
                set.BytesNeeded = results.needed;
            }
            RequestKind::Method => {
                // SAFETY: likewise.
                let method = unsafe { &mut *self.data::<Method>() };
                method.OutputBufferLength = results.output_length;
                method.BytesWritten = results.written;
                method.BytesRead = results.read;
                method.BytesNeeded = results.needed;
            }
            RequestKind::Other(_) => {}
        }
    }
}
