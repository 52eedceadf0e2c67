//! Timers: set, cancelled, fired, freed, and what they refer to.

use std::collections::BTreeMap;

use crate::event::{Callback, Event, Kind, PASSIVE_LEVEL, PoolEvent, TimerEvent};
use crate::family::irql::level_name;
use crate::family::place::is_within;
use crate::family::running::Running;
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// One timer.
#[derive(Clone, Copy, Debug, Default)]
struct Timer {
    is_set: bool,
    /// Whether its time has come and its function has not begun.
    is_due: bool,
    period_ms: u32,
    /// The thread and context of the run that has not ended.
    run: Option<(u32, u64)>,
    /// The adapter in whose callback it was allocated.
    adapter: Option<u32>,
    /// Whether it lies in memory of the driver's. What its DPC does is the DPC monitor's.
    is_kernel: bool,
}

impl Timer {
    fn is_pending(&self) -> bool {
        self.is_set || self.is_due
    }
}

/// Follows every timer.
#[derive(Debug, Default)]
pub(crate) struct TimerMonitor {
    running: Running,
    timers: BTreeMap<u64, Timer>,
}

impl Monitor for TimerMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::TIMER_PERIODIC_CANCEL_PASSIVE,
            &rule::TIMER_FREE_IDLE,
            &rule::EX_TIMER_DELETE,
            &rule::TIMER_ONESHOT_SYNC,
            &rule::TIMER_ALTERNATE,
            &rule::DV_UNLOAD_SCAN,
            &rule::DETACH_NO_TIMER,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let finding = match &event.kind {
            Kind::Timer(timer) => self.observe_timer(event, *timer),
            Kind::Import(import) if import.name == "ExDeleteTimer" => {
                let (timer, cancels, waits) = (
                    import.arguments.word(0),
                    import.arguments.byte(1) != 0,
                    import.arguments.byte(2) != 0,
                );
                (waits && !cancels).then(|| {
                    let happened = format!(
                        "ExDeleteTimer is to wait for timer {timer:#x}, and not to cancel it"
                    );
                    Finding::new(&rule::EX_TIMER_DELETE, happened)
                })
            }
            Kind::Pool(PoolEvent::Freed { block, size, .. }) => {
                self.check_free(event.thread, *block, *size)
            }
            Kind::Leave { call, .. } if call.callback == Callback::FilterDetach => {
                self.check_detach(call.adapter)
            }
            Kind::Left(_) => {
                let mut timers = self.timers.iter();
                let (timer, state) = timers.find(|(_, timer)| timer.is_pending())?;
                let happened = format!("timer {timer:#x} is set, and the driver is gone");
                let bug_check = BugCheck::new(0xC7, &[0, *timer]);
                let rule = if state.is_kernel {
                    &rule::DV_UNLOAD_SCAN
                } else {
                    &rule::TIMER_ALTERNATE
                };
                let finding = Finding::new(rule, happened).with(bug_check);
                Some(finding.since(Origin::Set(*timer)))
            }
            _ => None,
        };
        self.running.observe(event);
        finding
    }
}

