//! Walks driver stacks by the image's unwind information.
//!
//! A walk begins at an import (the caller's registers are in the import frame) or at a fault (they
//! are in the interrupted context), goes up through the image, and where it reaches the lab's call
//! into the driver it goes on at the import that this callback was called from.

use lab_pe::{
    Function,
    unwind::{Handler, Operation, UnwindInfo},
};

use super::{
    context::{Context, ImportFrame, Interrupted, RSP},
    image::{Images, LoadedImage},
    mem, thunk,
};

/// Levels after which a walk gives up: a stack of 24 KiB has fewer frames that do anything.
const DEEPEST: usize = 128;

/// A place in driver code: what a walk yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level {
    /// Address in the image.
    pub(super) address: u64,
    /// Whether it is a return address, which belongs to the call before it.
    pub(super) is_return: bool,
}

/// Registers that matter to unwinding.
#[derive(Clone, Copy)]
pub(super) struct Registers {
    pub(super) general: [u64; 16],
    pub(super) rip: u64,
    pub(super) xmm: [u128; 16],
    /// Whether `rip` is a return address.
    pub(super) is_return: bool,
}

/// Where a saved state has the XMM registers.
const XMM: usize = 160;

impl Registers {
    /// Those of code that a signal interrupted.
    pub(super) fn of_interrupted(interrupted: &Interrupted) -> Self {
        let saved = interrupted.fx[XMM..].chunks_exact(16);
        let mut xmm = [0; 16];
        for (register, bytes) in xmm.iter_mut().zip(saved) {
            *register = u128::from_le_bytes(bytes.try_into().expect("16 bytes"));
        }
        Self {
            general: interrupted.general,
            rip: interrupted.rip,
            xmm,
            is_return: false,
        }
    }

    /// Puts the XMM registers into a saved state.
    pub(super) fn save_xmm(&self, fx: &mut [u8; 512]) {
        for (bytes, register) in fx[XMM..].chunks_exact_mut(16).zip(self.xmm) {
            bytes.copy_from_slice(&register.to_le_bytes());
        }
    }
}

/// What a step up tells of the code that it left.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// Its function; a leaf function has no entry.
    pub(super) function: Option<Function>,
    /// The function's frame, as its handlers are told.
    pub(super) establisher: u64,
    /// Its handler, if it is in the body that the handler is for.
    pub(super) handler: Option<Handler>,
}

/// The driver's stack of `context`: from where a signal interrupted it, if that is being handled,
/// else from its innermost import.
pub(super) fn walk(images: &Images, context: &Context) -> Vec<Level> {
    let mut levels = Vec::new();
    // Driver code that an import has called again begins to run only after a trap has been handled.
    if context.is_trapped.get() {
        walk_interrupted(images, &context.interrupted.get(), &mut levels);
    }
    walk_imports(images, context, &mut levels);
    levels
}

fn walk_interrupted(images: &Images, interrupted: &Interrupted, levels: &mut Vec<Level>) {
    let mut registers = Registers::of_interrupted(interrupted);
    enter_image(images, &mut registers);
    walk_image(images, &mut registers, levels);
}

/// Goes up to the image from where code of the driver's was interrupted that is none of it.
pub(super) fn enter_image(images: &Images, registers: &mut Registers) {
    if images.at(registers.rip).is_some() {
        return;
    }
    // A wild jump by `call`, or our assembly acting for the driver (`__chkstk` has pushed twice).
    let pushed = if thunk::acts_for_driver(registers.rip) {
        3
    } else {
        1
    };
    for _ in 0..pushed {
        if pop(registers).is_none() || images.at(registers.rip).is_some() {
            break;
        }
    }
    registers.is_return = true;
}

fn walk_imports(images: &Images, context: &Context, levels: &mut Vec<Level>) {
    let mut next = context.import_frame();
    while let Some(frame) = next {
        if let Some(mut registers) = at_import(frame) {
            walk_image(images, &mut registers, levels);
        }
        // SAFETY: an import frame's outer frame is null or one that lives longer: the import that
        // called the driver again has not returned (the import thunk pushes and pops it in order).
        next = unsafe { frame.outer.as_ref() };
    }
}

/// The driver's registers after it has returned from the import.
pub(super) fn at_import(frame: &ImportFrame) -> Option<Registers> {
    let mut general = [0; 16];
    general[3] = frame.rbx;
    general[5] = frame.rbp;
    general[6] = frame.rsi;
    general[7] = frame.rdi;
    general[12] = frame.r12;
    general[13] = frame.r13;
    general[14] = frame.r14;
    general[15] = frame.r15;
    general[RSP] = frame.driver_sp;
    let mut xmm = [0; 16];
    xmm[6..].copy_from_slice(&frame.xmm);
    let mut registers = Registers {
        general,
        rip: 0,
        xmm,
        is_return: true,
    };
    pop(&mut registers)?;
    Some(registers)
}

fn walk_image(images: &Images, registers: &mut Registers, levels: &mut Vec<Level>) {
    let Some(image) = images.at(registers.rip) else {
        return;
    };
    while levels.len() < DEEPEST && image.contains(registers.rip) {
        levels.push(Level {
            address: registers.rip,
            is_return: registers.is_return,
        });
        if step(image, registers).is_none() {
            return;
        }
        registers.is_return = true;
    }
}

/// Takes the return address from the stack.
fn pop(registers: &mut Registers) -> Option<()> {
    registers.rip = mem::read(registers.general[RSP]).ok()?;
    registers.general[RSP] = registers.general[RSP].wrapping_add(8);
    Some(())
}

