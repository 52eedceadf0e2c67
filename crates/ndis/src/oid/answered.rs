//! The answer of those below.

use super::{BeyondBuffer, Oid, Raw, RequestKind};
use crate::Status;

/// A request that is on its way back up, with the answer of those below.
///
/// What they have said is in it already: it may be looked at and changed, or left alone.
///
/// # Invariants
///
/// Those of `Raw`: NDIS has given the request to the module, which completes it when this is gone. `room` is the room for
/// output that the request had on its way down: nobody below has had a hand in it.
#[derive(Debug)]
pub struct Answered<'a> {
    raw: Raw<'a>,
    room: u32,
    status: Status,
    _here: core::marker::PhantomData<*mut ()>,
}

impl<'a> Answered<'a> {
    /// For this crate's callers of callbacks: `room` is [`Raw::room`] as it was on the way down.
    pub(crate) const fn new(raw: Raw<'a>, room: u32, status: Status) -> Self {
        // INVARIANT: that of `Raw`, and the caller's promise.
        Self {
            raw,
            room,
            status,
            _here: core::marker::PhantomData,
        }
    }

    /// What the request was about.
    #[must_use]
    pub const fn oid(&self) -> Oid {
        self.raw.oid()
    }

    /// What it wanted done.
    #[must_use]
    pub const fn kind(&self) -> RequestKind {
        self.raw.kind()
    }

    /// The port that it was for.
    #[must_use]
    pub const fn port(&self) -> u32 {
        self.raw.port()
    }

    /// How it has ended so far.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Makes it end with another status. `NDIS_STATUS_PENDING` is none, and becomes [`Status::FAILURE`].
    pub fn set_status(&mut self, status: Status) {
        self.status = status.into_final();
    }

    /// Bytes of output that those below have written: of a query or method request. Not more than there was room for on the
    /// way down, whatever those below say of that.
    #[must_use]
    pub fn output_length(&self) -> u32 {
        self.raw.results().written.min(self.room)
    }

    /// Copies output from `offset` on until `to` is full.
    ///
    /// # Errors
    ///
    /// [`BeyondBuffer`]: there is less output. `to` is as it was.
    pub fn copy_to(&self, offset: u32, to: &mut [u8]) -> Result<(), BeyondBuffer> {
        self.raw.copy_to(self.output_length(), offset, to)
    }

    /// Copies `N` bytes of output from `offset` on.
    ///
    /// # Errors
    ///
    /// [`BeyondBuffer`]: there is less output.
    pub fn read<const N: usize>(&self, offset: u32) -> Result<[u8; N], BeyondBuffer> {
        let mut bytes = [0; N];
        self.copy_to(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Puts `bytes` in the place of output from `offset` on.
    ///
    /// # Errors
    ///
    /// [`BeyondBuffer`]: there is less output. It is as it was.
    pub fn overwrite(&mut self, offset: u32, bytes: &[u8]) -> Result<(), BeyondBuffer> {
        self.raw.copy_from(self.output_length(), offset, bytes)
    }
}
