//! Imports that driver code runs itself, on its own stack, while something is measured.
//!
//! What a filter calls for every packet costs as much in the lab as in Windows then: a few instructions. Each stub of such
//! an import is made to count itself and to jump to assembly, which knows of the lab only what is in the statics here:
//! no host stack, no thread-local storage (FS is the driver's), no clock. A fault in it is the driver's
//! ([`acts_for_driver`]).
//!
//! What that adds to the driver's own time depends on what is around it: a processor does several things at once. So each
//! can be done again where it is, by a shadow with no effect, and what that adds is measured.

mod code;

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use super::{
    call::import_address,
    layout, machine,
    mapping::{Access, Mapping},
    sched::DISPATCH_LEVEL,
};

pub(super) use code::acts_for_driver;

/// What such an import does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// Goes to DISPATCH_LEVEL and gives the old level.
    RaiseToDispatch,
    /// Goes to the level that is the first argument, and gives the old one.
    Raise,
    /// Goes to the level that is the first argument.
    Lower,
    /// Goes to the level that is the second argument.
    LowerToSecond,
    /// Goes to DISPATCH_LEVEL; the old level goes to the second argument, a KLOCK_QUEUE_HANDLE.
    RaiseQueued,
    /// Goes to the level that is in the first argument, a KLOCK_QUEUE_HANDLE.
    LowerQueued,
    /// Gives the level.
    Level,
    /// Nothing: what it says has come true already.
    Nothing,
    /// Gives 1.
    True,
    /// Gives the time in 100 ns, and writes the rate of 10 MHz where the first argument says, if it does.
    Counter,
    /// Gives the time in 100 ns, and writes it where the first argument says, if it does.
    Time,
    /// Copies as `memmove` does.
    Copy,
    /// Fills as `memset` does.
    Fill,
    /// Notes the second argument in a list.
    Note(List),
}

/// Where [`Leaf::Note`] notes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// The first list.
    First,
    /// The second.
    Second,
    /// The third.
    Third,
}

/// An import and what it is while something is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeafImport {
    /// File that Windows exports it from, lower case.
    pub(crate) module: &'static str,
    /// Its export name.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) leaf: Leaf,
}

/// Entries of a list.
const ENTRIES: usize = 4096;

/// What is noted and not yet taken.
#[repr(C)]
struct Noted {
    length: AtomicUsize,
    entries: [AtomicU64; ENTRIES],
}

/// A list for each of [`List`], and one more for shadows.
static NOTED: [Noted; 4] = [const {
    Noted {
        length: AtomicUsize::new(0),
        entries: [const { AtomicU64::new(0) }; ENTRIES],
    }
}; 4];
/// What shadows have for the level, for a KLOCK_QUEUE_HANDLE and for what the driver wants to know.
static SHADOW: [AtomicU64; 3] = [
    AtomicU64::new(DISPATCH_LEVEL as u64),
    AtomicU64::new(DISPATCH_LEVEL as u64),
    AtomicU64::new(0),
];
/// How often a shadow can be called before its leaf, and the bytes of the call.
const AGAIN_MOST: u8 = 2;
const AGAIN_BYTES: u64 = 5;
/// Whether a list was full.
static IS_OVERFULL: AtomicBool = AtomicBool::new(false);
/// The time, in 100 ns.
static NOW_100NS: AtomicU64 = AtomicU64::new(0);

/// The rate of [`Leaf::Counter`], in Hz.
const FREQUENCY: u64 = 10_000_000;

/// Sets the time that driver code reads, in 100 ns.
pub(crate) fn set_time(now_100ns: u64) {
    NOW_100NS.store(now_100ns, Ordering::Relaxed);
}

