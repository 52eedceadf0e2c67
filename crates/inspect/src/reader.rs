//! The one place that takes bytes off a packet.

use crate::error::{Layer, ParseError, Problem};

/// What is left of a packet: the bytes that are at hand, and how many there are on the wire.
///
/// # Invariants
///
/// `bytes.len() <= on_wire`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    on_wire: u32,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, the front of a packet of `on_wire` bytes. Bytes beyond that length are not part of it.
    pub(crate) fn new(bytes: &'a [u8], on_wire: u32) -> Self {
        Self {
            bytes: front(bytes, on_wire),
            on_wire,
        }
    }

    /// Bytes on the wire from here on.
    pub(crate) const fn on_wire(&self) -> u32 {
        self.on_wire
    }

    /// Takes a header's fixed part.
    pub(crate) fn take<const N: usize>(&mut self, layer: Layer) -> Result<&'a [u8; N], ParseError> {
        let Some((header, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.short(layer, length(N)));
        };
        self.bytes = rest;
        self.on_wire = self.on_wire.saturating_sub(length(N));
        Ok(header)
    }

    /// Takes `count` bytes that nobody looks at.
    pub(crate) fn skip(&mut self, layer: Layer, count: u32) -> Result<(), ParseError> {
        let Some(rest) = usize::try_from(count)
            .ok()
            .and_then(|count| self.bytes.get(count..))
        else {
            return Err(self.short(layer, count));
        };
        self.bytes = rest;
        self.on_wire = self.on_wire.saturating_sub(count);
        Ok(())
    }

    /// Ends the packet `length` bytes from here, if it is longer: the rest is padding.
    pub(crate) fn limit(&mut self, length: u32) {
        self.on_wire = self.on_wire.min(length);
        self.bytes = front(self.bytes, self.on_wire);
    }

    fn short(&self, layer: Layer, needed: u32) -> ParseError {
        let (problem, had) = if needed <= self.on_wire {
            (Problem::BeyondSnapshot, length(self.bytes.len()))
        } else {
            (Problem::Truncated, self.on_wire)
        };
        ParseError {
            layer,
            problem,
            needed,
            had,
        }
    }
}

fn front(bytes: &[u8], count: u32) -> &[u8] {
    usize::try_from(count)
        .ok()
        .and_then(|count| bytes.get(..count))
        .unwrap_or(bytes)
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
