//! Changing the mode while packets pass, and reading the parameters again.
//!
//! `tap` and `inline` share their handlers, so one follows the other from one batch to the next. To and from `off` the
//! handlers change, which NDIS allows between a pause and a restart only; and configuration is read in `FilterAttach` and
//! `FilterRestart` only. For either the module is restarted:
//!
//! ```text
//!   request ─▶ asked ─▶ NdisFRestartFilter ┄┄▶ FilterPause ─▶ FilterSetModuleOptions ─▶ FilterRestart
//!      pending ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄  mode: taken, settled       parameters: taken, settled
//!   answered ◀─────────────────────────────────────────────────────────────────────────  wakes the request
//! ```
//!
//! Nobody waits meanwhile: the request is one of the control device's longer ones. Until the handlers have changed the old
//! mode is in effect; if they cannot be changed, it stays.

use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Poll;

use ndis::Status;
use ndis::driver::Installed;
use ndis::filter::Attached;
use ndis::irql::{Caller, Passive};
use ndis::lock::SpinLock;
use protocol::Mode;

use crate::module::Tap;
use crate::tell;

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
    /// What came of it, for who wished.
    Settled(Settled),
}

/// What came of a wish.
#[derive(Clone, Copy, Debug)]
enum Settled {
    /// The mode has changed, or has not.
    Mode(Result<(), Status>),
    /// The parameters are read, with this mode among them, which is not changed.
    Parameters(Result<Mode, Status>),
}

#[derive(Debug)]
struct State {
    /// The ticket of who is changing something, while nobody else may; 0 is nobody.
    holder: u64,
    wish: Wish,
}

/// The ticket that was given last, of all modules: one that has gone may be followed by another on the same adapter.
static LAST_TICKET: AtomicU64 = AtomicU64::new(0);

/// What changes the mode of one module.
#[derive(Debug)]
pub(crate) struct Switch(SpinLock<State>);

/// What a request wants of the switch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Want {
    /// This mode.
    Mode(Mode),
    /// The parameters as they are set now, and the mode among them.
    Parameters,
}

impl Switch {
    /// For a module whose handlers are there. With mode `off` they go at the first restart.
    pub(crate) const fn new(mode: Mode) -> Self {
        let wish = match mode {
            Mode::Off => Wish::Asked(Change::Mode(mode)),
            Mode::Tap | Mode::Inline => Wish::None,
        };
        Self(SpinLock::new(State { holder: 0, wish }))
    }

