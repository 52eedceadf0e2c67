//! Structured exceptions: looking for a handler, and unwinding to it, by the image's own tables.
//!
//! 1. [`of_fault`] and [`raise`] write record and context below the driver's stack pointer and ask the
//!    handler of each frame, innermost first. Handlers are code of the image; most of them are a jump to the
//!    import `__C_specific_handler`, which calls filters.
//! 2. A filter that accepts makes it unwind: every frame from the exception on is told, `__finally` blocks
//!    run, and driver code goes on at the target. What the host's stack holds below is given up.
//!
//! An exception in a handler (a filter, a `__finally`) goes up through the exception or the unwinding that
//! the handler was called for: a filter's to the frames that were asked before, a `__finally`'s to those
//! that are still to be unwound (a collided unwind). It does not go through an import of the lab's that has
//! called the driver: nobody handles it there, as Windows would cut off the import's own work.

mod guarded;
mod look;
mod record;
mod scope;
mod walk;

use std::cell::Cell;

use super::{
    call::{call_driver, cut},
    context::{self, Context, Interrupted, RAX},
    machine,
    mem::{self, BadAddress},
    pool, thunk,
    unwind::{self, Registers},
};
pub(crate) use guarded::is_caller_guarded;
pub(in crate::rt) use guarded::is_guarded;
pub(crate) use look::{
    USER_END, capture, function_entry, image_of, is_user, on_stack, stack_limits, undo_frame,
};
use record::CONTEXT_SIZE;
pub(crate) use record::{Exception, dispatcher, exception_record};
pub(in crate::rt) use record::{read_context, write_context};
pub(crate) use scope::Scope;
use walk::{Activation, Frame, Walk};

/// Imports that handlers run in: an exception goes up through them.
const TRANSPARENT: &[&str] = &[
    "__C_specific_handler",
    "_local_unwind",
    "RtlUnwind",
    "RtlUnwindEx",
];

/// Flags of an EXCEPTION_RECORD.
pub(crate) mod flag {
    pub(crate) const NONCONTINUABLE: u32 = 1;
    pub(crate) const UNWINDING: u32 = 2;
    pub(crate) const EXIT_UNWIND: u32 = 4;
    pub(crate) const TARGET_UNWIND: u32 = 0x20;
}

/// What a handler answers after which the driver goes on where the exception was.
const CONTINUE_EXECUTION: u64 = 0;

/// An exception or an unwinding that is under way.
///
/// # Invariants
/// It lives on the host stack of the coroutine in whose context's list it is, above everything that its handlers do.
pub(in crate::rt) struct Dispatch {
    outer: *const Self,
    /// What `host_sp` was when handlers were called: this is how the way up knows that it comes from one.
    host_sp: u64,
    /// Where a way up that comes from a handler goes on.
    next: Cell<Walk>,
    /// What an unwinding's handler was given, whose scope index tells how far it is; 0 for an exception.
    dispatcher: Cell<u64>,
}

impl Dispatch {
    /// Begins one; [`Dispatch::end`] or a resumption ends it.
    fn new(context: &Context, walk: Walk) -> Self {
        Self {
            outer: context.dispatch(),
            host_sp: context.host_sp.get(),
            next: Cell::new(walk),
            dispatcher: Cell::new(0),
        }
    }

    /// Where a way up goes on that comes from a handler.
    fn next(&self) -> Walk {
        let next = self.next.get();
        let index = match self.dispatcher.get() {
            0 => None,
            at => dispatcher::SCOPE_INDEX.read(at).ok(),
        };
        Walk {
            scope: index.unwrap_or(next.scope),
            ..next
        }
    }
}

/// What handlers are told of the exception as a whole.
#[derive(Clone, Copy)]
struct Told {
    record: u64,
    context: u64,
    dispatcher: u64,
    target_ip: u64,
}

impl Told {
    /// Takes the room for it on the driver's stack, below `below`.
    fn take_room(context: &Context, below: u64, target_ip: u64) -> Option<Self> {
        let record_bytes = exception_record::SIZE.next_multiple_of(16);
        let bytes = record_bytes + CONTEXT_SIZE + dispatcher::SIZE;
        let record = record::take_room(context, below, bytes)?;
        Some(Self {
            record,
            context: record + record_bytes,
            dispatcher: record + record_bytes + CONTEXT_SIZE,
            target_ip,
        })
    }
}

