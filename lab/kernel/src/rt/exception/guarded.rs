//! Whether code of the driver is ready for an exception: inside a `__try` with an `__except` of its own, or of a caller's.

use super::{Activation, Frame, Scope, Walk, image_base, walk_of_import};
use crate::rt::{
    context::{self, Interrupted},
    machine,
    unwind::{self, Registers},
};

/// Whether the code that was interrupted is.
pub(in crate::rt) fn is_guarded(interrupted: &Interrupted) -> bool {
    let Some(context) = context::current() else {
        return true;
    };
    let mut registers = Registers::of_interrupted(interrupted);
    machine::with_images(|images| unwind::enter_image(images, &mut registers));
    guards(Walk {
        registers,
        activation: Activation::of(context, None),
        dispatch: context.dispatch(),
        scope: 0,
    })
}

/// Whether the caller of the import that runs is. Where none runs, nobody has to be.
pub(crate) fn is_caller_guarded() -> bool {
    let walk = context::current().and_then(walk_of_import);
    walk.is_none_or(guards)
}

/// Whether a handler is on the way up.
fn guards(mut walk: Walk) -> bool {
    while let Some(frame) = walk.frame() {
        if guards_frame(&walk, &frame) {
            return true;
        }
        walk.pass(&frame);
    }
    false
}

/// Whether a frame's handler has a table of scopes, as those for C have, and one with an `__except` is around the code.
fn guards_frame(walk: &Walk, frame: &Frame) -> bool {
    /// More scopes than any function has: it is no such table.
    const MOST: u32 = 4096;
    let (Some(handler), Some(function)) = (frame.step.handler, frame.step.function) else {
        return false;
    };
    if !handler.exception {
        return false;
    }
    let base = image_base(walk.registers.rip);
    let table = base + u64::from(handler.data_rva);
    let offset = walk.registers.rip - base;
    let body = u64::from(function.begin_rva)..=u64::from(function.end_rva);
    let count = Scope::count(table).ok().filter(|count| *count <= MOST);
    let mut is_around = false;
    for index in walk.scope..count.unwrap_or(0) {
        let Ok(scope) = Scope::read(table, index) else {
            return false;
        };
        if scope.begin > scope.end || !body.contains(&scope.begin) || !body.contains(&scope.end) {
            return false;
        }
        is_around |= scope.target != 0 && scope.contains(offset);
    }
    is_around
}