/// Goes one frame up.
pub(super) fn step(image: &LoadedImage, registers: &mut Registers) -> Option<Step> {
    let rva = image.rva(registers.rip)?;
    // A return address may lie behind its function's last byte.
    let lookup = if registers.is_return {
        rva.checked_sub(1)?
    } else {
        rva
    };
    let Some(function) = image.plan.function_at(lookup) else {
        // A leaf function: it has not touched the stack.
        let establisher = registers.general[RSP];
        pop(registers)?;
        return Some(Step {
            function: None,
            establisher,
            handler: None,
        });
    };
    let mut info = image.unwind_info(function.unwind_rva)?;
    let mut done = rva.checked_sub(function.begin_rva)?;
    let mut step = Step {
        function: Some(*function),
        establisher: base(registers, &info, done),
        handler: None,
    };
    if !registers.is_return && finish_epilog(image, registers, &info, function)? {
        return Some(step);
    }
    let is_body = done >= u32::from(info.prolog_bytes);
    for _ in 0..DEEPEST {
        if undo(registers, &info, done)? {
            return Some(step);
        }
        let Some(outer) = info.chained else { break };
        info = image.unwind_info(outer.unwind_rva)?;
        // The prolog of an outer entry has run completely.
        done = u32::MAX;
    }
    if is_body {
        step.handler = info.handler;
    }
    pop(registers)?;
    Some(step)
}

/// What the saves of a prolog, of which `done` bytes have run, are relative to: the stack pointer after its
/// allocations.
fn base(registers: &Registers, info: &UnwindInfo, done: u32) -> u64 {
    let is_set = |code: &lab_pe::unwind::Code| {
        code.operation == Operation::SetFrame && u32::from(code.offset) <= done
    };
    match info.frame {
        Some((register, offset))
            if done >= u32::from(info.prolog_bytes)
                || info.chained.is_some()
                || info.codes.iter().any(is_set) =>
        {
            registers.general[usize::from(register)].wrapping_sub(u64::from(offset))
        }
        _ => registers.general[RSP],
    }
}

/// Undoes the steps of a prolog of which `done` bytes have run. True if a trap frame was found.
fn undo(registers: &mut Registers, info: &UnwindInfo, done: u32) -> Option<bool> {
    let ran = |offset: u8| u32::from(offset) <= done;
    let base = base(registers, info, done);
    for code in info.codes.iter().filter(|code| ran(code.offset)) {
        match code.operation {
            Operation::Push(register) => {
                let value = mem::read(registers.general[RSP]).ok()?;
                registers.general[RSP] = registers.general[RSP].wrapping_add(8);
                if usize::from(register) != RSP {
                    registers.general[usize::from(register)] = value;
                }
            }
            Operation::Allocate(bytes) => {
                registers.general[RSP] = registers.general[RSP].wrapping_add(u64::from(bytes));
            }
            Operation::SetFrame => registers.general[RSP] = base,
            Operation::Save(register, offset) => {
                registers.general[usize::from(register)] =
                    mem::read(base.wrapping_add(u64::from(offset))).ok()?;
            }
            Operation::SaveXmm(register, offset) => {
                let mut bytes = [0; 16];
                mem::read_into(base.wrapping_add(u64::from(offset)), &mut bytes).ok()?;
                registers.xmm[usize::from(register)] = u128::from_le_bytes(bytes);
            }
            Operation::MachineFrame { error_code } => {
                let frame = registers.general[RSP].wrapping_add(8 * u64::from(error_code));
                registers.rip = mem::read(frame).ok()?;
                registers.general[RSP] = mem::read(frame.wrapping_add(24)).ok()?;
                return Some(true);
            }
        }
    }
    Some(false)
}

/// If the interrupted instruction is in an epilog, does the rest of it. An epilog is
/// `add rsp` or `lea rsp`, pops, and a return or a jump that leaves the function.
fn finish_epilog(
    image: &LoadedImage,
    registers: &mut Registers,
    info: &UnwindInfo,
    function: &Function,
) -> Option<bool> {
    use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind, Register};
    let begin = image.rva(registers.rip)? as usize;
    let code = image.plan.mapped.get(begin..function.end_rva as usize)?;
    let mut general = registers.general;
    let decoder = Decoder::with_ip(64, code, registers.rip, DecoderOptions::NONE);
    for (index, instruction) in decoder.into_iter().enumerate() {
        match instruction.mnemonic() {
            Mnemonic::Add
                if index == 0
                    && instruction.op0_register() == Register::RSP
                    && instruction.op1_kind() != OpKind::Register =>
            {
                general[RSP] = general[RSP].wrapping_add(instruction.immediate(1));
            }
            Mnemonic::Lea if index == 0 && instruction.op0_register() == Register::RSP => {
                let (register, _) = info.frame?;
                if instruction.memory_base().number() != usize::from(register) {
                    return Some(false);
                }
                general[RSP] = general[usize::from(register)]
                    .wrapping_add(instruction.memory_displacement64());
            }
            Mnemonic::Pop if instruction.op0_register().is_gpr64() => {
                general[instruction.op0_register().number()] = mem::read(general[RSP]).ok()?;
                general[RSP] = general[RSP].wrapping_add(8);
            }
            Mnemonic::Ret => {}
            Mnemonic::Jmp if leaves(image, &instruction, function) => {}
            _ => return Some(false),
        }
        if matches!(instruction.mnemonic(), Mnemonic::Ret | Mnemonic::Jmp) {
            registers.general = general;
            pop(registers)?;
            return Some(true);
        }
    }
    Some(false)
}

/// Whether a jump is a tail call: indirect, or to another function.
fn leaves(image: &LoadedImage, instruction: &iced_x86::Instruction, function: &Function) -> bool {
    let target = instruction.near_branch_target();
    let rva = target.wrapping_sub(image.base);
    target == 0 || !(u64::from(function.begin_rva)..u64::from(function.end_rva)).contains(&rva)
}
