//! Unwind information of a function (`UNWIND_INFO`).
//!
//! Parsed anew: `pe-unwind-info` 0.6.1 forgets the padding of an odd number of codes, so its handler
//! and chained entries are wrong for about half of all functions.

use crate::{Error, Function, Image, bytes::Bytes};

const FLAG_EXCEPTION_HANDLER: u8 = 1;
const FLAG_TERMINATION_HANDLER: u8 = 2;
const FLAG_CHAINED: u8 = 4;

/// What one step of a prolog did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Pushed a nonvolatile register (its number in the processor's order: RAX 0, RCX 1, …).
    Push(u8),
    /// Took this many bytes of stack.
    Allocate(u32),
    /// Set the frame register.
    SetFrame,
    /// Stored a nonvolatile register at this offset from the frame.
    Save(u8, u32),
    /// Stored the 16 bytes of an XMM register at this offset from the frame.
    SaveXmm(u8, u32),
    /// The processor pushed a trap frame, with an error code or without.
    MachineFrame {
        /// Whether an error code lies below it.
        error_code: bool,
    },
}

/// One step of a prolog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Offset in the prolog of the instruction after the step.
    pub offset: u8,
    /// What it did.
    pub operation: Operation,
}

/// A language-specific handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handler {
    /// Its RVA.
    pub rva: u32,
    /// RVA of its data.
    pub data_rva: u32,
    /// Whether it handles exceptions.
    pub exception: bool,
    /// Whether it runs when the stack is unwound.
    pub termination: bool,
}

/// How to undo a function's prolog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnwindInfo {
    /// Bytes of the prolog.
    pub prolog_bytes: u8,
    /// The frame register and its distance above the stack pointer, if the function has one.
    pub frame: Option<(u8, u32)>,
    /// The prolog's steps, last first.
    pub codes: Vec<Code>,
    /// Its handler.
    pub handler: Option<Handler>,
    /// The entry whose prolog ran before this one's.
    pub chained: Option<Function>,
}

impl Image {
    /// The unwind information at `rva`.
    ///
    /// # Errors
    /// When it is cut off, or of a version or with a code that does not exist.
    pub fn unwind_info(&self, rva: u32) -> Result<UnwindInfo, Error> {
        parse(Bytes::new(&self.mapped), rva)
    }
}

fn parse(image: Bytes<'_>, rva: u32) -> Result<UnwindInfo, Error> {
    let damaged = |why| Error::damaged(format!("unwind information at {rva:#x}"), why);
    let cut = || damaged("it reaches beyond the image");
    let header = image.part(rva, 4).ok_or_else(cut)?;
    let byte = |offset| header.u8(offset).unwrap_or(0);
    let (version, flags) = (byte(0) & 7, byte(0) >> 3);
    if !matches!(version, 1 | 2) {
        return Err(damaged("its version is unknown"));
    }
    let slots = u32::from(byte(2));
    let table = rva
        .checked_add(4)
        .and_then(|at| image.part(at, 2 * slots))
        .ok_or_else(cut)?;
    let frame = (byte(3) & 0xF != 0).then_some((byte(3) & 0xF, 16 * u32::from(byte(3) >> 4)));
    let mut codes = Vec::new();
    let mut slot = 0;
    while slot < slots {
        let (operation, taken) = operation(table, slot, version)
            .ok_or_else(|| damaged("it has a code that does not exist"))?;
        if let Some(operation) = operation {
            codes.push(Code {
                offset: table.u8(2 * slot).unwrap_or(0),
                operation,
            });
        }
        slot += taken;
    }
    // The codes are padded to an even number.
    let trailer = rva + 4 + 2 * slots.next_multiple_of(2);
    let mut info = UnwindInfo {
        prolog_bytes: byte(1),
        frame,
        codes,
        handler: None,
        chained: None,
    };
    if flags & FLAG_CHAINED != 0 {
        info.chained = Some(Function::read(image, trailer).ok_or_else(cut)?);
    } else if flags & (FLAG_EXCEPTION_HANDLER | FLAG_TERMINATION_HANDLER) != 0 {
        info.handler = Some(Handler {
            rva: image
                .u32(trailer)
                .filter(|rva| image.u8(*rva).is_some())
                .ok_or_else(cut)?,
            data_rva: trailer + 4,
            exception: flags & FLAG_EXCEPTION_HANDLER != 0,
            termination: flags & FLAG_TERMINATION_HANDLER != 0,
        });
    }
    Ok(info)
}

/// The operation in `slot` (none for an epilog marker of version 2) and the slots that it takes.
fn operation(table: Bytes<'_>, slot: u32, version: u8) -> Option<(Option<Operation>, u32)> {
    let at = 2 * slot;
    let code = table.u8(at + 1)?;
    let (kind, info) = (code & 0xF, code >> 4);
    let scaled = |unit: u32| Some(u32::from(table.u16(at + 2)?) * unit);
    let (operation, taken) = match (kind, info) {
        (0, register) => (Operation::Push(register), 1),
        (1, 0) => (Operation::Allocate(scaled(8)?), 2),
        (1, 1) => (Operation::Allocate(table.u32(at + 2)?), 3),
        (2, count) => (Operation::Allocate(8 * u32::from(count) + 8), 1),
        (3, _) => (Operation::SetFrame, 1),
        (4, register) => (Operation::Save(register, scaled(8)?), 2),
        (5, register) => (Operation::Save(register, table.u32(at + 2)?), 3),
        (6, _) if version == 2 => return Some((None, 1)),
        (8, register) => (Operation::SaveXmm(register, scaled(16)?), 2),
        (9, register) => (Operation::SaveXmm(register, table.u32(at + 2)?), 3),
        (10, info @ 0..=1) => (
            Operation::MachineFrame {
                error_code: info == 1,
            },
            1,
        ),
        _ => return None,
    };
    Some((Some(operation), taken))
}
