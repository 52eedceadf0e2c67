//! What kind of memory an address lies in, as far as the event stream tells. Monitors share it.

use std::collections::BTreeMap;

use crate::event::{Event, Kind, PoolEvent};

/// The kind of memory that an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A live block of the driver's in nonpaged pool.
    NonPaged {
        /// Its address.
        block: u64,
        /// The address behind it.
        end: u64,
    },
    /// A live block of the driver's in paged pool.
    Paged,
    /// A driver stack.
    Stack,
    /// Anything else.
    Other,
}

/// The memory of the driver.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Live blocks: address to size and whether they are paged.
    blocks: BTreeMap<u64, (u64, bool)>,
    stacks: (u64, u64),
}

impl Places {
    /// Takes an event. A freed block is still there before this is told.
    pub(crate) fn observe(&mut self, event: &Event) {
        match &event.kind {
            Kind::Loaded(loaded) => self.stacks = loaded.stacks,
            Kind::Pool(PoolEvent::Allocated {
                block, size, paged, ..
            }) => {
                self.blocks.insert(*block, (*size, *paged));
            }
            Kind::Pool(PoolEvent::Freed { block, .. }) => {
                self.blocks.remove(block);
            }
            _ => {}
        }
    }

    /// What lies at an address.
    pub(crate) fn of(&self, address: u64) -> Place {
        if (self.stacks.0..self.stacks.1).contains(&address) {
            return Place::Stack;
        }
        match self.blocks.range(..=address).next_back() {
            Some((block, (size, paged))) if address - block < *size => {
                if *paged {
                    Place::Paged
                } else {
                    Place::NonPaged {
                        block: *block,
                        end: block.saturating_add(*size),
                    }
                }
            }
            _ => Place::Other,
        }
    }
}

/// Whether an address lies in the block of `size` bytes at `block`.
pub(crate) fn is_within(address: u64, block: u64, size: u64) -> bool {
    address
        .checked_sub(block)
        .is_some_and(|offset| offset < size)
}