    /// The mode from the restart on that is under way; `now` if nobody wants another.
    pub(crate) fn take(&self, now: Mode, irql: &mut impl Caller) -> Mode {
        self.0.with(irql, |state, _| match state.wish {
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
        self.0.with(irql, |state, _| {
            let Wish::Taken(Change::Mode(mode)) = state.wish else {
                return None;
            };
            state.settle(Settled::Mode(result));
            result.is_ok().then_some(mode)
        })
    }

    /// Reads the parameters with `read`, which gives the mode among them, if somebody wants that of this restart.
    pub(crate) fn reread(
        &self,
        irql: &mut Passive,
        read: impl FnOnce(&mut Passive) -> Result<Mode, Status>,
    ) {
        let is_wanted = self.0.with(irql, |state, _| {
            let is_wanted = matches!(state.wish, Wish::Asked(Change::Parameters));
            if is_wanted {
                state.wish = Wish::Taken(Change::Parameters);
            }
            is_wanted
        });
        if is_wanted {
            let result = read(irql);
            self.0
                .with(irql, |state, _| state.settle(Settled::Parameters(result)));
        }
    }

    /// A restart is done: whoever wished for something may look.
    pub(crate) fn wake(&self, irql: &mut impl Caller) {
        let is_settled = self
            .0
            .with(irql, |state, _| matches!(state.wish, Wish::Settled(_)));
        if is_settled {
            Tap::driver().advance_requests(irql);
        }
    }

    /// Who has the ticket wants nothing any more.
    pub(crate) fn abandon(&self, ticket: u64, irql: &mut impl Caller) {
        self.0.with(irql, |state, _| {
            if state.holder == ticket {
                state.release();
            }
        });
    }

    /// Reserves the change for the caller, who gets a ticket.
    fn claim(&self, irql: &mut impl Caller) -> Result<u64, Status> {
        self.0.with(irql, |state, _| {
            if state.holder != 0 || matches!(state.wish, Wish::Taken(_)) {
                return Err(Status::DEVICE_BUSY);
            }
            state.holder = LAST_TICKET.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            Ok(state.holder)
        })
    }

    fn wish(&self, change: Change, irql: &mut impl Caller) {
        self.0
            .with(irql, |state, _| state.wish = Wish::Asked(change));
    }

    /// Takes back what was asked for, unless a restart has taken it already.
    fn withdraw(&self, irql: &mut impl Caller) -> bool {
        self.0.with(irql, |state, _| {
            let is_asked = matches!(state.wish, Wish::Asked(_));
            if is_asked {
                state.wish = Wish::None;
            }
            is_asked
        })
    }

    /// What came of the wish of who has the ticket; `None`: nothing yet.
    ///
    /// # Errors
    ///
    /// [`Status::NOT_FOUND`]: the module that gave the ticket has gone.
    fn settled(&self, ticket: u64, irql: &mut impl Caller) -> Result<Option<Settled>, Status> {
        self.0.with(irql, |state, _| {
            if state.holder != ticket {
                return Err(Status::NOT_FOUND);
            }
            Ok(match state.wish {
                Wish::Settled(settled) => Some(settled),
                Wish::None | Wish::Asked(_) | Wish::Taken(_) => None,
            })
        })
    }
}

impl State {
    /// Says what came of the wish, to who holds the switch.
    const fn settle(&mut self, settled: Settled) {
        self.wish = if self.holder == 0 {
            // It was the wish that the module was attached with, or who wished has gone.
            Wish::None
        } else {
            Wish::Settled(settled)
        };
    }

    /// Ends the holder's change. What a callback has taken stays until it is settled.
    const fn release(&mut self) {
        self.holder = 0;
        if !matches!(self.wish, Wish::Taken(_)) {
            self.wish = Wish::None;
        }
    }
}

/// Looks after a change, until it is in effect. `ticket` is 0 at first, and kept by the request.
///
/// # Errors
///
/// The old mode stays: [`Status::DEVICE_BUSY`] when somebody else is changing it, [`Status::NOT_FOUND`] when the module has
/// gone meanwhile, though another is in its place, or why NDIS cannot. With
/// [`Want::Parameters`] nothing has changed, or all but the mode.
pub(crate) fn advance(
    this: &Attached<'_, Tap>,
    want: Want,
    ticket: &mut u64,
    irql: &mut Passive,
) -> Poll<Result<(), Status>> {
    let step = if *ticket == 0 {
        match this.switch.claim(irql) {
            Ok(claimed) => *ticket = claimed,
            Err(status) => {
                tell::mode_not_changed(this, status);
                return Poll::Ready(Err(status));
            }
        }
        match want {
            Want::Mode(mode) => change(this, mode, irql),
            Want::Parameters => restart(this, Change::Parameters, irql),
        }
    } else {
        match this.switch.settled(*ticket, irql) {
            Ok(None) => Poll::Pending,
            Ok(Some(Settled::Mode(result))) => {
                // What became of it was told in `FilterSetModuleOptions`.
                this.switch.abandon(*ticket, irql);
                return Poll::Ready(result);
            }
            Ok(Some(Settled::Parameters(Ok(mode)))) => change(this, mode, irql),
            Ok(Some(Settled::Parameters(Err(status)))) | Err(status) => Poll::Ready(Err(status)),
        }
    };
    if let Poll::Ready(result) = step {
        this.switch.abandon(*ticket, irql);
        if let Err(status) = result {
            tell::mode_not_changed(this, status);
        }
    }
    step
}

/// Begins a change of the mode, by who holds the switch.
fn change(this: &Attached<'_, Tap>, mode: Mode, irql: &mut Passive) -> Poll<Result<(), Status>> {
    let now = this.settings.mode();
    if now == mode {
        // Of another mode that a restart was to bring nothing is wanted any more: the end of the change forgets it.
        return Poll::Ready(Ok(()));
    }
    if now == Mode::Off || mode == Mode::Off {
        return restart(this, Change::Mode(mode), irql);
    }
    tell::change_mode(this, mode);
    Poll::Ready(Ok(()))
}

/// Asks NDIS for a restart that brings `change`.
fn restart(
    this: &Attached<'_, Tap>,
    change: Change,
    irql: &mut Passive,
) -> Poll<Result<(), Status>> {
    this.switch.wish(change, irql);
    match this.request_restart(irql) {
        Err(status) if this.switch.withdraw(irql) => Poll::Ready(Err(status)),
        // A restart that NDIS makes for another reason has taken it.
        Ok(()) | Err(_) => Poll::Pending,
    }
}
