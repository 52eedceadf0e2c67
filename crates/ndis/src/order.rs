//! In which order a module stops: the part without raw calls.

use crate::irql::Passive;
use crate::rundown::{Rundown, Signal};
use crate::work::{NotAttached, State};

/// A module that can be stopped, as [`pause`] and [`detach`] need it. They call each method when its time has come.
pub(crate) trait Stop {
    /// What rundowns and work items wake waiters with.
    type Signal: Signal;

    /// Held by those for whom the module has to stay: work items and DPCs that are queued or run, timers, threads, who looks at
    /// it.
    fn attached(&self) -> &Rundown<Self::Signal>;

    /// Held by those who have a packet.
    fn datapath(&self) -> &Rundown<Self::Signal>;

    /// Set when a work item that is watched comes to rest.
    fn quiet(&self) -> &Self::Signal;

    /// The states of the module's work items.
    fn work(&self) -> impl Iterator<Item = &State>;

    /// Cancels the timers.
    fn cancel_timers(&self, irql: &mut Passive);

    /// Waits for the runs of DPCs that are queued.
    fn flush_dpcs(&self, irql: &mut Passive);

    /// Gives up the packets that are held: nobody can hold or release any more.
    fn drain(&self, irql: &mut Passive);

    /// Waits for the packets of the module's own: nobody can send or indicate one any more.
    fn recall(&self, irql: &mut Passive);

    /// Runs the driver's `pause`: no packet is inside, and each work item has run for every wish that came from one.
    fn on_pause(&self, irql: &mut Passive);

    /// Runs the driver's `detaching`: nobody gets the module any more, some have it yet.
    fn on_detaching(&self, irql: &mut Passive);

    /// Runs the driver's `detach`: nobody else has the module any more.
    fn on_detach(&self, irql: &mut Passive);

    /// Frees what the module has; the driver's `detach` has returned.
    fn free(&self, irql: &mut Passive);
}

/// Lets no packet in any more, and what is under way finish. `closed` is called when the gate is closed: before that nothing of
/// the system's may be, in whose time packets would still come in.
pub(crate) fn pause(module: &impl Stop, irql: &mut Passive, closed: impl FnOnce()) {
    // The gate: no new packet gets through, and those callbacks that have one return.
    module.datapath().close_and(irql, |_| closed());
    module.cancel_timers(irql);
    module.flush_dpcs(irql);
    // Nobody judges it any more, so it need not wait for a thread of the system's.
    module.drain(irql);
    // What they wished for is done, in one run more at most: no routine keeps the pause by wishing for itself.
    for item in module.work() {
        module.quiet().reset();
        if item.watch() {
            module.quiet().wait(irql);
        }
    }
    module.recall(irql);
    module.on_pause(irql);
}

/// Ends a paused module.
pub(crate) fn detach(module: &impl Stop, irql: &mut Passive) {
    // Work items and whoever looks at the module finish; none of them starts again. Timers need not come due.
    module.attached().close_and(irql, |irql| {
        module.on_detaching(irql);
        module.cancel_timers(irql);
    });
    module.on_detach(irql);
    module.free(irql);
}

