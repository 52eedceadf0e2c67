//! What drivers and their handlers can ask about frames.

use super::{entry_address, walk_of_import};
use crate::rt::{
    context, layout, machine,
    mem::{self, BadAddress},
    unwind,
};
use lab_pe::unwind::Handler;

/// A frame that was undone.
pub(crate) struct Unwound {
    /// As its handlers are told.
    pub(crate) establisher: u64,
    /// Its handler, if it is in the body that the handler is for.
    pub(crate) handler: Option<Handler>,
}

/// Undoes the frame of the code at `pc`, whose registers are in the CONTEXT at `at`. Nothing where that is no code of
/// the image's.
///
/// # Errors
/// When the CONTEXT cannot be used.
pub(crate) fn undo_frame(at: u64, pc: u64) -> Result<Option<Unwound>, BadAddress> {
    let (mut registers, flags) = super::read_context(at)?;
    registers.rip = pc;
    let step = machine::with_image_at(pc, |image| unwind::step(image, &mut registers)).flatten();
    let Some(step) = step else { return Ok(None) };
    super::write_context(at, &registers, flags)?;
    Ok(Some(Unwound {
        establisher: step.establisher,
        handler: step.handler,
    }))
}

/// Writes the registers of the running import's caller as a CONTEXT.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn capture(at: u64) -> Result<(), BadAddress> {
    let walk = context::current().and_then(walk_of_import);
    match walk {
        Some(walk) => super::write_context(at, &walk.registers, super::record::PLAIN_FLAGS),
        None => Ok(()),
    }
}

/// Writes words below everything that is on the driver's stack, where the code that the running import calls leaves
/// them alone; gives their address.
pub(crate) fn on_stack(words: &[u64; 2]) -> u64 {
    const BYTES: u64 = 16;
    let Some(context) = context::current() else {
        return 0;
    };
    let at = (context.driver_sp.get() - BYTES) & !0xF;
    context.driver_sp.set(at);
    // A stack that is used up is told when the code that is called next touches it.
    for (index, word) in words.iter().enumerate() {
        let _ = mem::write(at + 8 * index as u64, *word);
    }
    at
}

/// Where the image with the code at `pc` begins; nothing where it is in none.
pub(crate) fn image_of(pc: u64) -> Option<u64> {
    machine::with_image_at(pc, |image| image.base)
}

/// Address of the entry in the image's function table that is for the code at `pc`; 0 for none.
pub(crate) fn function_entry(pc: u64) -> u64 {
    let find = |image: &crate::rt::image::LoadedImage| {
        let rva = image.rva(pc)?;
        image.plan.function_at(rva).copied()
    };
    let function = machine::with_image_at(pc, find).flatten();
    entry_address(super::image_base(pc), function)
}

/// Where user mode ends in the lab: below all that it gives out.
pub(crate) const USER_END: u64 = layout::LOW;

/// Whether an address is one of user mode.
pub(crate) fn is_user(address: u64) -> bool {
    address < USER_END
}

/// The lowest address of the stack that the running thread's driver code is on, and the end.
pub(crate) fn stack_limits() -> (u64, u64) {
    context::current().map_or((0, 0), |context| (context.stack_low, context.stack_high))
}
