//! A provider, from its registration to its end.

use core::ffi::c_void;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use ndis_sys::nt::{
    EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA, EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA,
    EtwSetInformation, EventProviderSetTraits,
};
use wdk_sys::{EVENT_DESCRIPTOR, GUID, ntddk};

use super::kind::{PIECES_PER_FIELD, Piece, Pieces};
use crate::Status;
use crate::counter::Counter;
use crate::debug;
use crate::filter::FilterModule;
use crate::irql::Passive;
use crate::thunk;

/// How much an event matters (`winmeta.h`): WPP has the same levels.
pub use wpp::Level;

/// What an event is a part of (`winmeta.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Of nothing.
    Info = 0,
    /// The beginning of something.
    Start = 1,
    /// The end of something.
    Stop = 2,
    /// What was there when a session asked.
    DataCollectionStart = 3,
}

/// What is known of an event when the driver is compiled, but its names.
#[derive(Clone, Copy)]
pub struct Facts(EVENT_DESCRIPTOR);

impl Facts {
    /// Facts of an event; one whose `keywords` are 0 comes with every session.
    #[must_use]
    pub const fn new(level: Level, keywords: u64, opcode: Opcode) -> Self {
        /// What marks events that describe themselves.
        const TRACE_LOGGING_CHANNEL: u8 = 11;
        Self(EVENT_DESCRIPTOR {
            Id: 0,
            Version: 0,
            Channel: TRACE_LOGGING_CHANNEL,
            Level: level as u8,
            Opcode: opcode as u8,
            Task: 0,
            Keyword: keywords,
        })
    }

    /// Whether sessions that want so much want the event.
    const fn passes(&self, wanted: &Wanted) -> bool {
        let keywords = self.0.Keyword;
        self.0.Level <= wanted.level
            && (keywords == 0
                || (keywords & wanted.any != 0 && keywords & wanted.all == wanted.all))
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("level", &self.0.Level)
            .field("keywords", &self.0.Keyword)
            .finish_non_exhaustive()
    }
}

/// What all sessions together want.
struct Wanted {
    level: u8,
    any: u64,
    all: u64,
}

/// An event of a provider; [`events!`](crate::events!) makes them.
pub trait Event {
    /// Its bit among the events of its provider.
    const BIT: u64;
    /// What is known of it.
    const FACTS: Facts;
    /// Its names, for decoders.
    const METADATA: &'static [u8];

    /// Its provider.
    fn provider() -> &'static Provider;

    /// Hands the event to the sessions.
    fn emit(&self);

    /// Whether a session wants it: for what only an event needs, such as a look at the clock.
    ///
    /// # IRQL
    ///
    /// Any.
    #[must_use]
    fn is_enabled() -> bool {
        Self::provider().enabled.load(Ordering::Relaxed) & Self::BIT != 0
    }
}

/// Writes an event if a session wants it; if none does, the event is not even made.
///
/// # IRQL
///
/// Any.
#[inline(always)]
pub fn write<E: Event>(make: impl FnOnce() -> E) {
    if E::is_enabled() {
        make().emit();
    }
}

/// What a driver's events come from.
///
/// # Invariants
///
/// `handle` is 0, or one that `EtwRegister` gave and `EtwUnregister` has not got back.
pub struct Provider {
    name: &'static [u8],
    id: GUID,
    events: &'static [Facts],
    rundown: fn(&mut Passive),
    /// Bit by bit, the events that a session wants.
    enabled: AtomicU64,
    handle: AtomicU64,
    refused: Counter,
}

impl Provider {
    /// The most events of one provider.
    pub const MOST_EVENTS: usize = 64;