/// Sets a timer, unless detach has begun. `arm` sets it and `cancel` cancels it; both say whether it was set before.
///
/// While it is set a reference of `attached` is held for it.
///
/// # Errors
///
/// [`NotAttached`], and neither was called.
pub(crate) fn set_timer<S: Signal>(
    attached: &Rundown<S>,
    arm: impl FnOnce() -> bool,
    cancel: impl FnOnce() -> bool,
) -> Result<(), NotAttached> {
    // For this call: the timer stays until it is given back, whatever becomes of the setting.
    if !attached.acquire() {
        return Err(NotAttached);
    }
    // For the setting.
    if !attached.acquire() {
        attached.release();
        return Err(NotAttached);
    }
    if arm() {
        // The setting before this one will not run.
        attached.release();
    }
    // Detach may have cancelled the timers before this one was set, and must not wait until it comes due.
    if attached.is_closed() && cancel() {
        attached.release();
    }
    attached.release();
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use core::time::Duration;
    use std::sync::Mutex;
    use std::thread;
    use std::vec::Vec;

    use super::*;
    use crate::rundown::tests::{Flag, passive};
    use crate::work::{After, Wish};

    /// Long enough for whoever does not wait to be found out.
    const WHILE: Duration = Duration::from_millis(30);

    /// A module with two work items and a timer.
    struct Model {
        attached: Rundown<Flag>,
        datapath: Rundown<Flag>,
        quiet: Flag,
        work: [State; 2],
        is_timer_set: AtomicBool,
        /// What somebody is at, for whom has to be waited.
        is_busy: AtomicBool,
        /// Somebody has the module and waits for `on_detaching`.
        is_waiting: AtomicBool,
        steps: Mutex<Vec<&'static str>>,
    }

    impl Model {
        fn running() -> Self {
            let model = Self {
                attached: Rundown::closed(Flag::default()),
                datapath: Rundown::closed(Flag::default()),
                quiet: Flag::default(),
                work: [State::idle(), State::idle()],
                is_timer_set: AtomicBool::new(false),
                is_busy: AtomicBool::new(false),
                is_waiting: AtomicBool::new(true),
                steps: Mutex::default(),
            };
            model.attached.open();
            model.datapath.open();
            model
        }

        fn step(&self, name: &'static str) {
            self.steps.lock().expect("steps").push(name);
        }

        /// As `WorkItem::queue` does it.
        fn wish(&self, item: &State) {
            assert!(self.attached.acquire(), "attached");
            if item.wish() == Wish::Coalesced {
                self.attached.release();
            }
        }

        /// As `Item::run` does it, with `routine`.
        fn run(&self, item: &State, routine: impl Fn()) {
            self.run_again(item, || {
                routine();
                false
            });
        }

        /// As above; the routine says whether it wants to run again.
        fn run_again(&self, item: &State, routine: impl Fn() -> bool) {
            let mut has_rested = false;
            while !has_rested {
                item.start();
                let again = routine() && !self.attached.is_closed();
                let (wake, rests) = match item.finish(again) {
                    After::Requeue { wake } => (wake, false),
                    After::Rest { wake } => (wake, true),
                };
                if wake {
                    self.quiet.set();
                }
                has_rested = rests;
            }
            self.attached.release();
        }

        fn assert_no_packet_is_inside(&self) {
            assert!(!self.datapath.acquire(), "packets get in");
            assert!(!self.is_busy.load(Ordering::SeqCst), "somebody is at work");
            let resting = self.work.iter().filter(|item| !item.watch()).count();
            assert_eq!(resting, 2, "a wish is left");
        }

        fn assert_nobody_has_it(&self) {
            assert!(!self.attached.acquire(), "the module can be had");
            assert!(!self.is_busy.load(Ordering::SeqCst), "somebody is at work");
        }
    }

    impl Stop for Model {
        type Signal = Flag;

        fn attached(&self) -> &Rundown<Flag> {
            &self.attached
        }

        fn datapath(&self) -> &Rundown<Flag> {
            &self.datapath
        }

        fn quiet(&self) -> &Flag {
            &self.quiet
        }

        fn work(&self) -> impl Iterator<Item = &State> {
            self.work.iter()
        }

        fn cancel_timers(&self, _irql: &mut Passive) {
            self.step("cancel timers");
            if self.is_timer_set.swap(false, Ordering::SeqCst) {
                self.attached.release();
            }
        }

        fn flush_dpcs(&self, _irql: &mut Passive) {
            self.step("flush DPCs");
            assert!(!self.datapath.is_occupied(), "a packet is inside");
        }

        fn drain(&self, _irql: &mut Passive) {
            self.step("drain");
            // It does not wait for the work items.
            assert!(!self.datapath.is_occupied(), "a packet is inside");
        }

        fn recall(&self, _irql: &mut Passive) {
            self.step("recall");
            self.assert_no_packet_is_inside();
        }

        fn on_pause(&self, _irql: &mut Passive) {
            self.step("on_pause");
            self.assert_no_packet_is_inside();
        }

        fn on_detaching(&self, _irql: &mut Passive) {
            self.step("on_detaching");
            assert!(!self.attached.acquire(), "the module can be had");
            self.is_waiting.store(false, Ordering::SeqCst);
        }

        fn on_detach(&self, _irql: &mut Passive) {
            self.step("on_detach");
            self.assert_nobody_has_it();
        }

        fn free(&self, _irql: &mut Passive) {
            self.step("free");
            self.assert_nobody_has_it();
        }
    }

    #[test]
    fn pause_waits_for_packets_and_for_what_they_wished_for() {
        let model = Model::running();
        assert!(model.datapath.acquire());
        model.is_busy.store(true, Ordering::SeqCst);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(WHILE);
                for item in &model.work {
                    model.wish(item);
                }
                model.is_busy.store(false, Ordering::SeqCst);
                model.datapath.release();
                // The packet is gone; its wishes are not.
                for item in &model.work {
                    thread::sleep(WHILE);
                    model.run(item, || {
                        model.is_busy.store(true, Ordering::SeqCst);
                        thread::sleep(WHILE);
                        model.is_busy.store(false, Ordering::SeqCst);
                    });
                }
            });
            pause(&model, &mut passive(), || {
                assert!(!model.datapath.acquire(), "packets still come in");
            });
        });
        let steps = model.steps.into_inner().expect("steps");
        assert_eq!(
            steps,
            ["cancel timers", "flush DPCs", "drain", "recall", "on_pause"]
        );
    }

    #[test]
    fn detach_waits_for_whoever_has_the_module_and_cancels_timers() {
        let model = Model::running();
        pause(&model, &mut passive(), || ());
        model.steps.lock().expect("steps").clear();
        // A work item that something else than a packet wished for, and a timer that is due in a year.
        model.wish(&model.work[1]);
        assert!(model.attached.acquire());
        model.is_timer_set.store(true, Ordering::SeqCst);
        model.is_busy.store(true, Ordering::SeqCst);
        thread::scope(|scope| {
            scope.spawn(|| {
                while model.is_waiting.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                model.run(&model.work[1], || {
                    model.is_busy.store(false, Ordering::SeqCst);
                });
            });
            detach(&model, &mut passive());
        });
        let steps = model.steps.into_inner().expect("steps");
        assert_eq!(
            steps,
            ["on_detaching", "cancel timers", "on_detach", "free"]
        );
    }

    #[test]
    fn routine_that_always_wants_to_run_again_keeps_neither_pause_nor_detach() {
        let model = Model::running();
        let runs = AtomicU32::new(0);
        let restless = || {
            runs.fetch_add(1, Ordering::SeqCst);
            true
        };
        let [first, second] = &model.work;
        model.wish(first);
        thread::scope(|scope| {
            scope.spawn(|| model.run_again(first, restless));
            while runs.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            pause(&model, &mut passive(), || ());
            // A pause is not the end of wishes.
            model.wish(second);
            scope.spawn(|| model.run_again(second, restless));
            detach(&model, &mut passive());
        });
        let left = runs.load(Ordering::SeqCst);
        thread::sleep(WHILE);
        assert_eq!(runs.load(Ordering::SeqCst), left, "it runs on");
    }

    #[test]
    fn detach_does_not_wait_for_a_timer_that_is_set_meanwhile() {
        let model = Model::running();
        pause(&model, &mut passive(), || ());
        let is_set = || model.is_timer_set.swap(true, Ordering::SeqCst);
        let was_set = || model.is_timer_set.swap(false, Ordering::SeqCst);
        thread::scope(|scope| {
            let mut detaching = None;
            let arm = || {
                detaching = Some(scope.spawn(|| detach(&model, &mut passive())));
                let has_cancelled = || {
                    let steps = model.steps.lock().expect("steps");
                    steps.ends_with(&["on_detaching", "cancel timers"])
                };
                while !has_cancelled() {
                    thread::yield_now();
                }
                is_set()
            };
            assert_eq!(set_timer(&model.attached, arm, was_set), Ok(()));
            detaching.expect("begun").join().expect("detached");
        });
        assert!(!model.is_timer_set.load(Ordering::SeqCst), "left set");
        let refused = set_timer(&model.attached, is_set, was_set);
        assert_eq!(refused, Err(NotAttached));
    }

    #[test]
    fn a_timer_that_is_set_again_has_one_reference() {
        let model = Model::running();
        let arm = || model.is_timer_set.swap(true, Ordering::SeqCst);
        for _ in 0..3 {
            assert_eq!(set_timer(&model.attached, arm, || false), Ok(()));
        }
        pause(&model, &mut passive(), || ());
        assert!(!model.attached.is_occupied(), "a reference is left");
    }
}
