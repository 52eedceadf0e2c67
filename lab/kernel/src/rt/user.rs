//! Memory of user mode: what the processes that send requests have, and its second mapping for MDLs.
//!
//! A buffer belongs to a process and can be touched only while a thread of that process runs, below DISPATCH_LEVEL.
//! It is closed otherwise, and opened for one instruction at a time, so that the lab looks at each touch: whether the
//! process is the right one, and whether the code is ready for an exception. Of many touches without a call of an import
//! in between it looks at the first ones.
//!
//! Locked pages can be mapped for the system as well, at a fixed distance: there they can be touched in any context and
//! at any level, also after the process has given them up, and not when they are unmapped.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
};

use super::{
    fault::UserMisuse,
    layout::{PAGE, USER, USER_BYTES, USER_MAPPED},
    machine::Reason,
    mapping::{Access, Mapping, MemoryFile},
    mem::BadAddress,
    sched::{self, DISPATCH_LEVEL},
    trap,
};

/// What a process may do with a buffer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Nothing: there is no memory.
    None,
    /// It may be read.
    Read,
    /// It may be read and written.
    Write,
}

impl Rights {
    fn access(self) -> Access {
        match self {
            Self::None => Access::None,
            Self::Read => Access::Read,
            Self::Write => Access::ReadWrite,
        }
    }

    fn allows(self, writes: bool) -> bool {
        self == Self::Write || self == Self::Read && !writes
    }
}

/// What is at an address of user mode that could not be touched as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserPlace {
    /// Memory of a process, with the rights that it has.
    There,
    /// Memory that its process has given up: its request is over.
    Gone,
    /// The system's mapping of pages that are locked to be read.
    ReadOnly,
}

/// What came of a touch that the processor refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// It is not memory of user mode that was ever there.
    Unknown,
    /// It can be touched now.
    Opened,
    /// It cannot be touched.
    Refused,
    /// No driver may touch it, whatever is there.
    Misused(UserMisuse),
}

/// A buffer. Its pages are its own, and one behind them is nobody's.
#[derive(Debug, Clone, Copy)]
struct Buffer {
    /// The pages, from the first one's offset.
    bytes: u64,
    process: u32,
    rights: Rights,
    is_gone: bool,
    /// Whether the request that has brought it is completed.
    is_over: bool,
    /// Whether its process unmaps it as soon as the driver has probed it.
    is_fleeting: bool,
    /// How often its pages are locked and mapped for the system.
    mapped: u32,
    /// Whether one of these mappings is for pages that are locked to be written.
    is_written: bool,
}

impl Buffer {
    /// What is wrong with a touch by who runs now.
    fn misuse(&self) -> Option<UserMisuse> {
        if self.is_gone || self.is_over {
            Some(UserMisuse::Over)
        } else if self.process == sched::process() {
            None
        } else {
            Some(UserMisuse::OtherProcess)
        }
    }
}

/// All memory of user mode of a run.
///
/// # Invariants
/// A buffer that is not open is inaccessible in `seen`, one without mappings in `mapped`; so is all that no buffer has.
struct Space {
    file: MemoryFile,
    seen: Mapping,
    mapped: Mapping,
    /// By the offset of their first page.
    buffers: BTreeMap<u64, Buffer>,
    /// What is not given out.
    next: u64,
}

thread_local! {
    static SPACE: RefCell<Option<Space>> = const { RefCell::new(None) };
    /// The process whose buffers are open; 0 for none.
    static OPEN: Cell<u32> = const { Cell::new(0) };
    /// Touches that were looked at since the last import.
    static LOOKS: Cell<u32> = const { Cell::new(0) };
    /// Whether it is open for the instruction that runs.
    static IS_STEPPED: Cell<bool> = const { Cell::new(false) };
}

/// Begins a run without such memory, or ends one.
pub(super) fn reset() {
    SPACE.take();
    OPEN.set(0);
}