/// Raises an exception for an instruction of the driver's; comes back if nobody handles it.
pub(in crate::rt) fn of_fault(
    context: &Context,
    interrupted: &Interrupted,
    exception: &Exception<'_>,
) {
    let mut registers = Registers::of_interrupted(interrupted);
    let fx = interrupted.fx;
    let activation = Activation::of(context, None);
    machine::with_images(|images| unwind::enter_image(images, &mut registers));
    let below = record::stack_pointer(&registers);
    let walk = Walk {
        registers,
        activation,
        dispatch: context.dispatch(),
        scope: 0,
    };
    search(context, walk, below, interrupted.flags, &fx, exception);
    context.driver_sp.set(activation.driver_sp);
}

/// Raises an exception in the import that runs, at its caller; comes back if nobody handles it.
pub(crate) fn raise(code: u32, flags: u32, information: &[u64]) {
    let Some(context) = context::current() else {
        return;
    };
    let Some(walk) = walk_of_import(context) else {
        return;
    };
    let below = context.driver_sp.get();
    let exception = Exception {
        code,
        flags,
        address: walk.registers.rip,
        information,
    };
    let fx = record::plain_fx();
    search(context, walk, below, record::PLAIN_FLAGS, &fx, &exception);
    context.driver_sp.set(below);
}

/// The way up from the caller of the import that runs.
fn walk_of_import(context: &Context) -> Option<Walk> {
    let frame = context.import_frame()?;
    Some(Walk {
        registers: unwind::at_import(frame)?,
        activation: Activation::of(context, Some(frame)),
        dispatch: context.dispatch(),
        scope: 0,
    })
}

/// Asks the handlers of all frames.
fn search(
    context: &Context,
    start: Walk,
    below: u64,
    flags: u64,
    fx: &[u8; 512],
    exception: &Exception<'_>,
) {
    let Some(told) = Told::take_room(context, below, 0) else {
        return;
    };
    let written = exception
        .write(told.record)
        .and_then(|()| write_context(told.context, &start.registers, flags));
    if written.is_err() {
        return;
    }
    let dispatch = Dispatch::new(context, start);
    context.set_dispatch(&raw const dispatch);
    let mut walk = start;
    while let Some(frame) = walk.frame() {
        let handler = frame.step.handler.filter(|handler| handler.exception);
        if let Some(handler) = handler {
            let answer = ask(&walk, &frame, handler, &told);
            if answer.is_ok_and(|answer| answer == CONTINUE_EXECUTION)
                && exception.flags & flag::NONCONTINUABLE == 0
            {
                context.set_dispatch(dispatch.outer);
                go_on(context, &start, told.context, fx);
                break;
            }
        }
        walk.pass(&frame);
    }
    context.set_dispatch(dispatch.outer);
}

/// Calls a frame's handler.
fn ask(
    walk: &Walk,
    frame: &Frame,
    handler: lab_pe::unwind::Handler,
    told: &Told,
) -> Result<u64, BadAddress> {
    let base = image_base(walk.registers.rip);
    let image = |rva: u32| base + u64::from(rva);
    let at = told.dispatcher;
    mem::fill(at, dispatcher::SIZE as usize, 0)?;
    dispatcher::CONTROL_PC.write(at, walk.registers.rip)?;
    dispatcher::IMAGE_BASE.write(at, base)?;
    dispatcher::FUNCTION_ENTRY.write(at, entry_address(base, frame.step.function))?;
    dispatcher::ESTABLISHER.write(at, frame.step.establisher)?;
    dispatcher::TARGET_IP.write(at, told.target_ip)?;
    dispatcher::CONTEXT.write(at, told.context)?;
    dispatcher::HANDLER.write(at, image(handler.rva))?;
    dispatcher::HANDLER_DATA.write(at, image(handler.data_rva))?;
    dispatcher::SCOPE_INDEX.write(at, walk.scope)?;
    let answer = call_driver(
        image(handler.rva),
        &[told.record, frame.step.establisher, told.context, at],
    );
    // EXCEPTION_DISPOSITION is 32 bits wide.
    Ok(answer & 0xFFFF_FFFF)
}

/// Where the image with an address begins; 0 where there is none.
fn image_base(address: u64) -> u64 {
    machine::with_image_at(address, |image| image.base).unwrap_or(0)
}

/// Where the entry of a function in the image at `base` is in memory; 0 for none.
fn entry_address(base: u64, function: Option<lab_pe::Function>) -> u64 {
    const ENTRY_BYTES: u64 = 12;
    let place = |function: lab_pe::Function| {
        machine::with_image_at(base, |image| {
            let functions = &image.plan.functions;
            let index = functions.binary_search_by_key(&function.begin_rva, |f| f.begin_rva);
            let table = base + u64::from(image.plan.function_table_rva);
            Some(table + ENTRY_BYTES * index.ok()? as u64)
        })
    };
    function.and_then(place).flatten().unwrap_or(0)
}

