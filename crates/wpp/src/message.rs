//! A message in the making.

use crate::{Control, Guid};

/// The most pieces of one message.
pub const MOST_PIECES: usize = 24;

/// Bytes that the system puts in front of a message.
const HEADER: usize = 48;

/// A piece of a message: bytes that are written as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a>(pub(crate) &'a [u8]);

/// The pieces of a message.
#[doc(hidden)]
#[derive(Debug)]
pub struct Message<'a> {
    pieces: [Piece<'a>; MOST_PIECES],
    used: usize,
}

impl<'a> Message<'a> {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pieces: [Piece(&[]); MOST_PIECES],
            used: 0,
        }
    }

    /// Adds bytes; none are left out, as is what finds no room, which `wpp!` sees to.
    pub fn push(&mut self, bytes: &'a [u8]) {
        if !bytes.is_empty()
            && let Some(place) = self.pieces.get_mut(self.used)
        {
            *place = Piece(bytes);
            self.used = self.used.saturating_add(1);
        }
    }

    /// The bytes of all pieces, and of what is put in front of them.
    fn length(&self) -> usize {
        self.pieces
            .iter()
            .fold(HEADER, |sum, piece| sum.saturating_add(piece.0.len()))
    }

    /// Hands the message to the control's session, if there is one.
    pub fn write(&self, control: &'static Control, id: &'static Guid, number: u16) {
        let Some(logger) = control.logger() else {
            return;
        };
        let is_written = u16::try_from(self.length()).is_ok() && self.hand_over(logger, id, number);
        if !is_written {
            control.refuse();
        }
    }

    #[cfg(windows)]
    fn hand_over(&self, logger: u64, id: &'static Guid, number: u16) -> bool {
        crate::system::write(logger, id, number, &self.pieces)
    }

    /// There are no sessions off Windows.
    #[cfg(not(windows))]
    #[expect(clippy::unused_self, reason = "it is used on Windows")]
    const fn hand_over(&self, _logger: u64, _id: &'static Guid, _number: u16) -> bool {
        true
    }
}

impl Default for Message<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs what writes a message away from the code that it stands in.
#[doc(hidden)]
#[cold]
#[inline(never)]
pub fn aside(write: impl FnOnce()) {
    write();
}

#[cfg(test)]
impl Message<'_> {
    /// All bytes.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = u8> {
        self.pieces.iter().flat_map(|piece| piece.0).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_refused_and_counted() {
        static CONTROL: Control = Control::new(Guid::from_memory([1; 16]), None);
        static ID: Guid = Guid::from_memory([2; 16]);
        let write = |length: usize| {
            static BYTES: [u8; 0x1_0000] = [0; 0x1_0000];
            let mut message = Message::new();
            message.push(&BYTES[..length]);
            message.write(&CONTROL, &ID, 10);
            CONTROL.refused()
        };
        // Without a session nothing is.
        assert_eq!(write(0x1_0000), 0);
        CONTROL.enable(1);
        assert_eq!(write(0xFFFF - HEADER), 0);
        assert_eq!(write(0xFFFF - HEADER + 1), 1);
        assert_eq!(write(0x1_0000), 2);
    }
}
