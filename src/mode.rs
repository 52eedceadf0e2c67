//! Changing the mode while packets pass, and reading the parameters again.
//!
//! `tap` and `inline` share their handlers, so one follows the other from one batch to the next. To and from `off` the
//! handlers change, which NDIS allows between a pause and a restart only; and configuration is read in `FilterAttach` and
//! `FilterRestart` only. For either the module is restarted:
//!
//! ```text
//!   change ─▶ asked ─▶ NdisFRestartFilter ┄┄▶ FilterPause ─▶ FilterSetModuleOptions ─▶ FilterRestart
//!                                                              mode: taken, settled       parameters: taken, settled
//!                                                                                         wakes `change`
//! ```
//!
//! Until the handlers have changed the old mode is in effect; if they cannot be changed, it stays.

use ndis::Status;
use ndis::event::Event;
use ndis::filter::Attached;
use ndis::irql::{Caller, Passive};
use ndis::lock::SpinLock;
use ndis::mem::{OutOfMemory, Tag};
use protocol::Mode;

use crate::module::Tap;
use crate::tell;

/// How long a change waits for NDIS to restart the module: longer than a pause may take.
const LIMIT_MS: u32 = 20_000;

/// What only a restart can bring.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Another mode, in `FilterSetModuleOptions`.
    Mode(Mode),
    /// The parameters as they are set now, in `FilterRestart`.
    Parameters,
}

/// A wish for such a change.
#[derive(Clone, Copy, Debug)]
enum Wish {
    None,
    Asked(Change),
    /// The callback of the change sees to it.
    Taken(Change),
    /// What came of it, for who wished: the mode that is wanted now.
    Settled(Result<Mode, Status>),
}

#[derive(Debug)]
struct State {
    /// Somebody is changing the mode, and nobody else may.
    is_claimed: bool,
    is_detaching: bool,
    wish: Wish,
}

/// What changes the mode of one module.
#[derive(Debug)]
pub(crate) struct Switch {
    state: SpinLock<State>,
    /// Set when who wished has to look.
    news: Event,
}

impl Switch {
    /// For a module whose handlers are there. With mode `off` they go at the first restart.
    pub(crate) fn try_new(mode: Mode, tag: Tag, irql: &mut Passive) -> Result<Self, OutOfMemory> {
        let wish = match mode {
            Mode::Off => Wish::Asked(Change::Mode(mode)),
            Mode::Tap | Mode::Inline => Wish::None,
        };
        Ok(Self {
            state: SpinLock::new(State {
                is_claimed: false,
                is_detaching: false,
                wish,
            }),
            news: Event::try_new(tag, irql)?,
        })
    }

    /// The mode from the restart on that is under way; `now` if nobody wants another.
    pub(crate) fn take(&self, now: Mode, irql: &mut impl Caller) -> Mode {
        self.state.with(irql, |state, _| match state.wish {
            Wish::Asked(change @ Change::Mode(mode)) => {
                state.wish = Wish::Taken(change);
                mode
            }
            Wish::None | Wish::Asked(_) | Wish::Taken(_) | Wish::Settled(_) => now,
        })
    }

    /// What came of the mode that was taken; gives the mode if it is in effect now.
    pub(crate) fn settle(
        &self,
        result: Result<(), Status>,
        irql: &mut impl Caller,
    ) -> Option<Mode> {
        self.state.with(irql, |state, _| {
            let Wish::Taken(Change::Mode(mode)) = state.wish else {
                return None;
            };
            state.wish = if state.is_claimed {
                Wish::Settled(result.map(|()| mode))
            } else {
                // It was the wish that the module was attached with.
                Wish::None
            };
            result.is_ok().then_some(mode)
        })
    }

    /// Reads the parameters with `read`, which gives the mode among them, if somebody wants that of this restart.
    pub(crate) fn reread(
        &self,
        irql: &mut Passive,
        read: impl FnOnce(&mut Passive) -> Result<Mode, Status>,
    ) {
        let is_wanted = self.state.with(irql, |state, _| {
            let is_wanted = matches!(state.wish, Wish::Asked(Change::Parameters));
            if is_wanted {
                state.wish = Wish::Taken(Change::Parameters);
            }
            is_wanted
        });
        if is_wanted {
            let result = read(irql);
            self.wish(Wish::Settled(result), irql);
        }
    }