    /// For [`events!`](crate::events!).
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        name: &'static [u8],
        id: GUID,
        events: &'static [Facts],
        rundown: fn(&mut Passive),
    ) -> Self {
        assert!(events.len() <= Self::MOST_EVENTS, "too many events");
        Self {
            name,
            id,
            events,
            rundown,
            enabled: AtomicU64::new(0),
            handle: AtomicU64::new(0),
            refused: Counter::new(),
        }
    }

    /// Events that the system did not take: longer than 64 KiB or than a session's buffers, or with no buffer free.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.value()
    }

    /// Whether there is a registration: without one the driver runs untraced.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.handle.load(Ordering::Relaxed) != 0
    }

    /// Registers the provider.
    ///
    /// # Errors
    ///
    /// It cannot be, and the driver runs untraced; a debug build says so.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-etwregister>
    pub(crate) fn register<M: FilterModule>(
        &'static self,
        _irql: &mut Passive,
    ) -> Result<(), Status> {
        let mut handle = 0;
        let context: *const Self = self;
        // SAFETY: all pointers are to what lives as long as the image, but for the result, which is valid for the length
        // of the call; the token says PASSIVE_LEVEL.
        let status = unsafe {
            ntddk::EtwRegister(
                &raw const self.id,
                Some(thunk::enable_events::<M>),
                context.cast_mut().cast(),
                &raw mut handle,
            )
        };
        if status < 0 || handle == 0 {
            debug::print_number(
                c"ndis: EtwRegister failed",
                u64::from(status.cast_unsigned()),
            );
            return Err(Status::from_raw(status).into_failure());
        }
        // Without the traits the system does not know the types of an event's pieces.
        // SAFETY: the handle was just given; the system only reads the bytes; the token says PASSIVE_LEVEL.
        let status = unsafe {
            EtwSetInformation(
                handle,
                EventProviderSetTraits,
                self.name.as_ptr().cast_mut().cast(),
                u32::try_from(self.name.len()).unwrap_or_default(),
            )
        };
        if status < 0 {
            // SAFETY: the handle was just given, and nobody else has it; the token says PASSIVE_LEVEL.
            let _ = unsafe { ntddk::EtwUnregister(handle) };
            self.enabled.store(0, Ordering::Relaxed);
            return Err(Status::from_raw(status));
        }
        // INVARIANT: `EtwRegister` gave it.
        self.handle.store(handle, Ordering::Release);
        Ok(())
    }

    /// Ends the registration: no callback runs when this has returned.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-etwunregister>
    pub(crate) fn unregister(&self, _irql: &mut Passive) {
        // INVARIANT: given back below.
        let handle = self.handle.swap(0, Ordering::AcqRel);
        if handle != 0 {
            // SAFETY: by the invariant it is registered; nobody writes events any more; the token says PASSIVE_LEVEL.
            let _ = unsafe { ntddk::EtwUnregister(handle) };
        }
        self.enabled.store(0, Ordering::Relaxed);
    }

    /// A session has come, changed, gone, or asks what there is.
    ///
    /// It may come before `EtwRegister` has returned; then there is no handle yet, and what is written is lost.
    pub(crate) fn control(&self, code: u32, level: u8, any: u64, all: u64, irql: &mut Passive) {
        // The codes stand on the page of the callback.
        // https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nc-wdm-etwenablecallback
        const DISABLE: u32 = 0;
        const ENABLE: u32 = 1;
        const CAPTURE_STATE: u32 = 2;
        match code {
            DISABLE => self.enabled.store(0, Ordering::Relaxed),
            ENABLE => {
                // Level 0 leaves nothing out.
                let level = if level == 0 { u8::MAX } else { level };
                self.enable(&Wanted { level, any, all });
            }
            CAPTURE_STATE => (self.rundown)(irql),
            _ => {}
        }
    }

    fn enable(&self, wanted: &Wanted) {
        let mut enabled = 0;
        let mut bit: u64 = 1;
        for facts in self.events {
            if facts.passes(wanted) {
                enabled |= bit;
            }
            bit = bit.rotate_left(1);
        }
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Gives an event to the system.
    fn write(&self, facts: &Facts, pieces: &mut [Piece<'_>]) {
        /// `EVENT_HEADER` and what the system puts behind it.
        const HEADER: u32 = 0x80;
        let handle = self.handle.load(Ordering::Acquire);
        if handle == 0 {
            return;
        }
        let length = pieces
            .iter()
            .fold(HEADER, |sum, piece| sum.saturating_add(piece.length()));
        let count = u32::try_from(pieces.len()).unwrap_or_default();
        let is_taken = u16::try_from(length).is_ok() && {
            // SAFETY: by the invariant the handle is registered; a `Piece` is an `EVENT_DATA_DESCRIPTOR` whose bytes are
            // there, in nonpaged memory like everything of this driver.
            let status = unsafe {
                ntddk::EtwWriteTransfer(
                    handle,
                    &raw const facts.0,
                    core::ptr::null(),
                    core::ptr::null(),
                    count,
                    pieces.as_mut_ptr().cast(),
                )
            };
            status >= 0
        };
        if !is_taken {
            self.refused.add(1);
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("is_registered", &self.is_registered())
            .finish_non_exhaustive()
    }
}

/// Emits an event of `FIELDS` fields, which `describe` adds: the slow path of [`write`], away from the callers' code.
#[doc(hidden)]
#[cold]
#[inline(never)]
pub fn emit<'v, E: Event, const FIELDS: usize>(
    event: &'v E,
    describe: impl FnOnce(&'v E, &mut Pieces<'_, 'v>),
) {
    let provider = E::provider();
    let mut names = [Piece::NOTHING; 2];
    let [provider_name, event_name] = &mut names;
    *provider_name = Piece::of(provider.name, EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA);
    *event_name = Piece::of(E::METADATA, EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA);
    let mut room = [Piece::NOTHING; MOST_PIECES];
    let mut pieces = Pieces::new(&mut room);
    names.into_iter().for_each(|name| pieces.push(name));
    describe(event, &mut pieces);
    const {
        assert!(
            FIELDS * PIECES_PER_FIELD + 2 <= MOST_PIECES,
            "too many fields"
        );
    }
    provider.write(&E::FACTS, pieces.filled());
}

/// Room for the pieces of one event: half a KiB of the stack while it is written.
const MOST_PIECES: usize = 34;

/// A GUID from its bytes in memory.
#[doc(hidden)]
#[must_use]
pub const fn guid(bytes: [u8; 16]) -> GUID {
    let [
        a0,
        a1,
        a2,
        a3,
        b0,
        b1,
        c0,
        c1,
        d0,
        d1,
        d2,
        d3,
        d4,
        d5,
        d6,
        d7,
    ] = bytes;
    GUID {
        Data1: u32::from_le_bytes([a0, a1, a2, a3]),
        Data2: u16::from_le_bytes([b0, b1]),
        Data3: u16::from_le_bytes([c0, c1]),
        Data4: [d0, d1, d2, d3, d4, d5, d6, d7],
    }
}

/// The provider that a callback's context is.
///
/// # Safety
///
/// `context` came from [`Provider::register`].
pub(crate) const unsafe fn from_context(context: *mut c_void) -> &'static Provider {
    // SAFETY: this function's contract: it was a `&'static Provider`.
    unsafe { &*context.cast_const().cast() }
}

/// Declares a provider and its events.
///
/// The provider's GUID is the one that tools compute from its name (`*Name`). Each event becomes a type with a public
/// field for each of its fields; [`trace::write`](crate::trace::write) writes it. `rundown` is called when a session asks
/// what there is. Where fields borrow, the event has a lifetime: `event Name<'a>`. A module can hold one provider.
///
/// ```text
/// ndis::events! {
///     /// What my filter tells.
///     pub(crate) provider MY_FILTER = "MyFilter", rundown: rundown;
///
///     /// A packet was dropped.
///     event PacketDropped(Warning, keyword::PACKET, Info) {
///         /// Interface index.
///         if_index = "IfIndex": u32,
///     }
/// }
/// ```
#[macro_export]
macro_rules! events {
    (
        $(#[$about:meta])*
        $visibility:vis provider $provider:ident = $name:literal, rundown: $rundown:path;
        $(
            $(#[$event_about:meta])*
            event $event:ident $(<$life:lifetime>)? ($level:ident, $keywords:expr, $opcode:ident) $fields:tt
        )*
    ) => {
        $(#[$about])*
        $visibility static $provider: $crate::trace::Provider = $crate::trace::Provider::new(
            &$crate::trace::made::provider::<{ $crate::trace::made::provider_length($name) }>($name),
            $crate::trace::made::guid($crate::trace::made::id_of_name($name)),
            &[$($crate::events!(@facts $level, $keywords, $opcode)),*],
            $rundown,
        );

        /// The places of the events among those of the provider.
        #[derive(Clone, Copy)]
        enum EventPlace {
            $($event),*
        }

        $(
            $crate::events! {
                @event [$($life)?] [$(#[$event_about])*] $visibility $provider $event
                [$crate::events!(@facts $level, $keywords, $opcode)] $fields
            }
        )*
    };

    (@facts $level:ident, $keywords:expr, $opcode:ident) => {
        $crate::trace::Facts::new(
            $crate::trace::Level::$level,
            $keywords,
            $crate::trace::Opcode::$opcode,
        )
    };

    (
        @event [] [$($about:tt)*] $visibility:vis $provider:ident $event:ident [$facts:expr]
        { $($(#[$field_about:meta])* $field:ident = $label:literal: $kind:ty),* $(,)? }
    ) => {
        $($about)*
        $visibility struct $event {
            $($(#[$field_about])* $visibility $field: <$kind as $crate::trace::Kind>::Value<'static>,)*
        }

        impl $crate::trace::Event for $event {
            $crate::events! { @body $provider $event [$facts] $($field $label $kind,)* }
        }
    };

    (
        @event [$life:lifetime] [$($about:tt)*] $visibility:vis $provider:ident $event:ident [$facts:expr]
        { $($(#[$field_about:meta])* $field:ident = $label:literal: $kind:ty),* $(,)? }
    ) => {
        $($about)*
        $visibility struct $event<$life> {
            $($(#[$field_about])* $visibility $field: <$kind as $crate::trace::Kind>::Value<$life>,)*
        }

        impl $crate::trace::Event for $event<'_> {
            $crate::events! { @body $provider $event [$facts] $($field $label $kind,)* }
        }
    };

    (@body $provider:ident $event:ident [$facts:expr] $($field:ident $label:literal $kind:ty,)*) => {
        const BIT: u64 = 1 << EventPlace::$event as u64;
        const FACTS: $crate::trace::Facts = $facts;
        const METADATA: &'static [u8] = {
            const FIELDS: &[$crate::trace::FieldFacts] = &[$(
                $crate::trace::FieldFacts {
                    name: $label,
                    in_type: <$kind as $crate::trace::Kind>::IN_TYPE,
                    out_type: <$kind as $crate::trace::Kind>::OUT_TYPE,
                }
            ),*];
            const NAME: &str = stringify!($event);
            &$crate::trace::made::event::<{ $crate::trace::made::event_length(NAME, FIELDS) }>(NAME, FIELDS)
        };

        fn provider() -> &'static $crate::trace::Provider {
            &$provider
        }

        fn emit(&self) {
            const FIELDS: usize = <[&str]>::len(&[$($label),*]);
            $crate::trace::made::emit::<Self, FIELDS>(self, |event, pieces| {
                $(<$kind as $crate::trace::Kind>::describe(&event.$field, pieces);)*
            });
        }
    };
}
