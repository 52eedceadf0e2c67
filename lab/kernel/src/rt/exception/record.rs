//! What handlers of exceptions are given, in memory that the driver sees: EXCEPTION_RECORD, CONTEXT,
//! DISPATCHER_CONTEXT.

use crate::rt::{
    context::{Context, RSP},
    mem::{self, BadAddress, Field},
    unwind::Registers,
};

/// EXCEPTION_RECORD.
pub(crate) mod exception_record {
    use super::Field;

    pub(crate) const SIZE: u64 = 0x98;
    pub(crate) const CODE: Field<u32> = Field::at(0);
    pub(crate) const FLAGS: Field<u32> = Field::at(4);
    pub(crate) const ADDRESS: Field<u64> = Field::at(0x10);
    pub(crate) const PARAMETERS: Field<u32> = Field::at(0x18);
    pub(crate) const INFORMATION: u64 = 0x20;
    /// Entries of `INFORMATION`.
    pub(crate) const MOST: usize = 15;
}

/// DISPATCHER_CONTEXT.
pub(crate) mod dispatcher {
    use super::Field;

    pub(crate) const SIZE: u64 = 0x50;
    pub(crate) const CONTROL_PC: Field<u64> = Field::at(0);
    pub(crate) const IMAGE_BASE: Field<u64> = Field::at(8);
    pub(crate) const FUNCTION_ENTRY: Field<u64> = Field::at(0x10);
    pub(crate) const ESTABLISHER: Field<u64> = Field::at(0x18);
    pub(crate) const TARGET_IP: Field<u64> = Field::at(0x20);
    pub(crate) const CONTEXT: Field<u64> = Field::at(0x28);
    pub(crate) const HANDLER: Field<u64> = Field::at(0x30);
    pub(crate) const HANDLER_DATA: Field<u64> = Field::at(0x38);
    pub(crate) const SCOPE_INDEX: Field<u32> = Field::at(0x48);
}

/// Bytes of a CONTEXT.
pub(super) const CONTEXT_SIZE: u64 = 0x4D0;
const CONTEXT_FLAGS: Field<u32> = Field::at(0x30);
const MX_CSR: Field<u32> = Field::at(0x34);
const E_FLAGS: Field<u32> = Field::at(0x44);
/// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 … R15, as instructions number them.
const GENERAL: u64 = 0x78;
const RIP: Field<u64> = Field::at(0xF8);
const FLOAT_SAVE: u64 = 0x100;
const XMM: u64 = FLOAT_SAVE + 0xA0;
/// Control, integer, segment and floating-point registers.
const ALL: u32 = 0x0010_000F;
/// What a user of CONTEXT expects in EFLAGS: interrupts on.
pub(super) const PLAIN_FLAGS: u64 = 0x202;
/// What a process begins with: no floating-point exception is asked for.
const CONTROL_WORD: u16 = 0x37F;
const PLAIN_MX_CSR: u32 = 0x1F80;

/// A saved floating-point state without anything in it.
pub(super) fn plain_fx() -> [u8; 512] {
    let mut fx = [0; 512];
    fx[..2].copy_from_slice(&CONTROL_WORD.to_le_bytes());
    fx[24..28].copy_from_slice(&PLAIN_MX_CSR.to_le_bytes());
    fx
}

/// Writes `registers` as a CONTEXT.
pub(in crate::rt) fn write_context(
    at: u64,
    registers: &Registers,
    flags: u64,
) -> Result<(), BadAddress> {
    mem::fill(at, CONTEXT_SIZE as usize, 0)?;
    CONTEXT_FLAGS.write(at, ALL)?;
    MX_CSR.write(at, PLAIN_MX_CSR)?;
    E_FLAGS.write(at, flags as u32)?;
    for (index, value) in registers.general.iter().enumerate() {
        mem::write(at + GENERAL + 8 * index as u64, *value)?;
    }
    RIP.write(at, registers.rip)?;
    let mut fx = plain_fx();
    registers.save_xmm(&mut fx);
    mem::write_bytes(at + FLOAT_SAVE, &fx)
}

/// Reads the registers of a CONTEXT, and its flags.
pub(in crate::rt) fn read_context(at: u64) -> Result<(Registers, u64), BadAddress> {
    let mut registers = Registers {
        general: [0; 16],
        rip: RIP.read(at)?,
        xmm: [0; 16],
        is_return: false,
    };
    for (index, value) in registers.general.iter_mut().enumerate() {
        *value = mem::read(at + GENERAL + 8 * index as u64)?;
    }
    for (index, value) in registers.xmm.iter_mut().enumerate() {
        let mut bytes = [0; 16];
        mem::read_into(at + XMM + 16 * index as u64, &mut bytes)?;
        *value = u128::from_le_bytes(bytes);
    }
    Ok((registers, E_FLAGS.read(at)?.into()))
}

/// An exception before it is in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exception<'a> {
    /// The status.
    pub(crate) code: u32,
    /// `EXCEPTION_NONCONTINUABLE` or nothing.
    pub(crate) flags: u32,
    /// Where.
    pub(crate) address: u64,
    /// What else is told, 15 words at most.
    pub(crate) information: &'a [u64],
}

impl Exception<'_> {
    pub(super) fn write(&self, at: u64) -> Result<(), BadAddress> {
        use exception_record as record;
        mem::fill(at, record::SIZE as usize, 0)?;
        record::CODE.write(at, self.code)?;
        record::FLAGS.write(at, self.flags)?;
        record::ADDRESS.write(at, self.address)?;
        let told = self.information.iter().take(record::MOST);
        record::PARAMETERS.write(at, told.len() as u32)?;
        for (index, word) in told.enumerate() {
            mem::write(at + record::INFORMATION + 8 * index as u64, *word)?;
        }
        Ok(())
    }
}

/// Room on the driver's stack, as the kernel takes it for what handlers are given.
///
/// Takes `bytes` below `below`; gives nothing where the stack is not one, or is used up.
pub(super) fn take_room(context: &Context, below: u64, bytes: u64) -> Option<u64> {
    /// What handlers need at least.
    const LEFT: u64 = 0x800;
    if !(context.stack_low..=context.stack_high).contains(&below) {
        return None;
    }
    let room = below.checked_sub(bytes)? & !0xF;
    (room >= context.stack_low + LEFT).then(|| {
        context.driver_sp.set(room);
        room
    })
}

/// The stack pointer below which handlers of code with these registers can run.
pub(super) fn stack_pointer(registers: &Registers) -> u64 {
    registers.general[RSP]
}