impl Space {
    fn new() -> io::Result<Self> {
        let file = MemoryFile::new(USER_BYTES)?;
        let bytes = USER_BYTES as usize;
        let seen = file.map(USER, bytes, Access::None)?;
        let mapped = file.map(USER_MAPPED, bytes, Access::None)?;
        Ok(Self {
            file,
            seen,
            mapped,
            buffers: BTreeMap::new(),
            next: 0,
        })
    }

    /// The buffer whose pages an address of user mode, or of the system's mapping, is in.
    fn find(&mut self, address: u64) -> Option<(u64, &mut Buffer)> {
        let offset = offset(address)?;
        let (first, buffer) = self.buffers.range_mut(..=offset).next_back()?;
        (offset < first + buffer.bytes).then_some((*first, buffer))
    }
}

fn offset(address: u64) -> Option<u64> {
    let in_range = |first: u64| address.checked_sub(first).filter(|it| *it < USER_BYTES);
    in_range(USER).or_else(|| in_range(USER_MAPPED))
}

/// Whether an address is one that only a process may use.
fn is_seen(address: u64) -> bool {
    address.wrapping_sub(USER) < USER_BYTES
}

fn with<R>(body: impl FnOnce(&mut Space) -> io::Result<R>) -> R {
    let done = SPACE.with_borrow_mut(|space| {
        let space = match space {
            Some(space) => space,
            None => space.insert(Space::new()?),
        };
        body(space)
    });
    done.unwrap_or_else(|error| {
        sched::stop(Reason::Internal(format!("memory of user mode: {error}")))
    })
}

/// The same where nothing was ever given out.
fn with_any<R>(body: impl FnOnce(&mut Space) -> Option<R>) -> Option<R> {
    SPACE.with_borrow_mut(|space| space.as_mut().and_then(body))
}

/// What a buffer is to be.
pub(crate) struct NewBuffer<'a> {
    /// Whose it is.
    pub(crate) process: u32,
    /// What it holds at first; zeros follow.
    pub(crate) content: &'a [u8],
    /// Its length; its end is as near to the end of a page as that allows.
    pub(crate) length: u64,
    /// Its address is so many bytes, fewer than 16, above a multiple of 16.
    pub(crate) beyond: u64,
    pub(crate) rights: Rights,
    /// Whether its process unmaps it as soon as the driver has probed it.
    pub(crate) is_fleeting: bool,
}

/// Gives a process a buffer; its address.
pub(crate) fn allocate(new: &NewBuffer<'_>) -> u64 {
    const ALIGNMENT: u64 = 16;
    with(|space| {
        let beyond = new.beyond.next_multiple_of(ALIGNMENT);
        let room = new.length.max(1).next_multiple_of(ALIGNMENT) + beyond;
        let bytes = room.next_multiple_of(PAGE);
        let first = space.next;
        let start = first + bytes - room + new.beyond;
        let next = first + bytes + PAGE;
        if next > USER_BYTES {
            return Err(io::Error::other("its address space is spent"));
        }
        space.next = next;
        space.file.write(start, new.content)?;
        let buffer = Buffer {
            bytes,
            process: new.process,
            rights: new.rights,
            is_gone: false,
            is_over: false,
            is_fleeting: new.is_fleeting,
            mapped: 0,
            is_written: false,
        };
        space.buffers.insert(first, buffer);
        if OPEN.get() == new.process {
            let access = new.rights.access();
            space.seen.protect(first, bytes as usize, access)?;
        }
        Ok(USER + start)
    })
}

/// The request that has brought a buffer is completed: its process may do with it what it likes.
pub(crate) fn end(address: u64) {
    with_any(|space| {
        space.find(address)?.1.is_over = true;
        Some(())
    });
    if OPEN.get() != 0 {
        shut();
    }
}