    /// A restart is done.
    pub(crate) fn wake(&self, irql: &mut impl Caller) {
        let is_settled = self
            .state
            .with(irql, |state, _| matches!(state.wish, Wish::Settled(_)));
        if is_settled {
            self.news.set(irql);
        }
    }

    /// The module goes: nothing will be settled any more.
    pub(crate) fn give_up(&self, irql: &mut impl Caller) {
        self.state.with(irql, |state, _| state.is_detaching = true);
        self.news.set(irql);
    }

    /// Reserves the change for the caller.
    fn claim(&self, irql: &mut impl Caller) -> Result<(), Status> {
        self.state.with(irql, |state, _| {
            if state.is_claimed {
                return Err(Status::DEVICE_BUSY);
            }
            state.is_claimed = true;
            Ok(())
        })
    }

    fn wish(&self, wish: Wish, irql: &mut impl Caller) {
        self.state.with(irql, |state, _| state.wish = wish);
    }

    /// Ends the caller's change.
    fn release(&self, irql: &mut impl Caller) {
        self.state.with(irql, |state, _| {
            state.is_claimed = false;
            state.wish = Wish::None;
        });
    }

    /// What became of the caller's wish, which is withdrawn with `why_not` if nobody has taken it. `None`: it will be
    /// settled.
    fn outcome(&self, why_not: Status, irql: &mut impl Caller) -> Option<Result<Mode, Status>> {
        self.state.with(irql, |state, _| match state.wish {
            Wish::Settled(result) => Some(result),
            Wish::Taken(_) => None,
            Wish::None | Wish::Asked(_) => {
                state.wish = Wish::None;
                Some(Err(if state.is_detaching {
                    Status::NOT_FOUND
                } else {
                    why_not
                }))
            }
        })
    }
}

/// Changes the mode, and waits until the new one is in effect.
///
/// # Errors
///
/// The old mode stays: [`Status::DEVICE_BUSY`] when somebody else is changing it, [`Status::NOT_FOUND`] when the module
/// goes meanwhile, [`Status::IO_TIMEOUT`] when NDIS does not restart it, or why NDIS cannot.
pub(crate) fn change(
    this: &Attached<'_, Tap>,
    mode: Mode,
    irql: &mut Passive,
) -> Result<(), Status> {
    this.switch.claim(irql)?;
    let result = change_claimed(this, mode, irql);
    this.switch.release(irql);
    result.inspect_err(|&status| tell::mode_not_changed(this, status))
}

/// Restarts the module with the parameters as they are set now, and changes the mode if it is another.
///
/// # Errors
///
/// Those of [`change`]. Nothing has changed, or all but the mode.
pub(crate) fn reread(this: &Attached<'_, Tap>, irql: &mut Passive) -> Result<(), Status> {
    this.switch.claim(irql)?;
    let read = change_by_restart(this, Change::Parameters, irql);
    let result = read.and_then(|mode| change_claimed(this, mode, irql));
    this.switch.release(irql);
    result.inspect_err(|&status| tell::mode_not_changed(this, status))
}

fn change_claimed(this: &Attached<'_, Tap>, mode: Mode, irql: &mut Passive) -> Result<(), Status> {
    let now = this.settings.mode();
    if now == mode {
        // Of another mode that a restart was to bring nothing is wanted any more: `release` forgets it.
    } else if now == Mode::Off || mode == Mode::Off {
        change_by_restart(this, Change::Mode(mode), irql)?;
    } else {
        tell::change_mode(this, mode);
    }
    Ok(())
}

/// Gives the mode that is wanted after the change.
fn change_by_restart(
    this: &Attached<'_, Tap>,
    change: Change,
    irql: &mut Passive,
) -> Result<Mode, Status> {
    let switch = &this.switch;
    switch.news.reset(irql);
    switch.wish(Wish::Asked(change), irql);
    let mut why_not = Status::IO_TIMEOUT;
    match this.request_restart(irql) {
        Ok(()) => {
            let _ = switch.news.wait_for(LIMIT_MS, irql);
        }
        Err(status) => why_not = status,
    }
    loop {
        // Reset before the look, and set after each change, so nothing is slept through.
        switch.news.reset(irql);
        if let Some(result) = switch.outcome(why_not, irql) {
            return result;
        }
        switch.news.wait(irql);
    }
}
