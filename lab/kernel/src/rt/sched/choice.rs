//! Who runs next.

use super::{
    Hang, HangKind, MACHINE, Machine, Processor, ThreadId, Wait, fast, last_id, next_id, now,
    on_behalf, random,
    thread::{Condition, Stage, Thread},
};
use crate::rt::{
    journal::{self, What},
    sched::{
        DISPATCH_LEVEL, DISPATCH_LIMIT_NS,
        dpc::{Dpc, expire},
        hang::report_hang,
        set_now,
    },
};

/// Pauses in a row after which a thread counts as spinning until something else happens.
const PATIENT_PAUSES: u32 = 100;

/// Chooses a thread and puts it on a processor, letting time pass if everyone waits or spins.
pub(super) fn choose() -> Result<ThreadId, Hang> {
    loop {
        let now_ns = now();
        expire(now_ns);
        try_conditions(now_ns);
        check_limits(now_ns)?;
        let next_ns = MACHINE.with_borrow_mut(|machine| {
            list_options(machine);
            next_event(machine).filter(|_| !gets_on(machine))
        });
        match next_ns {
            Some(next_ns) => fast(|fast| set_now(fast, next_ns.max(now_ns))),
            None => {
                let chosen = MACHINE.with_borrow_mut(pick);
                return chosen.ok_or_else(|| report_hang(HangKind::Deadlock, None));
            }
        }
    }
}

/// Whether someone can run who does more than spin.
fn gets_on(machine: &Machine) -> bool {
    let spins = |id: &ThreadId| {
        machine
            .threads
            .get(*id)
            .is_some_and(|thread| thread.pauses >= PATIENT_PAUSES)
    };
    let mut processors = machine.processors.iter();
    processors.any(|it| it.starts_dpc() || !it.options.iter().all(spins))
}

/// When the next wait or DPC is due.
fn next_event(machine: &Machine) -> Option<u64> {
    let waits = machine
        .threads
        .iter()
        .filter_map(|(_, thread)| thread.waiting.as_ref());
    let deadlines = waits
        .map(|waiting| waiting.deadline_ns)
        .filter(|due_ns| *due_ns != u64::MAX);
    deadlines
        .chain(machine.timed.keys().map(|(due_ns, _)| *due_ns))
        .min()
}

/// Ends the waits whose condition holds or whose deadline has passed. The conditions are tried in
/// an order that begins at random, so that none of several waiters is preferred.
pub(super) fn try_conditions(now_ns: u64) {
    let first = ThreadId(random(last_id() + 1) as u32);
    let end = ThreadId(u32::MAX);
    try_between(first, end, now_ns);
    try_between(ThreadId(0), first, now_ns);
}

fn try_between(mut from: ThreadId, end: ThreadId, now_ns: u64) {
    // The state is not borrowed while a condition runs, so each waiter is looked up anew.
    while let Some((id, deadline_ns, image, mut condition)) = next_waiting(from, end) {
        from = ThreadId(id.0 + 1);
        // SAFETY: the thread still waits, so the condition that it lent is still borrowed by its
        // suspended wait (see `Waiting::new`), and nobody else uses it now.
        let condition = unsafe { condition.as_mut() };
        let outcome = if on_behalf(image, condition) {
            Wait::Satisfied
        } else if deadline_ns <= now_ns {
            Wait::TimedOut
        } else {
            continue;
        };
        MACHINE.with_borrow_mut(|machine| {
            if let Some(thread) = machine.threads.get_mut(id) {
                thread.waiting = None;
                thread.outcome = outcome;
            }
        });
    }
}

fn next_waiting(from: ThreadId, end: ThreadId) -> Option<(ThreadId, u64, u8, Condition)> {
    MACHINE.with_borrow(|machine| {
        let mut threads = machine
            .threads
            .iter_from(from)
            .take_while(|(id, _)| *id < end);
        threads.find_map(|(id, thread)| {
            let waiting = thread.waiting.as_ref()?;
            let condition = waiting.condition();
            Some((id, waiting.deadline_ns, thread.image, condition))
        })
    })
}