impl TimerMonitor {
    fn observe_timer(&mut self, event: &Event, timer: TimerEvent) -> Option<Finding> {
        match timer {
            TimerEvent::Allocated { timer, is_kernel } => {
                let new = Timer {
                    adapter: self.running.innermost(event.thread)?.adapter,
                    is_kernel,
                    ..Timer::default()
                };
                self.timers.insert(timer, new);
                None
            }
            TimerEvent::Set { timer, period_ms } => {
                let state = self.timers.entry(timer).or_default();
                (state.is_set, state.period_ms) = (true, period_ms);
                None
            }
            TimerEvent::Cancelled { timer } => {
                let state = self.timers.get_mut(&timer)?;
                let is_periodic = state.is_set && state.period_ms != 0;
                state.is_set = false;
                (is_periodic && !state.is_kernel && event.irql > PASSIVE_LEVEL).then(|| {
                    let happened = format!(
                        "periodic timer {timer:#x} was cancelled at {}",
                        level_name(event.irql)
                    );
                    Finding::new(&rule::TIMER_PERIODIC_CANCEL_PASSIVE, happened)
                })
            }
            TimerEvent::Expired { timer } => {
                let state = self.timers.get_mut(&timer)?;
                state.is_set = state.period_ms != 0;
                state.is_due = !state.is_kernel;
                None
            }
            TimerEvent::Fired { timer, context } => {
                let state = self.timers.get_mut(&timer)?;
                state.run = Some((event.thread, context));
                state.is_due = false;
                None
            }
            TimerEvent::Finished { timer } => {
                self.timers.get_mut(&timer)?.run = None;
                None
            }
            TimerEvent::Freed { timer, known } => {
                let state = self.timers.remove(&timer);
                let why = match state {
                    _ if !known => "was freed and is not alive",
                    Some(state) if state.is_set => "was freed while it is set",
                    Some(state) if state.is_due => "was freed while its function is due",
                    Some(Timer {
                        run: Some((thread, _)),
                        ..
                    }) if thread != event.thread => "was freed while its function runs",
                    _ => return None,
                };
                let happened = format!("timer {timer:#x} {why}");
                let bug_check = BugCheck::new(0xC7, &[0, timer]);
                Some(Finding::new(&rule::TIMER_FREE_IDLE, happened).with(bug_check))
            }
        }
    }

    /// A block goes: no timer that is set may be in it, and nothing that a running timer function
    /// uses.
    fn check_free(&mut self, thread: u32, block: u64, size: u64) -> Option<Finding> {
        let uses = |timer: &&Timer| {
            timer.run.is_some_and(|(running, context)| {
                running != thread && is_within(context, block, size)
            })
        };
        let is_used = self.timers.values().any(|timer| uses(&timer));
        let mut set = None;
        self.timers.retain(|timer, state| {
            let goes = state.is_kernel && is_within(*timer, block, size);
            if goes && state.is_set {
                set = Some(*timer);
            }
            !goes
        });
        if let Some(timer) = set {
            let happened = format!(
                "the block at {block:#x} was freed with timer {timer:#x} in it, which is set"
            );
            let bug_check = BugCheck::new(0xC7, &[0, timer, block, size]);
            return Some(Finding::new(&rule::TIMER_FREE_IDLE, happened).with(bug_check));
        }
        is_used.then(|| {
            let happened = format!(
                "the block at {block:#x} was freed while a timer function runs whose context it is"
            );
            Finding::new(&rule::TIMER_ONESHOT_SYNC, happened)
        })
    }

    fn check_detach(&self, adapter: Option<u32>) -> Option<Finding> {
        let is_busy = |(_, timer): &(&u64, &Timer)| {
            timer.adapter.is_some()
                && timer.adapter == adapter
                && (timer.is_pending() || timer.run.is_some())
        };
        let (timer, state) = self.timers.iter().find(is_busy)?;
        let what = if state.is_pending() {
            "set"
        } else {
            "running its function"
        };
        let happened = format!("FilterDetach returned with timer {timer:#x} {what}");
        let bug_check = BugCheck::new(0xC7, &[0, *timer]);
        let finding = Finding::new(&rule::DETACH_NO_TIMER, happened).with(bug_check);
        Some(finding.since(Origin::Set(*timer)))
    }
}

#[cfg(test)]
mod tests {
    use super::TimerMonitor;
    use crate::event::{Callback, Event, Kind, Left, PoolEvent, TimerEvent};
    use crate::table::{at, check, enter, leave, level, on};

    const TIMER: u64 = 0x100;
    const CONTEXT: u64 = 0x2010;

    fn timer(event: TimerEvent) -> Event {
        at(Kind::Timer(event))
    }

    fn allocate() -> Event {
        timer(TimerEvent::Allocated {
            timer: TIMER,
            is_kernel: false,
        })
    }

    fn initialize() -> Event {
        timer(TimerEvent::Allocated {
            timer: TIMER,
            is_kernel: true,
        })
    }

    fn expire() -> Event {
        timer(TimerEvent::Expired { timer: TIMER })
    }

    fn free_storage() -> Event {
        at(Kind::Pool(PoolEvent::Freed {
            block: TIMER,
            size: 0x40,
            tag: 1,
        }))
    }

    fn set(period_ms: u32) -> Event {
        timer(TimerEvent::Set {
            timer: TIMER,
            period_ms,
        })
    }

