//! A reply: one header, then records.

use core::marker::PhantomData;

use crate::wire::{DecodeError, Record, ShortBuffer};

/// Writes a reply into an output buffer: records first, the header, which counts them, last.
///
/// ```
/// use protocol::{AdapterStatistics, ReplyWriter, StatisticsHeader, Wire};
///
/// let mut output = [0; 2048];
/// let mut reply = ReplyWriter::<StatisticsHeader, AdapterStatistics>::new(&mut output)?;
/// let fits = reply.push(&AdapterStatistics::default());
/// let written = reply.finish(&StatisticsHeader { adapter_count: 1, ..Default::default() })?;
/// assert!(fits && written == StatisticsHeader::SIZE + AdapterStatistics::SIZE);
/// # Ok::<(), protocol::ShortBuffer>(())
/// ```
#[derive(Debug)]
#[must_use = "a reply has no header until it is finished"]
pub struct ReplyWriter<'a, H, R> {
    /// Where the header goes.
    head: &'a mut [u8],
    /// What is left behind the records.
    rest: &'a mut [u8],
    /// Bytes of header and records.
    written: usize,
    of: PhantomData<(H, R)>,
}

impl<'a, H: Record, R: Record> ReplyWriter<'a, H, R> {
    /// Starts a reply in `output`.
    ///
    /// # Errors
    ///
    /// [`ShortBuffer`] when not even the header fits.
    pub fn new(output: &'a mut [u8]) -> Result<Self, ShortBuffer> {
        let had = output.len();
        let Some((head, rest)) = output.split_at_mut_checked(H::SIZE) else {
            return Err(ShortBuffer {
                needed: H::SIZE,
                had,
            });
        };
        Ok(Self {
            head,
            rest,
            written: H::SIZE,
            of: PhantomData,
        })
    }

    /// Adds a record, and says whether it fitted.
    #[must_use = "a record that does not fit is not in the reply"]
    pub fn push(&mut self, record: &R) -> bool {
        if self.rest.len() < R::SIZE || record.put(&mut self.rest).is_err() {
            return false;
        }
        self.written = self.written.saturating_add(R::SIZE);
        true
    }

    /// Writes the header and gives the length of the reply in bytes.
    ///
    /// # Errors
    ///
    /// None in practice: [`Self::new`] kept room for the header.
    pub fn finish(self, header: &H) -> Result<usize, ShortBuffer> {
        header.encode(self.head)?;
        Ok(self.written)
    }
}

/// A reply that was read: its header, and its records one by one.
#[derive(Clone, Debug)]
pub struct Reply<'a, H, R> {
    /// The header.
    pub header: H,
    /// The records that follow it.
    pub records: Records<'a, R>,
}

impl<'a, H: Record, R: Record> Reply<'a, H, R> {
    /// Reads the header of a reply; `bytes` are those that the device said it wrote.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the header is cut short or of another version.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let header = H::decode(bytes)?;
        let records = Records {
            bytes: bytes.get(H::SIZE..).unwrap_or_default(),
            of: PhantomData,
        };
        Ok(Self { header, records })
    }
}

/// The records of a reply. A record that is cut short or means nothing is an error, and the last item.
#[derive(Clone, Debug)]
pub struct Records<'a, R> {
    bytes: &'a [u8],
    of: PhantomData<R>,
}

impl<R: Record> Iterator for Records<'_, R> {
    type Item = Result<R, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let record = R::decode(self.bytes);
        self.bytes = match record {
            Ok(_) => self.bytes.get(R::SIZE..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(record)
    }
}