fn check_limits(now_ns: u64) -> Result<(), Hang> {
    let (late, stuck) = MACHINE.with_borrow(|machine| {
        let stuck = machine.threads.iter().find(|(_, thread)| {
            let stay_ns = now_ns - thread.dispatch_since_ns.min(now_ns);
            let stands = thread.waiting.is_some() || thread.pauses >= PATIENT_PAUSES;
            thread.irql >= DISPATCH_LEVEL && stands && stay_ns > DISPATCH_LIMIT_NS
        });
        (now_ns > machine.time_limit_ns, stuck.map(|(id, _)| id))
    });
    match stuck {
        Some(_) => Err(report_hang(HangKind::DispatchTooLong, stuck)),
        None if late => Err(report_hang(HangKind::TimeLimit, None)),
        None => Ok(()),
    }
}

/// Chooses among all processors that could do something, then among what that one could do.
fn pick(machine: &mut Machine) -> Option<ThreadId> {
    let able = machine
        .processors
        .iter()
        .filter(|processor| processor.can_go_on())
        .count();
    if able == 0 {
        return None;
    }
    let chosen = random(able as u64) as usize;
    let mut able = machine
        .processors
        .iter()
        .enumerate()
        .filter(|(_, it)| it.can_go_on());
    let (number, processor) = able.nth(chosen)?;
    let number = number as u32;
    if processor.starts_dpc() {
        return start_dpc(machine, number);
    }
    let thread = processor.options[random(processor.options.len() as u64) as usize];
    place(machine, thread, number);
    Some(thread)
}

impl Processor {
    /// Whether it has something to do.
    fn can_go_on(&self) -> bool {
        !self.options.is_empty() || self.starts_dpc()
    }

    /// Whether that is a DPC to start.
    fn starts_dpc(&self) -> bool {
        !self.is_owned && !self.queue.is_empty()
    }
}

/// Writes down what each processor could run next: its owner, or nothing if a DPC comes first, or
/// any thread that may run there.
fn list_options(machine: &mut Machine) {
    let Machine {
        threads,
        processors,
        ..
    } = machine;
    for processor in processors.iter_mut() {
        processor.options.clear();
        let at_dispatch = |id: &ThreadId| {
            threads
                .get(*id)
                .is_some_and(|thread| thread.irql >= DISPATCH_LEVEL)
        };
        let owner = processor.dpc.or(processor.thread.filter(at_dispatch));
        processor.is_owned = owner.is_some();
        let runs = |id: &ThreadId| {
            threads
                .get(*id)
                .is_some_and(|thread| thread.waiting.is_none())
        };
        processor.options.extend(owner.filter(runs));
    }
    for (id, thread) in threads
        .iter()
        .filter(|(_, thread)| thread.waiting.is_none())
    {
        for (number, processor) in processors.iter_mut().enumerate() {
            let number = number as u32;
            let allowed = match thread.stage {
                Stage::On(on) if thread.leaves(on) => thread.may_run_on(number),
                Stage::On(on) => on == number && !thread.is_dpc,
                Stage::Off => thread.may_run_on(number),
            };
            if allowed && !processor.is_owned && !processor.starts_dpc() {
                processor.options.push(id);
            }
        }
    }
}

/// Makes `id` what processor `number` runs.
fn place(machine: &mut Machine, id: ThreadId, number: u32) {
    let processor = &mut machine.processors[number as usize];
    if processor.dpc == Some(id) || processor.thread == Some(id) {
        return;
    }
    if let Some(old) = processor
        .thread
        .replace(id)
        .and_then(|old| machine.threads.get_mut(old))
    {
        old.stage = Stage::Off;
    }
    if let Some(thread) = machine.threads.get_mut(id) {
        if let Stage::On(left) = thread.stage {
            machine.processors[left as usize].thread = None;
        }
        // INVARIANT: the processor's `thread` was set above, and that of the one that it has left was cleared.
        thread.stage = Stage::On(number);
    }
}

fn start_dpc(machine: &mut Machine, number: u32) -> Option<ThreadId> {
    let Dpc {
        name, image, body, ..
    } = machine.processors[number as usize].queue.pop_front()?;
    let id = ThreadId(next_id() as u32);
    journal::note_of(id, number, DISPATCH_LEVEL, || What::Born {
        name: name.clone(),
        is_dpc: true,
    });
    let mut thread = Thread::new(machine, name, Some(number), image, body);
    thread.is_dpc = true;
    thread.irql = DISPATCH_LEVEL;
    thread.dispatch_since_ns = now();
    // INVARIANT: the processor's `dpc` is set below.
    thread.stage = Stage::On(number);
    machine.threads.add(id, thread);
    machine.processors[number as usize].dpc = Some(id);
    Some(id)
}
