//! What the assembly keeps about a coroutine: where its two stacks go on.

use std::{
    cell::Cell,
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use corosensei::Yielder;

use super::{exception::Dispatch, trace::StackId};

/// Registers of driver code that a signal interrupted.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub(super) struct Interrupted {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 … R15.
    pub(super) general: [u64; 16],
    pub(super) rip: u64,
    pub(super) flags: u64,
    pub(super) fx: [u8; 512],
    /// The processor's error code and vector.
    pub(super) error: u64,
    pub(super) vector: u64,
    /// The signal and the address it came with.
    pub(super) signal: i32,
    pub(super) address: u64,
}

/// Numbers of general registers, as instructions encode them.
pub(super) const RAX: usize = 0;
pub(super) const RCX: usize = 1;
pub(super) const RDX: usize = 2;
pub(super) const RSP: usize = 4;

impl Interrupted {
    const NOTHING: Self = Self {
        general: [0; 16],
        rip: 0,
        flags: 0,
        fx: [0; 512],
        error: 0,
        vector: 0,
        signal: 0,
        address: 0,
    };
}

/// What an import finds on the host stack: the driver's registers at the call.
///
/// The import thunk builds it by pushing; the order here is the reverse of its pushes.
#[repr(C)]
#[derive(Debug)]
pub(super) struct ImportFrame {
    pub(super) xmm: [u128; 10],
    pub(super) driver_sp_outside: u64,
    /// The import that the running callback was called from.
    pub(super) outer: *const Self,
    pub(super) r15: u64,
    pub(super) r14: u64,
    pub(super) r13: u64,
    pub(super) r12: u64,
    pub(super) rdi: u64,
    pub(super) rsi: u64,
    pub(super) rbp: u64,
    pub(super) rbx: u64,
    /// Which import.
    pub(super) index: u64,
    /// The driver's stack pointer: its return address is there, its arguments are above.
    pub(super) driver_sp: u64,
}

/// A coroutine as the assembly and the signal handler see it.
///
/// # Invariants
/// While driver code of this coroutine runs, `host_sp` is a 16-byte-aligned address on its host
/// stack below which nothing is in use. `frame` is null or points to an import that has not
/// returned. `[stack_low, stack_high)` is its driver stack.
#[repr(C)]
pub(super) struct Context {
    pub(super) host_sp: Cell<u64>,
    pub(super) driver_sp: Cell<u64>,
    pub(super) frame: Cell<*const ImportFrame>,
    pub(super) yielder: Cell<*const Yielder<(), ()>>,
    pub(super) stack_low: u64,
    pub(super) stack_high: u64,
    pub(super) interrupted: Cell<Interrupted>,
    /// Whether the fault trampoline runs: the driver's stack begins at `interrupted` then.
    pub(super) is_trapped: Cell<bool>,
    /// The innermost exception or unwinding that is under way: null, or it lives on the host stack.
    dispatch: Cell<*const c_void>,
    /// The driver's stack, if it was captured since driver code ran last.
    pub(super) captured: Cell<Option<StackId>>,
}

impl Context {
    /// A coroutine that has not run yet, on the driver stack `[stack_low, stack_high)`.
    pub(super) fn new(stack_low: u64, stack_high: u64) -> Self {
        Self {
            host_sp: Cell::new(0),
            driver_sp: Cell::new(stack_high - TOP_BYTES),
            frame: Cell::new(ptr::null()),
            yielder: Cell::new(ptr::null()),
            stack_low,
            stack_high,
            interrupted: Cell::new(Interrupted::NOTHING),
            is_trapped: Cell::new(false),
            dispatch: Cell::new(ptr::null()),
            captured: Cell::new(None),
        }
    }

    /// The innermost exception or unwinding that is under way, or null.
    pub(super) fn dispatch(&self) -> *const Dispatch {
        self.dispatch.get().cast()
    }

    /// Begins or ends one.
    pub(super) fn set_dispatch(&self, dispatch: *const Dispatch) {
        self.dispatch.set(dispatch.cast());
    }

    /// The innermost import that has not returned.
    pub(super) fn import_frame(&self) -> Option<&ImportFrame> {
        // SAFETY: by the invariant, `frame` is null or points to a frame that is alive for as long
        // as this coroutine does not return from the import, which it cannot do while `self` is
        // borrowed by code that runs inside of it.
        unsafe { self.frame.get().as_ref() }
    }
}

/// Readable bytes above the first frame: an import reads that many stack arguments at most.
const TOP_BYTES: u64 = 256;

/// The coroutine that runs, or null. The assembly reads it.
pub(super) static CURRENT: AtomicPtr<Context> = AtomicPtr::new(ptr::null_mut());

/// The coroutine that runs. None on the scheduler's stack and outside of a run.
pub(super) fn current() -> Option<&'static Context> {
    // SAFETY: the scheduler sets it to a context that outlives the coroutine's activation, and to
    // null when the activation ends; callers run within the activation.
    unsafe { CURRENT.load(Ordering::Relaxed).as_ref() }
}

/// Driver code has run, or will: what was captured of its stack is not true any more.
pub(super) fn forget_capture() {
    if let Some(context) = current() {
        context.captured.set(None);
    }
}
