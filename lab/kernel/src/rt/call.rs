//! Calls between the image and the lab.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    context::{self, Context, ImportFrame},
    machine::{self, Hooks, Reason},
    mem, meter, pool, sched, thunk, trap, user,
};

/// A function that the lab offers to the image.
#[derive(Debug)]
pub(crate) struct Import {
    /// File that Windows exports it from, lower case: `ntoskrnl.exe`, `ndis.sys`, `hal.dll`.
    pub(crate) module: &'static str,
    /// Its export name.
    pub(crate) name: &'static str,
    /// What it does; the result goes to RAX.
    pub(crate) run: fn(&Call<'_>) -> u64,
}

/// A variable that the lab offers to the image.
#[derive(Debug)]
pub(crate) struct DataExport {
    /// File that Windows exports it from, lower case.
    pub(crate) module: &'static str,
    /// Its export name.
    pub(crate) name: &'static str,
    /// What it holds at first; the image may read and write it.
    pub(crate) words: &'static [u64],
}

/// One call of an [`Import`] by the image.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    import: &'static Import,
    frame: &'a ImportFrame,
    deeper_stack_bytes: Option<u64>,
}

impl<'a> Call<'a> {
    /// The call that `frame` is of, which nobody looks at.
    pub(super) fn new(import: &'static Import, frame: &'a ImportFrame) -> Self {
        Self {
            import,
            frame,
            deeper_stack_bytes: None,
        }
    }

    /// The function called.
    pub(crate) fn import(&self) -> &'static Import {
        self.import
    }

    /// The place of the function in the machine's registry.
    pub(crate) fn index(&self) -> usize {
        self.frame.index as usize
    }

    /// The stack pointer of the caller.
    pub(crate) fn stack_pointer(&self) -> u64 {
        self.frame.driver_sp
    }

    /// Bytes of the driver's stack in use, if no call of the run came from so deep before, to the KiB.
    pub(crate) fn deeper_stack_bytes(&self) -> Option<u64> {
        self.deeper_stack_bytes
    }

    /// Argument `i` (from 0), as a register holds it: narrower arguments have rubbish above.
    pub(crate) fn arg(&self, i: usize) -> u64 {
        // The thunk has put the first four where the convention keeps room for them. Some bytes
        // above a stack's first frame are readable, so only a broken stack pointer gives 0.
        let first = self.frame.driver_sp.wrapping_add(8);
        mem::read(first.wrapping_add(8 * i as u64)).unwrap_or(0)
    }

    /// The first eight arguments, whether there are so many or not.
    pub(crate) fn first_args(&self) -> [u64; 8] {
        let mut bytes = [0; 64];
        let first = self.frame.driver_sp.wrapping_add(8);
        match mem::read_into(first, &mut bytes) {
            Ok(()) => {
                let mut words = bytes.as_chunks().0.iter();
                std::array::from_fn(|_| words.next().map_or(0, |word| u64::from_le_bytes(*word)))
            }
            Err(_) => std::array::from_fn(|i| self.arg(i)),
        }
    }

    /// Argument `i` as a 32-bit integer.
    pub(crate) fn arg_u32(&self, i: usize) -> u32 {
        self.arg(i) as u32
    }

    /// Argument `i` as a 16-bit integer.
    pub(crate) fn arg_u16(&self, i: usize) -> u16 {
        self.arg(i) as u16
    }

    /// Argument `i` as a byte (BOOLEAN, KIRQL, KPROCESSOR_MODE).
    pub(crate) fn arg_u8(&self, i: usize) -> u8 {
        self.arg(i) as u8
    }
}

thread_local! {
    /// The functions of the loaded machine by index, and what is called around them.
    static BOUND: Cell<Option<(&'static [&'static Import], Hooks)>> = const { Cell::new(None) };
}

/// Publishes what stubs call. Stubs outlive no run, but what they call must outlive them all: it is kept for ever, once
/// for runs that offer the same.
pub(super) fn publish(functions: &[&'static Import], hooks: Hooks) {
    let same = |known: &&'static [&'static Import]| {
        let mut pairs = known.iter().zip(functions);
        known.len() == functions.len() && pairs.all(|(known, new)| std::ptr::eq(*known, *new))
    };
    let known = BOUND.get().map(|(known, _)| known).filter(same);
    let kept = known.unwrap_or_else(|| functions.to_vec().leak());
    BOUND.set(Some((kept, hooks)));
}

/// Called by the import thunk on the host stack.
pub(super) extern "sysv64" fn enter(frame: &ImportFrame) -> u64 {
    match catch_unwind(AssertUnwindSafe(|| dispatch(frame))) {
        Ok(result) => result,
        Err(panic) => sched::stop(Reason::internal(&*panic)),
    }
}

fn dispatch(frame: &ImportFrame) -> u64 {
    if meter::is_on() {
        return meter::import(frame);
    }
    let (functions, hooks) = BOUND
        .get()
        .expect("stubs exist only while a machine is loaded");
    context::forget_capture();
    // Nothing of the lab's leads here with another number, but a jump into the middle of a stub does.
    let Some(import) = functions.get(frame.index as usize) else {
        sched::stop(Reason::Fault(trap::wild_jump(frame.driver_sp)));
    };
    sched::note_import();
    machine::note_import();
    let is_here =
        |context: &&Context| (context.stack_low..=context.stack_high).contains(&frame.driver_sp);
    let used_bytes = context::current()
        .filter(is_here)
        .map(|context| context.stack_high - frame.driver_sp);
    let call = Call {
        import,
        frame,
        deeper_stack_bytes: used_bytes.and_then(machine::note_stack),
    };
    user::close();
    sched::point();
    (hooks.before)(&call);
    let result = (hooks.instead)(&call).unwrap_or_else(|| (call.import.run)(&call));
    (hooks.after)(&call, result);
    user::close();
    sched::point();
    pool::settle();
    context::forget_capture();
    result
}

/// What stubs call, by the index in their frames.
pub(super) fn functions() -> &'static [&'static Import] {
    BOUND.get().map_or(&[], |(functions, _)| functions)
}

/// The name of the import that `frame` is of.
pub(super) fn name_of(frame: &ImportFrame) -> &'static str {
    let import = BOUND
        .get()
        .and_then(|(functions, _)| functions.get(frame.index as usize));
    import.map_or("", |import| import.name)
}

/// An exception has ended all but `left` of the imports that the running thread was in.
pub(super) fn cut(left: usize) {
    if let Some((_, hooks)) = BOUND.get() {
        (hooks.cut)(left);
    }
}

/// Calls code of the image on its own stack and gives back RAX. Nests; the call may suspend inside.
///
/// Must be called from a kernel thread or a DPC body, see the rule of the cut in [`super`].
pub(crate) fn call_driver(address: u64, arguments: &[u64]) -> u64 {
    let context: &Context = context::current().expect("called from a kernel thread or a DPC");
    if meter::is_on() {
        return meter::call(context, address, arguments);
    }
    if context.import_frame().is_none() {
        sched::reset_busy();
    }
    pool::settle();
    context::forget_capture();
    // SAFETY: 1. it is the running coroutine's; 2. is passed on to the caller (see the module).
    let result = unsafe { thunk::call(context, address, arguments) };
    context::forget_capture();
    result
}

/// Address of what `module` exports as `name`: a function's stub, or a variable.
pub(crate) fn import_address(module: &str, name: &str) -> Option<u64> {
    machine::with_registry(|registry| registry.address(module, name)).flatten()
}