/// Goes on where the exception was, with the registers that a handler has left in the CONTEXT.
fn go_on(context: &Context, start: &Walk, at: u64, fx: &[u8; 512]) {
    if let Ok((registers, flags)) = read_context(at) {
        resume(context, start, &registers, flags, *fx);
    }
}

/// Lets driver code run on with these registers, in the activation that `walk` has reached.
fn resume(
    context: &Context,
    walk: &Walk,
    registers: &Registers,
    flags: u64,
    mut fx: [u8; 512],
) -> ! {
    /// Status flags, direction and interrupts: not the trap flag, nor what a process may not change.
    const FLAGS: u64 = 0xED5;
    registers.save_xmm(&mut fx);
    let mut interrupted = context.interrupted.get();
    interrupted.general = registers.general;
    interrupted.rip = registers.rip;
    interrupted.flags = flags & FLAGS | record::PLAIN_FLAGS;
    interrupted.fx = fx;
    context.interrupted.set(interrupted);
    context.host_sp.set(walk.activation.host_sp);
    context.driver_sp.set(walk.activation.driver_sp);
    context.frame.set(walk.activation.frame);
    context.set_dispatch(walk.dispatch);
    context.is_trapped.set(false);
    context::forget_capture();
    cut(walk::depth(&walk.activation));
    pool::settle();
    // SAFETY: 1. the three members are those of the code that goes on, just set; 2. see `crate::rt`.
    unsafe { thunk::resume(context) }
}

/// Where an unwinding goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// The frame that is the last one; none unwinds everything.
    pub(crate) frame: Option<u64>,
    /// Where code goes on in it.
    pub(crate) ip: u64,
    /// What RAX holds there.
    pub(crate) value: u64,
}

/// Unwinds from the caller of the import that runs to `target`, and goes on there. `record` is the address of the
/// exception's record, or 0. Comes back only where there is no such frame.
pub(crate) fn unwind(target: Target, record: u64) {
    let Some(context) = context::current() else {
        return;
    };
    let Some(walk) = walk_of_import(context) else {
        return;
    };
    let below = context.driver_sp.get();
    let dispatch = Dispatch::new(context, walk);
    context.set_dispatch(&raw const dispatch);
    let found = unwind_frames(context, walk, &dispatch, target, record);
    context.set_dispatch(dispatch.outer);
    context.driver_sp.set(below);
    let Some(found) = found else { return };
    let mut registers = found.registers;
    registers.rip = target.ip;
    registers.general[RAX] = target.value;
    let fx = record::plain_fx();
    resume(context, &found, &registers, record::PLAIN_FLAGS, fx)
}

/// Tells every frame up to the target, and gives the place of that.
fn unwind_frames(
    context: &Context,
    mut walk: Walk,
    dispatch: &Dispatch,
    target: Target,
    given: u64,
) -> Option<Walk> {
    const STATUS_UNWIND: u32 = 0xC000_0027;
    let mut told = Told::take_room(context, context.driver_sp.get(), target.ip)?;
    if given != 0 {
        told.record = given;
    } else {
        let unwinding = Exception {
            code: STATUS_UNWIND,
            flags: 0,
            address: walk.registers.rip,
            information: &[],
        };
        unwinding.write(told.record).ok()?;
    }
    let kind = match target.frame {
        Some(_) => flag::UNWINDING,
        None => flag::UNWINDING | flag::EXIT_UNWIND,
    };
    let flags = exception_record::FLAGS.read(told.record).ok()? & !flag::TARGET_UNWIND | kind;
    while let Some(frame) = walk.frame() {
        let establisher = frame.step.establisher;
        let is_target = target.frame == Some(establisher);
        // Stacks grow down: above the target there is nothing to look for.
        if target.frame.is_some_and(|target| establisher > target) {
            return None;
        }
        let reached = if is_target { flag::TARGET_UNWIND } else { 0 };
        exception_record::FLAGS
            .write(told.record, flags | reached)
            .ok()?;
        if let Some(handler) = frame.step.handler.filter(|handler| handler.termination) {
            write_context(told.context, &walk.registers, record::PLAIN_FLAGS).ok()?;
            dispatch.next.set(walk);
            dispatch.dispatcher.set(told.dispatcher);
            ask(&walk, &frame, handler, &told).ok()?;
        }
        if is_target {
            return Some(walk);
        }
        walk.pass(&frame);
    }
    None
}