/// The process gives a buffer up. What is mapped for the system stays there.
pub(crate) fn release(address: u64) {
    with(|space| {
        let Some((first, buffer)) = space.find(address) else {
            return Ok(());
        };
        (buffer.is_gone, buffer.rights) = (true, Rights::None);
        let (bytes, is_mapped) = (buffer.bytes, buffer.mapped > 0);
        space.seen.protect(first, bytes as usize, Access::None)?;
        if !is_mapped {
            space.file.punch(first, bytes)?;
        }
        Ok(())
    });
}

/// What a buffer holds, whoever runs.
pub(crate) fn content(address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    with(|space| {
        let at = offset(address).unwrap_or(0);
        space.file.read(at, &mut bytes)
    });
    bytes
}

/// Closes what is open: another process is about to run, or the processor is no longer below DISPATCH_LEVEL, or the
/// driver has called an import.
pub(super) fn close() {
    LOOKS.set(0);
    if OPEN.get() != 0 {
        shut();
    }
}

fn shut() {
    OPEN.set(0);
    with(|space| {
        let end = space.next as usize;
        space.seen.protect(0, end, Access::None)
    });
}

/// A thread of this process is about to run, at this level.
pub(super) fn switch(process: u32, irql: u8) {
    if OPEN.get() != process || irql >= DISPATCH_LEVEL {
        close();
    }
}

/// Something at `address` could not be touched: opens it if it was only closed.
pub(super) fn touch(address: u64, writes: bool) -> Touch {
    if !is_seen(address) {
        return Touch::Unknown;
    }
    let Some(buffer) = with_any(|space| space.find(address).map(|(_, buffer)| *buffer)) else {
        return Touch::Unknown;
    };
    if let Some(misuse) = buffer.misuse() {
        return Touch::Misused(misuse);
    }
    if OPEN.get() == buffer.process
        || sched::irql() >= DISPATCH_LEVEL
        || !buffer.rights.allows(writes)
    {
        return Touch::Refused;
    }
    open(buffer.process);
    Touch::Opened
}

/// Ends the run if the driver is about to probe or lock memory of user mode as no driver may.
pub(crate) fn refuse_misused(address: u64) {
    let buffer = with_any(|space| space.find(address).map(|(_, buffer)| *buffer));
    let buffer = buffer.filter(|_| is_seen(address));
    if let Some(misuse) = buffer.and_then(|buffer| buffer.misuse()) {
        let write = false;
        trap::refuse_import(misuse, BadAddress { address, write });
    }
}

/// The driver's instruction is about to touch what was just opened: whether it is to be the only one that does.
pub(super) fn begin_look() -> bool {
    /// A loop over a buffer touches it very often.
    const MOST: u32 = 256;
    LOOKS.set(LOOKS.get() + 1);
    IS_STEPPED.set(LOOKS.get() <= MOST);
    IS_STEPPED.get()
}

/// The instruction has run, or something else came of it: tells whether there was one.
pub(super) fn end_look() -> bool {
    let was_stepped = IS_STEPPED.replace(false);
    if was_stepped {
        shut();
    }
    was_stepped
}

/// Lets the running thread touch what its process has.
fn open(process: u32) {
    OPEN.set(process);
    with(|space| {
        let buffers = space.buffers.iter();
        for (first, buffer) in buffers.filter(|(_, buffer)| buffer.process == process) {
            if buffer.rights != Rights::None {
                let access = buffer.rights.access();
                space.seen.protect(*first, buffer.bytes as usize, access)?;
            }
        }
        Ok(())
    });
}

/// What an address of user mode, or of the system's mapping of such memory, is.
pub(super) fn place(address: u64) -> Option<UserPlace> {
    let buffer = with_any(|space| space.find(address).map(|(_, buffer)| *buffer))?;
    Some(match is_seen(address) {
        true if buffer.is_gone => UserPlace::Gone,
        true => UserPlace::There,
        false if buffer.mapped > 0 => UserPlace::ReadOnly,
        // What was mapped for the system and is not any more.
        false => UserPlace::Gone,
    })
}

