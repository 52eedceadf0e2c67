//! The way of a DPC into its queue and out of it: the part without raw calls.

use crate::rundown::{Rundown, Signal};
use crate::work::{NotAttached, Queued};

/// Queues a DPC, unless detach has begun. `insert` says whether it was not queued already.
///
/// From then on a reference of `attached` is held for it, which the end of its run gives back, or [`cancel`].
///
/// # Errors
///
/// [`NotAttached`], and `insert` was not called.
pub(crate) fn queue<S: Signal>(
    attached: &Rundown<S>,
    insert: impl FnOnce() -> bool,
) -> Result<Queued, NotAttached> {
    if !attached.acquire() {
        return Err(NotAttached);
    }
    if insert() {
        // INVARIANT: the reference goes to the DPC.
        Ok(Queued::First)
    } else {
        // The one that is queued has a reference of its own.
        attached.release();
        Ok(Queued::Coalesced)
    }
}

/// Takes a DPC out of its queue, and says whether it was there: `remove` does.
pub(crate) fn cancel<S: Signal>(attached: &Rundown<S>, remove: impl FnOnce() -> bool) -> bool {
    let was_queued = remove();
    if was_queued {
        // INVARIANT: it will not run.
        attached.release();
    }
    was_queued
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::Cell;

    use super::*;
    use crate::rundown::tests::{Flag, passive};

    /// As NT does it: inserting and removing say what has changed.
    #[derive(Default)]
    struct Queue(Cell<bool>);

    impl Queue {
        fn insert(&self) -> bool {
            !self.0.replace(true)
        }

        fn remove(&self) -> bool {
            self.0.replace(false)
        }
    }

    fn open() -> Rundown<Flag> {
        let attached = Rundown::closed(Flag::default());
        attached.open();
        attached
    }

    #[test]
    fn one_reference_is_held_from_the_queueing_to_the_end_of_the_run() {
        let (attached, dpcs) = (open(), Queue::default());
        assert_eq!(queue(&attached, || dpcs.insert()), Ok(Queued::First));
        assert_eq!(queue(&attached, || dpcs.insert()), Ok(Queued::Coalesced));
        assert!(attached.is_occupied(), "the queued one");
        // NT takes it out and runs it; it is queued again meanwhile.
        assert!(dpcs.remove());
        assert_eq!(queue(&attached, || dpcs.insert()), Ok(Queued::First));
        attached.release();
        assert!(attached.is_occupied(), "the second run");
        assert!(dpcs.remove());
        attached.release();
        assert!(!attached.is_occupied(), "a reference is left");
    }

    #[test]
    fn a_wish_that_is_taken_back_keeps_nothing() {
        let (attached, dpcs) = (open(), Queue::default());
        assert_eq!(queue(&attached, || dpcs.insert()), Ok(Queued::First));
        assert!(cancel(&attached, || dpcs.remove()));
        assert!(!attached.is_occupied(), "a reference is left");
        assert!(!cancel(&attached, || dpcs.remove()), "it was not there");
        attached.close(&mut passive());
    }

    #[test]
    fn nothing_is_queued_once_detach_has_begun() {
        let (attached, dpcs) = (open(), Queue::default());
        attached.close(&mut passive());
        let refused = queue(&attached, || panic!("queued for a module that is going"));
        assert_eq!(refused, Err(NotAttached));
        assert!(!dpcs.remove());
    }
}
