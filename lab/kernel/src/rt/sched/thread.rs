//! A kernel thread or DPC body as a coroutine.

use std::{mem, panic, ptr::NonNull, rc::Rc, sync::atomic::Ordering};

use corosensei::{Coroutine, CoroutineResult, stack::DefaultStack};

use super::{
    CURRENT, DISPATCH_LEVEL, MACHINE, Machine, PASSIVE_LEVEL, Processors, Reason, ThreadId, Wait,
    fast, irql, set_irql, stack::STACK_BYTES, thread_object,
};
use crate::rt::{
    context::{self, Context},
    journal::{self, What},
    paged, user,
};

/// Bytes of a host stack: room for formatting, symbols and panics.
const HOST_STACK_BYTES: usize = 256 << 10;

type Body = Coroutine<(), (), (), DefaultStack>;

/// Where a thread is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// On no processor.
    Off,
    /// On this processor, running or interrupted.
    On(u32),
}

/// # Invariants
/// `coroutine` is there whenever the thread does not run.
pub(super) struct Thread {
    pub(super) name: String,
    pub(super) context: Rc<Context>,
    coroutine: Option<Abandoned>,
    /// The processors that it may run on, a bit for each; all without.
    pub(super) affinity: Option<u64>,
    pub(super) is_dpc: bool,
    pub(super) stage: Stage,
    pub(super) irql: u8,
    /// The image on whose behalf it runs.
    pub(super) image: u8,
    /// The process whose thread it is.
    process: u32,
    /// Virtual time that it has run.
    pub(super) spent_ns: u64,
    pub(super) dispatch_since_ns: u64,
    busy: u64,
    pub(super) pauses: u32,
    pub(super) waiting: Option<Waiting>,
    pub(super) outcome: Wait,
}

/// Threads that have not ended, by id. There are few, and they are looked at with every switch.
///
/// # Invariants
/// In ascending order of id.
#[derive(Default)]
pub(super) struct Threads(Vec<(ThreadId, Thread)>);

impl Threads {
    /// Adds a thread whose id is the highest that was ever given out.
    pub(super) fn add(&mut self, id: ThreadId, thread: Thread) {
        // INVARIANT: ids are given out in ascending order.
        self.0.push((id, thread));
    }

    fn position(&self, id: ThreadId) -> Option<usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    pub(super) fn get(&self, id: ThreadId) -> Option<&Thread> {
        self.position(id).map(|at| &self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, id: ThreadId) -> Option<&mut Thread> {
        self.position(id).map(|at| &mut self.0[at].1)
    }

    pub(super) fn remove(&mut self, id: ThreadId) -> Option<Thread> {
        self.position(id).map(|at| self.0.remove(at).1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ThreadId, &Thread)> {
        self.0.iter().map(|(id, thread)| (*id, thread))
    }

    /// The threads whose ids are at least `from`.
    pub(super) fn iter_from(&self, from: ThreadId) -> impl Iterator<Item = (ThreadId, &Thread)> {
        let first = self.0.partition_point(|(id, _)| *id < from);
        self.0[first..].iter().map(|(id, thread)| (*id, thread))
    }
}

/// What a thread waits for.
pub(super) struct Waiting {
    pub(super) deadline_ns: u64,
    condition: Condition,
}

/// A condition that a suspended wait lends.
pub(super) type Condition = NonNull<dyn FnMut() -> bool>;

impl Waiting {
    /// A wait of the running thread, which suspends at once.
    pub(super) fn new(deadline_ns: u64, condition: &mut dyn FnMut() -> bool) -> Self {
        let condition = NonNull::from(condition);
        // SAFETY: only the lifetime changes. The condition is borrowed by the suspended
        // `wait_until`, which goes on only after this value was taken out of the thread; if it
        // never goes on, the condition is never tried again either.
        let condition = unsafe {
            mem::transmute::<NonNull<dyn FnMut() -> bool + '_>, NonNull<dyn FnMut() -> bool>>(
                condition,
            )
        };
        Self {
            deadline_ns,
            condition,
        }
    }

    /// A pointer to try the condition with, while the machine's state is not borrowed.
    pub(super) fn condition(&self) -> Condition {
        self.condition
    }
}

/// A coroutine whose drop abandons it instead of unwinding it: there may be image frames on it.
struct Abandoned(Option<Body>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(body) = &mut self.0 {
            // SAFETY: by the rule of the cut, nothing on the stack of a suspended coroutine needs
            // its destructor; what it leaks is leaked.
            unsafe { body.force_reset() };
        }
    }
}

