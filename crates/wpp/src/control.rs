//! What sessions want of a driver.

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::Guid;

/// How much a message matters (`winmeta.h`, `evntrace.h`); those up to a session's level are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `TRACE_LEVEL_CRITICAL`: the driver cannot go on.
    Critical = 1,
    /// `TRACE_LEVEL_ERROR`: something failed.
    Error = 2,
    /// `TRACE_LEVEL_WARNING`: something is not as it should be.
    Warning = 3,
    /// `TRACE_LEVEL_INFORMATION`: what an administrator may want to know.
    Information = 4,
    /// `TRACE_LEVEL_VERBOSE`: what somebody who looks for a cause wants to know.
    Verbose = 5,
}

/// What messages are about: a bit of a control. [`control!`](crate::control!) makes them.
pub trait Flag {
    /// The bit.
    const BIT: u32;

    /// The control that it is of.
    fn control() -> &'static Control;
}

/// Where the system's call about a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It begins: what it brings is not in effect yet.
    Begins,
    /// It ends.
    Ends,
}

/// What a package's messages are enabled by; [`control!`](crate::control!) makes it.
///
/// # Invariants
///
/// `handle` is 0, or one that `EtwRegisterClassicProvider` gave and `EtwUnregister` has not got back.
pub struct Control {
    pub(crate) id: Guid,
    /// Is told of the system's calls about sessions.
    switched: Option<fn(Stage)>,
    /// For each level the flags whose messages are written.
    wanted: Wanted,
    /// What messages are written with: session, level and flags, as the system gave it; 0 for no session.
    logger: AtomicU64,
    pub(crate) handle: AtomicU64,
    refused: AtomicU64,
}

/// A word for each level, so that one test is enough.
struct Wanted {
    critical: AtomicU32,
    error: AtomicU32,
    warning: AtomicU32,
    information: AtomicU32,
    verbose: AtomicU32,
}

impl Wanted {
    #[inline(always)]
    const fn of(&self, level: Level) -> &AtomicU32 {
        match level {
            Level::Critical => &self.critical,
            Level::Error => &self.error,
            Level::Warning => &self.warning,
            Level::Information => &self.information,
            Level::Verbose => &self.verbose,
        }
    }
}

const LEVELS: [Level; 5] = [
    Level::Critical,
    Level::Error,
    Level::Warning,
    Level::Information,
    Level::Verbose,
];

impl Control {
    /// The most flags of a control: tools have the higher bits for themselves.
    pub const MOST_FLAGS: u32 = 24;

    /// For [`control!`](crate::control!).
    #[doc(hidden)]
    #[must_use]
    pub const fn new(id: Guid, switched: Option<fn(Stage)>) -> Self {
        Self {
            id,
            switched,
            wanted: Wanted {
                critical: AtomicU32::new(0),
                error: AtomicU32::new(0),
                warning: AtomicU32::new(0),
                information: AtomicU32::new(0),
                verbose: AtomicU32::new(0),
            },
            logger: AtomicU64::new(0),
            handle: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Whether a session wants messages of a flag and level: for what only a message needs.
    ///
    /// # IRQL
    ///
    /// Any.
    #[must_use]
    #[inline(always)]
    pub fn wants<F: Flag>(level: Level) -> bool {
        F::control().wanted.of(level).load(Ordering::Relaxed) & F::BIT != 0
    }

    /// Whether there is a registration: without one the driver runs untraced.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.handle.load(Ordering::Relaxed) != 0
    }

    /// Messages that were not written: longer than 64 KiB or than a session's buffers, or with no buffer free.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts a message that was not written.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The session to write to.
    pub(crate) fn logger(&self) -> Option<u64> {
        match self.logger.load(Ordering::Relaxed) {
            0 => None,
            logger => Some(logger),
        }
    }

    /// The system's call about a session is at a stage.
    #[cfg_attr(
        not(any(windows, test)),
        expect(dead_code, reason = "the system's call is at it")
    )]
    pub(crate) fn tell(&self, stage: Stage) {
        if let Some(switched) = self.switched {
            switched(stage);
        }
    }

    /// A session has come, with what the system calls it: its number in the low 16 bits, its level in the next 8, its
    /// flags in the upper 32.
    ///
    /// Who writes meanwhile may find the new flags with the old session or the other way round: a message more or less,
    /// and the system refuses those of a session that has gone.
    #[cfg_attr(
        not(any(windows, test)),
        expect(dead_code, reason = "the system calls it")
    )]
    pub(crate) fn enable(&self, logger: u64) {
        let [_, _, session_level, _, flags @ ..] = logger.to_le_bytes();
        let flags = u32::from_le_bytes(flags);
        self.logger.store(logger, Ordering::Relaxed);
        for level in LEVELS {
            let is_wanted = level as u8 <= session_level;
            let flags = if is_wanted { flags } else { 0 };
            self.wanted.of(level).store(flags, Ordering::Relaxed);
        }
    }

    /// The session has gone.
    #[cfg_attr(
        not(any(windows, test)),
        expect(dead_code, reason = "the system calls it")
    )]
    pub(crate) fn disable(&self) {
        for level in LEVELS {
            self.wanted.of(level).store(0, Ordering::Relaxed);
        }
        self.logger.store(0, Ordering::Relaxed);
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("id", &self.id)
            .field("is_registered", &self.is_registered())
            .finish_non_exhaustive()
    }
}

