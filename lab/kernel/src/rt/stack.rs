//! Driver stacks: 24 KiB with a guard below, as Windows gives a kernel thread.

use std::io;

use super::{
    layout::{PAGE, STACKS},
    mapping::{Access, Mapping},
};

/// Bytes of a driver stack.
pub(crate) const STACK_BYTES: u64 = 24 << 10;
/// From here on its use is worth a warning: the rest of the 24 KiB belongs to whoever is called.
pub(crate) const STACK_WARNING_BYTES: u64 = 12 << 10;

/// Distance of one stack from the next: the stack is at the end of its slot but for one page, so
/// that a large frame that skips the guard page still lands in nothing.
const SLOT_BYTES: u64 = 64 << 10;
const STACK_OFFSET: u64 = SLOT_BYTES - PAGE - STACK_BYTES;
const SLOTS: u64 = 4096;

/// Where driver stacks lie: the first address and the end.
pub(crate) fn stack_range() -> (u64, u64) {
    (STACKS, STACKS + SLOT_BYTES * SLOTS)
}

/// All driver stacks.
///
/// # Invariants
/// Slots below `used` are readable and writable in their stack part and nothing elsewhere.
#[derive(Debug)]
pub(super) struct Stacks {
    space: Mapping,
    used: u64,
    free: Vec<u64>,
}

impl Stacks {
    pub(super) fn new() -> io::Result<Self> {
        let space = Mapping::private(STACKS, (SLOT_BYTES * SLOTS) as usize, Access::None)?;
        Ok(Self {
            space,
            used: 0,
            free: Vec::new(),
        })
    }

    /// Lowest address of a stack that nobody uses.
    pub(super) fn take(&mut self) -> io::Result<u64> {
        if let Some(low) = self.free.pop() {
            return Ok(low);
        }
        if self.used == SLOTS {
            return Err(io::Error::other("too many kernel threads at once"));
        }
        let offset = SLOT_BYTES * self.used + STACK_OFFSET;
        self.space
            .protect(offset, STACK_BYTES as usize, Access::ReadWrite)?;
        self.used += 1;
        Ok(self.space.address() + offset)
    }

    /// Takes back a stack that [`Stacks::take`] gave.
    pub(super) fn give_back(&mut self, low: u64) {
        self.free.push(low);
    }
}

/// What an address in the stacks' space is: a stack (true), or a guard (false).
pub(super) fn is_stack(address: u64) -> Option<bool> {
    let offset = address
        .checked_sub(STACKS)
        .filter(|offset| *offset < SLOT_BYTES * SLOTS)?;
    let in_slot = offset % SLOT_BYTES;
    Some((STACK_OFFSET..STACK_OFFSET + STACK_BYTES).contains(&in_slot))
}
