//! The way up from an exception: through the image, and where handlers were called by the lab, through
//! the exception or the unwinding that they were called for.

use super::{Dispatch, TRANSPARENT};
use crate::rt::{
    call,
    context::{Context, ImportFrame},
    machine, thunk,
    unwind::{self, Registers, Step},
};

/// What the context of a coroutine holds while a piece of driver code runs that the lab has called.
#[derive(Clone, Copy)]
pub(super) struct Activation {
    pub(super) host_sp: u64,
    pub(super) driver_sp: u64,
    pub(super) frame: *const ImportFrame,
}

impl Activation {
    /// That of the code that runs, or that has called the lab's import `frame`, if one is given.
    pub(super) fn of(context: &Context, frame: Option<&ImportFrame>) -> Self {
        match frame {
            None => Self {
                host_sp: context.host_sp.get(),
                driver_sp: context.driver_sp.get(),
                frame: context.frame.get(),
            },
            Some(frame) => Self {
                host_sp: context.host_sp.get(),
                driver_sp: frame.driver_sp_outside,
                frame: frame.outer,
            },
        }
    }
}

/// A place on the way up.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub(super) registers: Registers,
    pub(super) activation: Activation,
    /// The innermost exception or unwinding that the way has not passed.
    pub(super) dispatch: *const Dispatch,
    /// The first scope to look at in the frame that is next: behind one whose handler this came from.
    pub(super) scope: u32,
}

/// A frame on the way up.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) step: Step,
    /// The registers above it.
    pub(super) after: Registers,
}

impl Walk {
    /// The frame that is next; nothing where the way ends at code that is not the driver's.
    pub(super) fn frame(&mut self) -> Option<Frame> {
        loop {
            let mut after = self.registers;
            let rip = after.rip;
            let stepped = machine::with_image_at(rip, |image| unwind::step(image, &mut after));
            if let Some(step) = stepped {
                after.is_return = true;
                return Some(Frame { step: step?, after });
            }
            self.cross()?;
        }
    }

    /// Goes one frame up.
    pub(super) fn pass(&mut self, frame: &Frame) {
        self.registers = frame.after;
        self.scope = 0;
    }

    /// From code that the lab has called to where it was called for.
    fn cross(&mut self) -> Option<()> {
        if !thunk::is_return_from_driver(self.registers.rip) {
            return None;
        }
        // SAFETY: the activation is one whose code runs or waits for what it has called, see `Activation`.
        let (frame, host_sp) = unsafe { thunk::kept(self.activation.host_sp) };
        // SAFETY: null, or it lives as long as it is in a context's list.
        if let Some(dispatch) = unsafe { self.dispatch.as_ref() }
            && dispatch.host_sp == host_sp
        {
            *self = dispatch.next();
            return Some(());
        }
        // SAFETY: null, or the import that called the driver again, which has not returned.
        let frame = unsafe { frame.as_ref() }?;
        if !TRANSPARENT.contains(&call::name_of(frame)) {
            return None;
        }
        self.registers = unwind::at_import(frame)?;
        self.activation = Activation {
            host_sp,
            driver_sp: frame.driver_sp_outside,
            frame: frame.outer,
        };
        Some(())
    }
}

/// How many imports are running in an activation.
pub(super) fn depth(activation: &Activation) -> usize {
    let mut depth = 0;
    let mut next = activation.frame;
    while !next.is_null() {
        // SAFETY: imports that have not returned, outermost last.
        next = unsafe { (*next).outer };
        depth += 1;
    }
    depth
}