    fn cancel() -> Event {
        timer(TimerEvent::Cancelled { timer: TIMER })
    }

    fn fire() -> Event {
        let fired = TimerEvent::Fired {
            timer: TIMER,
            context: CONTEXT,
        };
        on(2, Kind::Timer(fired))
    }

    fn finish() -> Event {
        timer(TimerEvent::Finished { timer: TIMER })
    }

    fn free() -> Event {
        timer(TimerEvent::Freed {
            timer: TIMER,
            known: true,
        })
    }

    fn free_block() -> Kind {
        Kind::Pool(PoolEvent::Freed {
            block: 0x2000,
            size: 0x20,
            tag: 1,
        })
    }

    #[test]
    fn timers_are_followed() {
        let left = || at(Kind::Left(Left::default()));
        let attach = || enter(Callback::FilterAttach, Some(0));
        let attached = || leave(Callback::FilterAttach, Some(0), Some(0));
        let detached = || leave(Callback::FilterDetach, Some(0), None);
        let detach = || enter(Callback::FilterDetach, Some(0));
        check::<TimerMonitor>(vec![
            (
                "idle",
                vec![attach(), allocate(), set(0), cancel(), free(), left()],
                vec![],
            ),
            (
                "fired",
                vec![
                    attach(),
                    allocate(),
                    set(0),
                    expire(),
                    fire(),
                    finish(),
                    free(),
                    left(),
                ],
                vec![],
            ),
            (
                "freed set",
                vec![attach(), allocate(), set(0), free()],
                vec!["timer-free-idle"],
            ),
            (
                "freed in its run",
                vec![attach(), allocate(), set(0), expire(), fire(), free()],
                vec!["timer-free-idle"],
            ),
            (
                "freed by its function",
                vec![
                    attach(),
                    allocate(),
                    set(0),
                    expire(),
                    fire(),
                    on(2, free().kind),
                ],
                vec![],
            ),
            (
                "cancelled too late, and freed",
                vec![attach(), allocate(), set(0), expire(), cancel(), free()],
                vec!["timer-free-idle"],
            ),
            (
                "storage of a timer that is set",
                vec![attach(), initialize(), set(0), free_storage()],
                vec!["timer-free-idle"],
            ),
            (
                "storage of a timer that has expired",
                vec![
                    attach(),
                    initialize(),
                    set(0),
                    expire(),
                    free_storage(),
                    left(),
                ],
                vec![],
            ),
            (
                "periodic kernel timer at DISPATCH_LEVEL",
                vec![attach(), initialize(), set(10), level(2, cancel().kind)],
                vec![],
            ),
            (
                "periodic at PASSIVE_LEVEL",
                vec![attach(), allocate(), set(10), cancel()],
                vec![],
            ),
            (
                "periodic at DISPATCH_LEVEL",
                vec![attach(), allocate(), set(10), level(2, cancel().kind)],
                vec!["timer-periodic-cancel-passive"],
            ),
            (
                "once at DISPATCH_LEVEL",
                vec![attach(), allocate(), set(0), level(2, cancel().kind)],
                vec![],
            ),
            (
                "left",
                vec![attach(), allocate(), set(0), left()],
                vec!["timer-alternate"],
            ),
            (
                "left in the driver's memory",
                vec![attach(), initialize(), set(0), left()],
                vec!["dv-unload-scan"],
            ),
            (
                "set at detach",
                vec![
                    attach(),
                    allocate(),
                    attached(),
                    set(0),
                    detach(),
                    detached(),
                ],
                vec!["detach-no-timer"],
            ),
            (
                "cancelled at detach",
                vec![
                    attach(),
                    allocate(),
                    attached(),
                    set(0),
                    detach(),
                    cancel(),
                    detached(),
                ],
                vec![],
            ),
            (
                "context freed under it",
                vec![
                    attach(),
                    allocate(),
                    set(0),
                    expire(),
                    fire(),
                    at(free_block()),
                ],
                vec!["timer-oneshot-sync"],
            ),
            (
                "context freed by it",
                vec![
                    attach(),
                    allocate(),
                    set(0),
                    expire(),
                    fire(),
                    on(2, free_block()),
                ],
                vec![],
            ),
        ]);
    }
}