impl List {
    fn noted(self) -> &'static Noted {
        &NOTED[self as usize]
    }

    /// Notes something at the end.
    pub(crate) fn push(self, value: u64) {
        let noted = self.noted();
        let length = noted.length.load(Ordering::Relaxed);
        match noted.entries.get(length) {
            Some(entry) => {
                entry.store(value, Ordering::Relaxed);
                noted.length.store(length + 1, Ordering::Relaxed);
            }
            None => IS_OVERFULL.store(true, Ordering::Relaxed),
        }
    }

    /// Takes what was noted last.
    pub(crate) fn pop(self) -> Option<u64> {
        let noted = self.noted();
        let last = noted.length.load(Ordering::Relaxed).checked_sub(1)?;
        let value = noted.entries.get(last)?.load(Ordering::Relaxed);
        noted.length.store(last, Ordering::Relaxed);
        Some(value)
    }

    /// Whether nothing is noted.
    pub(crate) fn is_empty(self) -> bool {
        self.noted().length.load(Ordering::Relaxed) == 0
    }
}

/// Forgets what is noted; tells whether a list was full meanwhile.
pub(crate) fn clear() -> bool {
    for noted in &NOTED {
        noted.length.store(0, Ordering::Relaxed);
    }
    IS_OVERFULL.swap(false, Ordering::Relaxed)
}

/// Stubs that can be made leaves.
///
/// # Invariants
/// `room` holds a counter for each entry, and from [`Stubs::TARGETS`] on the address of each one's code once they are leaves.
#[derive(Debug)]
pub(super) struct Stubs {
    room: Mapping,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    stub: u64,
    leaf: Leaf,
    /// The stub's own bytes.
    plain: [u8; Self::BYTES],
}

impl Entry {
    const BYTES: usize = 13;

    /// `inc [counter]; jmp [target]`, both relative to the end of their instruction.
    fn counting(&self, counter: u64, target: u64) -> [u8; Self::BYTES] {
        let mut code = [0x48, 0xFF, 0x05, 0, 0, 0, 0, 0xFF, 0x25, 0, 0, 0, 0];
        let distance = |to: u64, end: u64| (to.wrapping_sub(self.stub + end) as u32).to_le_bytes();
        code[3..7].copy_from_slice(&distance(counter, 7));
        code[9..13].copy_from_slice(&distance(target, 13));
        code
    }
}

impl Stubs {
    const TARGETS: u64 = layout::PAGE / 2;

    /// Those of `imports`, as they are.
    pub(super) fn new(imports: &[LeafImport]) -> io::Result<Self> {
        let room = Mapping::private(layout::LEAVES, layout::PAGE as usize, Access::ReadWrite)?;
        let mut entries = Vec::new();
        for import in imports {
            let stub = import_address(import.module, import.name)
                .ok_or_else(|| io::Error::other(format!("there is no {}", import.name)))?;
            let mut plain = [0; Entry::BYTES];
            machine::with_registry(|registry| registry.read_stub(stub, &mut plain));
            let leaf = import.leaf;
            entries.push(Entry { stub, leaf, plain });
        }
        Ok(Self { room, entries })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Makes them leaves, with counters at 0 and with so many calls of their shadows (two at most), or what they were.
    pub(super) fn switch(&self, again: Option<u8>) -> io::Result<()> {
        if let Some(again) = again {
            self.room.fill(0, Self::TARGETS as usize, 0);
            for (target, entry) in (Self::TARGETS..).step_by(8).zip(&self.entries) {
                let code = entry.leaf.code(again);
                self.room.write(target, &code.to_le_bytes());
            }
        }
        let room = self.room.address();
        let at = |index: usize| 8 * index as u64;
        let codes = self.entries.iter().enumerate().map(|(index, entry)| {
            let code = if again.is_some() {
                entry.counting(room + at(index), room + Self::TARGETS + at(index))
            } else {
                entry.plain
            };
            (entry.stub, code)
        });
        machine::with_registry(|registry| registry.write_stubs(codes)).unwrap_or(Ok(()))
    }

    /// Calls of each since they became leaves.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> {
        (0..self.len()).map(|index| {
            let mut bytes = [0; 8];
            self.room.read(8 * index as u64, &mut bytes);
            u64::from_le_bytes(bytes)
        })
    }
}

#[cfg(test)]
mod tests;