impl Thread {
    /// A thread that has not run, for one processor or any. A DPC body has one.
    pub(super) fn new(
        machine: &mut Machine,
        name: String,
        processor: Option<u32>,
        image: u8,
        body: Box<dyn FnOnce()>,
    ) -> Self {
        let stacks = machine.stacks.as_mut().expect("threads start within a run");
        let low = stacks
            .take()
            .unwrap_or_else(|error| panic!("no stack for {name}: {error}"));
        let host_stack = machine.host_stacks.pop().unwrap_or_else(|| {
            DefaultStack::new(HOST_STACK_BYTES)
                .unwrap_or_else(|error| panic!("no host stack for {name}: {error}"))
        });
        let coroutine = Coroutine::with_stack(host_stack, move |yielder, ()| {
            let context = context::current().expect("the scheduler has set it");
            context.yielder.set(yielder);
            if let Err(panic) = panic::catch_unwind(panic::AssertUnwindSafe(body)) {
                super::note_stop(Reason::internal(&*panic));
            }
        });
        Self {
            name,
            context: Rc::new(Context::new(low, low + STACK_BYTES)),
            coroutine: Some(Abandoned(Some(coroutine))),
            affinity: processor.map(|processor| 1 << processor),
            is_dpc: false,
            stage: Stage::Off,
            irql: PASSIVE_LEVEL,
            image,
            process: 0,
            spent_ns: 0,
            dispatch_since_ns: 0,
            busy: 0,
            pauses: 0,
            waiting: None,
            outcome: Wait::Satisfied,
        }
    }

    /// Whether it may run on a processor.
    pub(super) fn may_run_on(&self, processor: u32) -> bool {
        self.affinity.is_none_or(|mask| mask >> processor & 1 != 0)
    }

    /// Whether it has to go to another processor than this, and can.
    pub(super) fn leaves(&self, processor: u32) -> bool {
        !self.is_dpc && self.irql < DISPATCH_LEVEL && !self.may_run_on(processor)
    }

    /// What it does, for a person.
    pub(super) fn state(&self) -> &'static str {
        match (&self.waiting, self.irql >= DISPATCH_LEVEL) {
            (Some(_), true) => "spins at DISPATCH_LEVEL",
            (Some(_), false) => "waits",
            (None, _) if self.coroutine.is_none() => "runs",
            (None, _) => "could run",
        }
    }
}

/// Runs a thread on the processor that it is on, until it suspends (false) or ends (true).
pub(super) fn resume(id: ThreadId, processors: &Processors) -> bool {
    let (mut coroutine, context) = MACHINE.with_borrow_mut(|machine| {
        let thread = machine
            .threads
            .get_mut(id)
            .expect("the thread has not ended");
        let Stage::On(processor) = thread.stage else {
            panic!("it was put on a processor")
        };
        fast(|fast| {
            fast.current.set(Some(id));
            fast.processor.set(processor);
            fast.spent_ns
                .set(machine.processors[processor as usize].spent_ns);
            fast.spent_before_ns.set(fast.spent_ns.get());
            set_irql(thread.irql);
            fast.image.set(thread.image);
            fast.process.set(thread.process);
            fast.dispatch_since_ns.set(thread.dispatch_since_ns);
            fast.busy.set(thread.busy);
            fast.pauses.set(thread.pauses);
            fast.is_misplaced.set(!thread.may_run_on(processor));
            fast.has_dpc
                .set(!machine.processors[processor as usize].queue.is_empty());
            fast.switches.set(fast.switches.get() + 1);
        });
        if thread.irql >= DISPATCH_LEVEL {
            paged::close();
        }
        user::switch(thread.process, thread.irql);
        processors.enter(processor, thread_object(id));
        journal::note_of(id, processor, thread.irql, || What::Runs);
        (
            thread.coroutine.take().expect("it is suspended"),
            Rc::as_ptr(&thread.context),
        )
    });
    CURRENT.store(context.cast_mut(), Ordering::Relaxed);
    let body = coroutine.0.as_mut().expect("it has not ended");
    let result = body.resume(());
    CURRENT.store(std::ptr::null_mut(), Ordering::Relaxed);
    MACHINE.with_borrow_mut(|machine| {
        let thread = machine
            .threads
            .get_mut(id)
            .expect("only the scheduler ends threads");
        fast(|fast| {
            let processor = fast.processor.get() as usize;
            machine.processors[processor].spent_ns = fast.spent_ns.get();
            thread.spent_ns += fast.spent_ns.get() - fast.spent_before_ns.get();
            thread.irql = irql();
            thread.image = fast.image.get();
            thread.process = fast.process.get();
            thread.dispatch_since_ns = fast.dispatch_since_ns.get();
            thread.busy = fast.busy.get();
            thread.pauses = fast.pauses.get();
            fast.current.set(None);
            journal::note_of(id, fast.processor.get(), thread.irql, || What::Rests);
            // What the scheduler looks at for threads may be paged.
            set_irql(PASSIVE_LEVEL);
        });
        thread.coroutine = Some(coroutine);
    });
    matches!(result, CoroutineResult::Return(()))
}

/// Takes an ended thread off its processor and keeps its stacks for others.
pub(super) fn end(id: ThreadId) {
    MACHINE.with_borrow_mut(|machine| {
        let mut thread = machine.threads.remove(id).expect("it has just run");
        if let Stage::On(processor) = thread.stage {
            journal::note_of(id, processor, PASSIVE_LEVEL, || What::Ends);
            let processor = &mut machine.processors[processor as usize];
            let slot = if thread.is_dpc {
                &mut processor.dpc
            } else {
                &mut processor.thread
            };
            *slot = None;
        }
        let stacks = machine.stacks.as_mut().expect("within a run");
        stacks.give_back(thread.context.stack_low);
        let body = thread
            .coroutine
            .as_mut()
            .and_then(|coroutine| coroutine.0.take());
        machine.host_stacks.extend(body.map(Coroutine::into_stack));
    });
}
