//! Who runs next.

use super::{
    Dpc, Hang, HangKind, MACHINE, Machine, ThreadId, Wait, fast, next_id, now, random,
    thread::{Condition, Stage, Thread},
};
use crate::rt::sched::{DISPATCH_LEVEL, DISPATCH_LIMIT_NS, report_hang, set_now};

/// What a processor could do next.
enum Step {
    Run(ThreadId),
    StartDpc,
}

/// Chooses a thread and puts it on a processor, letting time pass if everyone waits.
pub(super) fn choose() -> Result<ThreadId, Hang> {
    loop {
        let now_ns = now();
        expire(now_ns);
        try_conditions(now_ns);
        check_limits(now_ns)?;
        if let Some(thread) = MACHINE.with_borrow_mut(pick) {
            return Ok(thread);
        }
        let next_ns = MACHINE.with_borrow(|machine| {
            let deadlines = machine
                .threads
                .values()
                .filter_map(|thread| thread.waiting.as_ref());
            let deadlines = deadlines.map(|waiting| waiting.deadline_ns);
            deadlines
                .chain(machine.timed.keys().map(|(due_ns, _)| *due_ns))
                .min()
        });
        match next_ns {
            None | Some(u64::MAX) => return Err(report_hang(HangKind::Deadlock, None)),
            Some(next_ns) => fast(|fast| set_now(fast, next_ns.max(now_ns))),
        }
    }
}

/// Queues the DPCs whose time has come.
fn expire(now_ns: u64) {
    MACHINE.with_borrow_mut(|machine| {
        while let Some(entry) = machine.timed.first_entry() {
            if entry.key().0 > now_ns {
                break;
            }
            let (processor, dpc) = entry.remove();
            machine.processors[processor as usize].queue.push_back(dpc);
        }
    });
}

/// Ends the waits whose condition holds or whose deadline has passed. The conditions are tried in
/// an order that begins at random, so that none of several waiters is preferred.
fn try_conditions(now_ns: u64) {
    let waiting: Vec<(ThreadId, u64, Condition)> = MACHINE.with_borrow(|machine| {
        machine
            .threads
            .iter()
            .filter_map(|(id, thread)| {
                let waiting = thread.waiting.as_ref()?;
                Some((*id, waiting.deadline_ns, waiting.condition()))
            })
            .collect()
    });
    if waiting.is_empty() {
        return;
    }
    let first = random(waiting.len() as u64) as usize;
    let (before, after) = waiting.split_at(first);
    for (id, deadline_ns, mut condition) in after.iter().chain(before).copied() {
        // SAFETY: the thread still waits, so the condition that it lent is still borrowed by its
        // suspended wait (see `Waiting::new`), and nobody else uses it now.
        let condition = unsafe { condition.as_mut() };
        let outcome = if condition() {
            Wait::Satisfied
        } else if deadline_ns <= now_ns {
            Wait::TimedOut
        } else {
            continue;
        };
        MACHINE.with_borrow_mut(|machine| {
            if let Some(thread) = machine.threads.get_mut(&id) {
                thread.waiting = None;
                thread.outcome = outcome;
            }
        });
    }
}

fn check_limits(now_ns: u64) -> Result<(), Hang> {
    let (late, stuck) = MACHINE.with_borrow(|machine| {
        let stuck = machine.threads.iter().find(|(_, thread)| {
            let stay_ns = now_ns - thread.dispatch_since_ns.min(now_ns);
            thread.irql >= DISPATCH_LEVEL && thread.waiting.is_some() && stay_ns > DISPATCH_LIMIT_NS
        });
        (now_ns > machine.time_limit_ns, stuck.map(|(id, _)| *id))
    });
    match stuck {
        Some(_) => Err(report_hang(HangKind::DispatchTooLong, stuck)),
        None if late => Err(report_hang(HangKind::TimeLimit, None)),
        None => Ok(()),
    }
}

/// Chooses among all processors that could do something, then among what that one could do.
fn pick(machine: &mut Machine) -> Option<ThreadId> {
    let options: Vec<(u32, Vec<Step>)> = (0..machine.processors.len() as u32)
        .map(|number| (number, steps(machine, number)))
        .filter(|(_, steps)| !steps.is_empty())
        .collect();
    if options.is_empty() {
        return None;
    }
    let (number, steps) = &options[random(options.len() as u64) as usize];
    match &steps[random(steps.len() as u64) as usize] {
        Step::Run(thread) => {
            place(machine, *thread, *number);
            Some(*thread)
        }
        Step::StartDpc => start_dpc(machine, *number),
    }
}

fn steps(machine: &Machine, number: u32) -> Vec<Step> {
    let processor = &machine.processors[number as usize];
    let can_run = |id: &ThreadId| machine.threads[id].waiting.is_none();
    let owner = processor.dpc.or(processor
        .thread
        .filter(|id| machine.threads[id].irql >= DISPATCH_LEVEL));
    if let Some(owner) = owner {
        return if can_run(&owner) {
            vec![Step::Run(owner)]
        } else {
            Vec::new()
        };
    }
    if !processor.queue.is_empty() {
        return vec![Step::StartDpc];
    }
    let allowed = |thread: &Thread| match thread.stage {
        Stage::On(on) => on == number && !thread.is_dpc,
        Stage::Off => thread.affinity.is_none_or(|affinity| affinity == number),
    };
    machine
        .threads
        .iter()
        .filter(|(_, thread)| thread.waiting.is_none() && allowed(thread))
        .map(|(id, _)| Step::Run(*id))
        .collect()
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
        .and_then(|old| machine.threads.get_mut(&old))
    {
        old.stage = Stage::Off;
    }
    if let Some(thread) = machine.threads.get_mut(&id) {
        // INVARIANT: the processor's `thread` was set above.
        thread.stage = Stage::On(number);
    }
}

fn start_dpc(machine: &mut Machine, number: u32) -> Option<ThreadId> {
    let Dpc { name, body, .. } = machine.processors[number as usize].queue.pop_front()?;
    let id = ThreadId(next_id() as u32);
    let mut thread = Thread::new(machine, name, Some(number), body);
    thread.is_dpc = true;
    thread.irql = DISPATCH_LEVEL;
    thread.dispatch_since_ns = now();
    // INVARIANT: the processor's `dpc` is set below.
    thread.stage = Stage::On(number);
    machine.threads.insert(id, thread);
    machine.processors[number as usize].dpc = Some(id);
    Some(id)
}