/// Whether the running process may use all of a buffer so, without a touch; the first byte otherwise.
///
/// # Errors
/// Where it may not.
pub(crate) fn check(address: u64, length: u64, writes: bool) -> Result<(), BadAddress> {
    let end = address.saturating_add(length);
    let mut at = address;
    while at < end {
        let buffer = with_any(|space| space.find(at).map(|(_, buffer)| *buffer));
        let is_usable =
            buffer.is_some_and(|buffer| buffer.misuse().is_none() && buffer.rights.allows(writes));
        if !is_usable {
            let write = writes;
            return Err(BadAddress { address: at, write });
        }
        at = (at / PAGE + 1) * PAGE;
    }
    Ok(())
}

/// The driver has probed a buffer: a thread of its process may do something meanwhile.
pub(crate) fn note_probe(address: u64) {
    let fleeting = with_any(|space| {
        let (first, buffer) = space.find(address)?;
        buffer.is_fleeting.then(|| {
            buffer.rights = Rights::None;
            (first, buffer.bytes as usize)
        })
    });
    if let Some((first, bytes)) = fleeting {
        with(|space| space.seen.protect(first, bytes, Access::None));
    }
}

/// Ends the run: the driver probes an address, and is not ready for what that may raise.
pub(crate) fn refuse_unguarded(address: u64) -> ! {
    let bad = BadAddress {
        address,
        write: false,
    };
    trap::refuse_import(UserMisuse::Unguarded, bad)
}

/// Whether pages of user mode are at an address.
pub(crate) fn holds(address: u64) -> bool {
    is_seen(address) && with_any(|space| space.find(address).map(|_| ())).is_some()
}

/// Maps pages for the system that are locked to be read, or to be written too; the address there.
pub(crate) fn map(address: u64, writes: bool) -> u64 {
    with(|space| {
        let Some((first, buffer)) = space.find(address) else {
            return Ok(());
        };
        buffer.mapped += 1;
        buffer.is_written |= writes;
        let access = if buffer.is_written {
            Access::ReadWrite
        } else {
            Access::Read
        };
        let bytes = buffer.bytes as usize;
        space.mapped.protect(first, bytes, access)
    });
    address - USER + USER_MAPPED
}

/// Undoes one [`map`].
pub(crate) fn unmap(address: u64) {
    with(|space| {
        let Some((first, buffer)) = space.find(address) else {
            return Ok(());
        };
        buffer.mapped = buffer.mapped.saturating_sub(1);
        let (bytes, is_over) = (buffer.bytes, buffer.is_gone);
        if buffer.mapped > 0 {
            return Ok(());
        }
        buffer.is_written = false;
        space.mapped.protect(first, bytes as usize, Access::None)?;
        if is_over {
            space.file.punch(first, bytes)?;
        }
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::{NewBuffer, Rights, UserPlace};
    use crate::rt::{layout, machine, signal::Handlers};

    #[test]
    fn buffers_end_where_nothing_is() {
        let _only = machine::only();
        let _handlers = Handlers::install().expect("signals");
        super::reset();
        let new = |content, length, beyond| NewBuffer {
            process: 1,
            content,
            length,
            beyond,
            rights: Rights::Write,
            is_fleeting: false,
        };
        let even = super::allocate(&new(b"abc", 32, 0));
        assert_eq!((even + 32) % layout::PAGE, 0);
        assert_eq!(super::content(even, 4), *b"abc\0");
        let odd = super::allocate(&new(b"", 5000, 1));
        assert_eq!(odd % 16, 1);
        assert!(super::holds(odd) && super::holds(odd + 4999));
        assert!(!super::holds(even + 32) && !super::holds(layout::LOW));
        let mapped = super::map(even, true);
        super::release(even);
        assert_eq!(super::content(mapped, 3), *b"abc");
        assert_eq!(super::place(even), Some(UserPlace::Gone));
        super::unmap(even);
        assert_eq!(super::content(mapped, 3), *b"\0\0\0");
        super::reset();
    }
}