/// Declares what sessions enable a package's messages by: a GUID of its own, and flags, the first of which is bit 0. A
/// package has one, below its `src`.
///
/// ```text
/// wpp::control! {
///     /// WPP of my driver.
///     pub(crate) static WPP = "2f1c5c4e-1d3b-4d0a-9a3e-6a1f0f1b2c3d";
///     /// Requests from user mode.
///     pub(crate) flag Request;
/// }
/// ```
///
/// `static WPP = "…", switched: FUNCTION;` names a function that is told when the system calls about a session and when that
/// call ends ([`Stage`]), at `PASSIVE_LEVEL`: what C drivers have as `WPP_PRIVATE_ENABLE_CALLBACK`.
#[macro_export]
macro_rules! control {
    (
        $(#[$about:meta])*
        $visibility:vis static $control:ident = $id:literal $(, switched: $switched:path)?;
        $($(#[$flag_about:meta])* $flag_visibility:vis flag $flag:ident;)*
    ) => {
        $(#[$about])*
        $visibility static $control: $crate::Control = $crate::Control::new(
            $crate::Guid::parse($id),
            $crate::control!(@switched $($switched)?),
        );

        $crate::control! {
            @flags $control 0_u32; $($(#[$flag_about])* $flag_visibility $flag;)*
        }
    };

    (@switched) => {
        ::core::option::Option::None
    };

    (@switched $switched:path) => {
        ::core::option::Option::Some($switched)
    };

    (@flags $control:ident $place:expr;) => {};

    (
        @flags $control:ident $place:expr;
        $(#[$about:meta])* $visibility:vis $flag:ident; $($rest:tt)*
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug)]
        $visibility enum $flag {}

        impl $crate::Flag for $flag {
            const BIT: u32 = {
                const PLACE: u32 = $place;
                ::core::assert!(PLACE < $crate::Control::MOST_FLAGS, "too many flags");
                1 << PLACE
            };

            #[inline(always)]
            fn control() -> &'static $crate::Control {
                &$control
            }
        }

        $crate::control! { @flags $control $place + 1; $($rest)* }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    static TOLD: AtomicU32 = AtomicU32::new(0);

    fn switched(stage: Stage) {
        TOLD.fetch_add(u32::from(stage == Stage::Begins), Ordering::Relaxed);
    }

    crate::control! {
        /// Of these tests.
        static TEST = "00112233-4455-6677-8899-aabbccddeeff", switched: switched;
        /// The first.
        flag First;
        flag Second;
    }

    #[test]
    fn level_and_flags_decide() {
        assert_eq!((First::BIT, Second::BIT), (1, 2));
        let wants = |level| {
            (
                Control::wants::<First>(level),
                Control::wants::<Second>(level),
            )
        };
        assert_eq!(wants(Level::Critical), (false, false));
        assert_eq!(TEST.logger(), None);
        TEST.enable(0x0000_0002_0003_0007);
        assert_eq!(wants(Level::Warning), (false, true));
        assert_eq!(wants(Level::Information), (false, false));
        assert_eq!(TEST.logger(), Some(0x0000_0002_0003_0007));
        TEST.enable(0xFFFF_FFFF_00FF_0008);
        assert_eq!(wants(Level::Verbose), (true, true));
        TEST.tell(Stage::Begins);
        assert_eq!(TOLD.load(Ordering::Relaxed), 1);
        // What tools assume is nothing.
        TEST.enable(8);
        assert_eq!(wants(Level::Critical), (false, false));
        TEST.enable(0xFFFF_FFFF_00FF_0008);
        TEST.disable();
        assert_eq!(wants(Level::Critical), (false, false));
        assert_eq!(TEST.logger(), None);
    }
}
