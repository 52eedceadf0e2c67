//! WPP software tracing for Windows drivers in Rust: messages whose texts are not in the image.
//!
//! A message in the image is a GUID, a number and the values' bytes; what it says is in a TMF file, from which `tracefmt`,
//! WinDbg and others show it. There is no C compiler, preprocessor or PDB in this: [`wpp!`] and the build read the texts
//! from the sources (the crate `wpp-format`).
//!
//! ```text
//!   wpp!(Level, Flag, "text {name:kind}", value)
//!     │ compiled: GUID of the file's messages, number, kinds      │ built: <guid>.tmf
//!     ▼                                                           ▼
//!   does a session want level and flag? ── yes: WmiTraceMessage ─▶ session ─▶ tracefmt, WinDbg, lwf-lab decode
//! ```
//!
//! # Example
//!
//! Once in a package: what sessions enable ([`control!`]), and numbers that have names ([`names!`]).
//!
//! ```text
//! wpp::control! {
//!     /// WPP of my driver.
//!     pub(crate) static WPP = "2f1c5c4e-1d3b-4d0a-9a3e-6a1f0f1b2c3d";
//!     /// Requests from user mode.
//!     pub(crate) flag Request;
//! }
//!
//! wpp::names! {
//!     /// States of an adapter.
//!     pub(crate) enumeration States(crate::State) { Stopped = 0, Running = 1 }
//! }
//! ```
//!
//! Anywhere in it:
//!
//! ```text
//! wpp!(Warning, Request, "{FUNC} refuses {code:x32}: {status:ntstatus}", code, status);
//! wpp!(Verbose, Request, "adapter {name:wstr} is {state:States}", adapter.name(), adapter.state());
//! ```
//!
//! `DriverEntry` calls [`Control::register`], `DriverUnload` [`Control::unregister`]; a driver of `ndis` names its control
//! in `ndis::driver!` instead. `examples/traced` is a whole driver with a message of every kind.
//!
//! # Sessions
//!
//! `tracelog -start S -guid #2f1c5c4e-1d3b-4d0a-9a3e-6a1f0f1b2c3d -flag 0xFFFFFF -level 5 -f s.etl`, later `tracelog -stop S` and
//! `tracefmt s.etl -p FOLDER-OF-TMFS`. A level or flag of 0, which tools assume, is nothing. Like every WPP driver this one
//! knows one session at a time: the last that came.
//!
//! # Cost
//!
//! With no session that wants it, a message costs a load, a test and a branch; its values are not evaluated. Written, it
//! takes no memory but a KiB of stack, and nothing is formatted.
//!
//! # Bad input
//!
//! Texts of more than [`kind::LONGEST_TEXT`] are cut there, and end in `...`. Messages that do not fit into 64 KiB or into
//! a session's buffer are refused and [counted](Control::refused). Where registration fails or the system has no
//! `EtwRegisterClassicProvider`, WPP is off, and the driver runs.

#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
#![expect(
    unsafe_code,
    reason = "the calls of the system; CONTRIBUTING.md has the rules"
)]

mod control;
mod guid;
pub mod kind;
mod message;
#[cfg(windows)]
mod system;

pub use control::{Control, Flag, Level, Stage};
pub use guid::Guid;
pub use kind::{Argument, Kind};
#[cfg(windows)]
pub use system::NotRegistered;

/// Writes a message, if a session wants it: `wpp!(Level, Flag, "text {name:kind} …", value, …)`.
///
/// `Level` is one of [`Level`]'s; `Flag` one of the package's [`control!`], or a path to it. The text is a plain string of
/// ASCII, in which `{{` and `}}` are braces, `{FUNC}` is the function that the message stands in, and `{name:kind}` is a
/// value. The values follow, in that order; one of another type than the kind's does not compile. They are evaluated only if
/// a session wants the message.
///
/// | kind | value | shown |
/// |---|---|---|
/// | `i8`, `i16`, `i32`, `i64`, `isize`, `u8`, `u16`, `u32`, `u64`, `usize` | that integer | decimal |
/// | `x8`, `x16`, `x32`, `x64`, `xsize` | `u8` to `u64`, `usize` | hexadecimal, without `0x` |
/// | `ptr` | a pointer or reference | 16 digits |
/// | `bool` | `bool` | `true`, `false` |
/// | `irql` | `u8` | `PASSIVE`, `DISPATCH`, … |
/// | `ntstatus`, `ndis_status` | `i32` | number and name |
/// | `oid` | `u32`: an NDIS OID | number and name |
/// | `guid` | [`Guid`] | |
/// | `ipv4`, `ipv6` | `core::net`'s addresses, or their bytes | |
/// | `mac` | `[u8; 6]` | |
/// | `port` | `u16` | decimal |
/// | `str` | `&str` or `&[u8]`: ASCII | text |
/// | `wstr` | `&[u16]`: UTF-16 | text |
/// | `bytes` | `&[u8]` | hexadecimal |
/// | a type of [`names!`] | its enum; `u32` for flags | names |
///
/// What is written out elsewhere, as by another macro that is handed the text, is found only if level, flag and text stand
/// inside `wpp!(…)`.
///
/// # IRQL
///
/// Any; what values borrow is nonpaged where it is called above `APC_LEVEL`.
pub use wpp_macros::wpp;

/// For [`wpp!`](crate::wpp!).
#[doc(hidden)]
pub mod made {
    pub use crate::kind::{Of, has_its_name};
    pub use crate::message::{MOST_PIECES, Message, aside};
}

/// What [`wpp!`](crate::wpp!) becomes.
#[doc(hidden)]
#[macro_export]
macro_rules! made_message {
    (
        [$flag:ty] $level:ident $id:tt $number:literal
        [$($value:ident: $kind:ty = ($($given:tt)*),)*]
    ) => {
        if $crate::Control::wants::<$flag>($crate::Level::$level) {
            $crate::made::aside(|| match ($($crate::made::Of::<$kind>::NEW.value($($given)*),)*) {
                ($($value,)*) => {
                    const ID: &$crate::Guid = &$crate::Guid::from_memory($id);
                    const _: () = ::core::assert!(
                        0 $(+ <$kind as $crate::Kind>::PIECES)* <= $crate::made::MOST_PIECES,
                        "too many values in one message"
                    );
                    $(const _: () = ::core::assert!(
                        $crate::made::has_its_name::<$kind>(::core::stringify!($kind)),
                        "a kind of `names!` under another name than there"
                    );)*
                    #[allow(unused_mut, reason = "a message without values")]
                    let mut message = $crate::made::Message::new();
                    $(<$kind as $crate::Kind>::describe(&$value, &mut message);)*
                    message.write(<$flag as $crate::Flag>::control(), ID, $number);
                }
            });
        }
    };
}
