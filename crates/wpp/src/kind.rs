//! What values can be: [`wpp!`](crate::wpp!) has the table.

use core::marker::PhantomData;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::ptr::NonNull;

use crate::Guid;
use crate::message::Message;

/// Units (bytes, or 16-bit units of a wide text) after which a text is cut; then `...` follows.
pub const LONGEST_TEXT: usize = 512;

/// What a value is, and how its bytes are laid out.
pub trait Kind {
    /// The bytes.
    type Value<'a>: Copy;
    /// The most pieces that they come in.
    const PIECES: usize = 1;
    /// The name under which [`names!`](crate::names!) has declared it: formats know it by that alone.
    #[doc(hidden)]
    const NAME: Option<&'static str> = None;

    /// Adds them to a message.
    #[doc(hidden)]
    fn describe<'v>(value: &'v Self::Value<'_>, message: &mut Message<'v>);
}

/// A type whose values can stand for a kind. A driver may have more of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no value for a WPP message's kind `{K}`",
    label = "of another type than the text's kind takes",
    note = "the documentation of `wpp!` has a table of kinds and of what they take"
)]
pub trait Argument<'a, K: Kind> {
    /// The bytes.
    fn into_value(self) -> K::Value<'a>;
}

/// What takes a kind's values: in a call, so that the compiler points at an argument that is of a wrong type.
#[doc(hidden)]
#[derive(Debug)]
pub struct Of<K>(PhantomData<K>);

impl<K: Kind> Of<K> {
    /// The only one.
    pub const NEW: Self = Self(PhantomData);

    /// The bytes of an argument.
    #[inline(always)]
    pub fn value<'a, A: Argument<'a, K>>(self, argument: A) -> K::Value<'a> {
        argument.into_value()
    }
}

/// Whether a text has a kind under the name that it was declared with.
#[doc(hidden)]
#[must_use]
pub const fn has_its_name<K: Kind>(written: &str) -> bool {
    let Some(name) = K::NAME else {
        return true;
    };
    let (mut name, mut written) = (name.as_bytes(), written.as_bytes());
    while let ([a, names @ ..], [b, writtens @ ..]) = (name, written)
        && *a == *b
    {
        (name, written) = (names, writtens);
    }
    name.is_empty() && written.is_empty()
}

macro_rules! fixed {
    ($($(#[$about:meta])* $kind:ident: $length:literal, $($argument:ty => |$given:ident| $bytes:expr),+;)*) => {
        $(
            $(#[$about])*
            #[derive(Debug)]
            pub enum $kind {}

            impl Kind for $kind {
                type Value<'a> = [u8; $length];

                fn describe<'v>(value: &'v [u8; $length], message: &mut Message<'v>) {
                    message.push(value);
                }
            }

            $(
                impl<'a> Argument<'a, $kind> for $argument {
                    fn into_value(self) -> [u8; $length] {
                        let $given = self;
                        $bytes
                    }
                }
            )+
        )*
    };
}

fixed! {
    /// 8 bits with a sign.
    I8: 4, i8 => |value| i32::from(value).to_le_bytes();
    /// 16 bits with a sign.
    I16: 4, i16 => |value| i32::from(value).to_le_bytes();
    /// 32 bits with a sign.
    I32: 4, i32 => |value| value.to_le_bytes();
    /// 64 bits with a sign.
    I64: 8, i64 => |value| value.to_le_bytes();
    /// A pointer's bits with a sign.
    Isize: 8, isize => |value| (value as i64).to_le_bytes();
    /// 8 bits.
    U8: 4, u8 => |value| u32::from(value).to_le_bytes();
    /// 16 bits.
    U16: 4, u16 => |value| u32::from(value).to_le_bytes();
    /// 32 bits.
    U32: 4, u32 => |value| value.to_le_bytes();
    /// 64 bits.
    U64: 8, u64 => |value| value.to_le_bytes();
    /// A pointer's bits.
    Usize: 8, usize => |value| (value as u64).to_le_bytes();
    /// A truth value.
    Bool: 4, bool => |value| u32::from(value).to_le_bytes();
    /// An interrupt request level.
    Irql: 4, u8 => |value| u32::from(value).to_le_bytes();
    /// An NTSTATUS.
    NtStatus: 4, i32 => |value| value.to_le_bytes();
    /// An NDIS_STATUS.
    NdisStatus: 4, i32 => |value| value.to_le_bytes();
    /// An NDIS OID.
    Oid: 4, u32 => |value| value.to_le_bytes();
    /// A GUID.
    GuidValue: 16, Guid => |value| value.to_memory();
    /// An IPv4 address.
    Ipv4: 4, Ipv4Addr => |value| value.octets(), [u8; 4] => |value| value;
    /// An IPv6 address.
    Ipv6: 16, Ipv6Addr => |value| value.octets(), [u8; 16] => |value| value;
    /// An Ethernet address.
    Mac: 6, [u8; 6] => |value| value;
    /// A TCP or UDP port.
    Port: 2, u16 => |value| value.to_be_bytes();
}

/// An address in memory.
#[derive(Debug)]
pub enum Pointer {}

impl Kind for Pointer {
    type Value<'a> = [u8; 8];

    fn describe<'v>(value: &'v [u8; 8], message: &mut Message<'v>) {
        message.push(value);
    }
}

impl<'a, T: ?Sized> Argument<'a, Pointer> for *const T {
    fn into_value(self) -> [u8; 8] {
        (self.addr() as u64).to_le_bytes()
    }
}

impl<'a, T: ?Sized> Argument<'a, Pointer> for *mut T {
    fn into_value(self) -> [u8; 8] {
        (self.addr() as u64).to_le_bytes()
    }
}

impl<'a, T: ?Sized> Argument<'a, Pointer> for &T {
    fn into_value(self) -> [u8; 8] {
        (core::ptr::from_ref(self).addr() as u64).to_le_bytes()
    }
}

impl<'a, T: ?Sized> Argument<'a, Pointer> for NonNull<T> {
    fn into_value(self) -> [u8; 8] {
        (self.addr().get() as u64).to_le_bytes()
    }
}

/// Bytes with their number in front of them, and the mark of what was cut behind them.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    length: [u8; 2],
    bytes: &'a [u8],
    mark: &'static [u8],
}

impl<'a> Counted<'a> {
    fn new(bytes: &'a [u8], mark: &'static [u8]) -> Self {
        // Bytes that are too many make a message that is refused.
        let length = bytes.len().saturating_add(mark.len());
        Self {
            length: u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes(),
            bytes,
            mark,
        }
    }

    fn describe<'v>(value: &'v Counted<'_>, message: &mut Message<'v>) {
        message.push(&value.length);
        message.push(value.bytes);
        message.push(value.mark);
    }
}

macro_rules! counted {
    ($($(#[$about:meta])* $kind:ident;)*) => {
        $(
            $(#[$about])*
            #[derive(Debug)]
            pub enum $kind {}

            impl Kind for $kind {
                type Value<'a> = Counted<'a>;
                const PIECES: usize = 3;

                fn describe<'v>(value: &'v Counted<'_>, message: &mut Message<'v>) {
                    Counted::describe(value, message);
                }
            }
        )*
    };
}

counted! {
    /// Text of ASCII.
    Str;
    /// Bytes.
    Bytes;
}

impl<'a> Argument<'a, Str> for &'a [u8] {
    fn into_value(self) -> Counted<'a> {
        match self.get(..LONGEST_TEXT) {
            Some(cut) if self.len() > LONGEST_TEXT => Counted::new(cut, b"..."),
            _ => Counted::new(self, &[]),
        }
    }
}

impl<'a> Argument<'a, Str> for &'a str {
    fn into_value(self) -> Counted<'a> {
        Argument::<Str>::into_value(self.as_bytes())
    }
}

impl<'a, const N: usize> Argument<'a, Str> for &'a [u8; N] {
    fn into_value(self) -> Counted<'a> {
        Argument::<Str>::into_value(self.as_slice())
    }
}

impl<'a> Argument<'a, Bytes> for &'a [u8] {
    fn into_value(self) -> Counted<'a> {
        Counted::new(self, &[])
    }
}

impl<'a, const N: usize> Argument<'a, Bytes> for &'a [u8; N] {
    fn into_value(self) -> Counted<'a> {
        Counted::new(self.as_slice(), &[])
    }
}

/// Text of UTF-16.
#[derive(Debug)]
pub enum WideStr {}

/// A text of UTF-16 with its number of bytes.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Wide<'a> {
    length: [u8; 2],
    units: &'a [u16],
    mark: &'static [u8],
}

impl Kind for WideStr {
    type Value<'a> = Wide<'a>;
    const PIECES: usize = 3;

    fn describe<'v>(value: &'v Wide<'_>, message: &mut Message<'v>) {
        message.push(&value.length);
        message.push(bytes_of(value.units));
        message.push(value.mark);
    }
}

impl<'a> Argument<'a, WideStr> for &'a [u16] {
    fn into_value(self) -> Wide<'a> {
        let (units, mark): (_, &[u8]) = match self.get(..LONGEST_TEXT) {
            Some(cut) if self.len() > LONGEST_TEXT => (whole(cut), b".\0.\0.\0"),
            _ => (self, &[]),
        };
        let length = size_of_val(units).saturating_add(mark.len());
        Wide {
            length: u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes(),
            units,
            mark,
        }
    }
}

impl<'a, const N: usize> Argument<'a, WideStr> for &'a [u16; N] {
    fn into_value(self) -> Wide<'a> {
        Argument::<WideStr>::into_value(self.as_slice())
    }
}

/// Without the first half of a character whose second half was cut off.
fn whole(units: &[u16]) -> &[u16] {
    match units {
        [front @ .., 0xD800..=0xDBFF] => front,
        units => units,
    }
}

fn bytes_of(units: &[u16]) -> &[u8] {
    // SAFETY: a slice of integers has no padding, and its bytes are borrowed as long as it is.
    unsafe { core::slice::from_raw_parts(units.as_ptr().cast(), size_of_val(units)) }
}

/// Gives numbers names, for kinds of a package's own: enums whose values are one of the names, and flags, of which any
/// may be set.
///
/// An enumeration names an enum and each of its variants, with the number by which a message has it; a variant that is
/// forgotten does not compile. Values of flags are `u32`. Numbers are written out, as 32 bits.
///
/// ```text
/// wpp::names! {
///     /// States of an adapter.
///     pub(crate) enumeration States(crate::State) { Stopped = 0, Running = 1 }
///     /// What an adapter can do.
///     pub(crate) flags Abilities { Receive = 0x1, Send = 0x2 }
/// }
/// ```
#[macro_export]
macro_rules! names {
    () => {};

    (
        $(#[$about:meta])*
        $visibility:vis enumeration $name:ident($values:ty) { $($member:ident = $number:literal),* $(,)? }
        $($rest:tt)*
    ) => {
        $crate::names! { @kind [$(#[$about])*] $visibility $name }

        impl<'a> $crate::Argument<'a, $name> for $values {
            fn into_value(self) -> [u8; 4] {
                let number: u32 = match self {
                    $(<$values>::$member => $number,)*
                };
                number.to_le_bytes()
            }
        }

        $crate::names! { $($rest)* }
    };

    (
        $(#[$about:meta])*
        $visibility:vis flags $name:ident { $($member:ident = $number:literal),* $(,)? }
        $($rest:tt)*
    ) => {
        $crate::names! { @kind [$(#[$about])*] $visibility $name }

        impl<'a> $crate::Argument<'a, $name> for u32 {
            fn into_value(self) -> [u8; 4] {
                self.to_le_bytes()
            }
        }

        $crate::names! { $($rest)* }
    };

    (@kind [$($about:tt)*] $visibility:vis $name:ident) => {
        $($about)*
        #[derive(Debug)]
        $visibility enum $name {}

        impl $crate::Kind for $name {
            type Value<'a> = [u8; 4];
            const NAME: ::core::option::Option<&'static str> =
                ::core::option::Option::Some(::core::stringify!($name));

            fn describe<'v>(value: &'v [u8; 4], message: &mut $crate::made::Message<'v>) {
                message.push(value);
            }
        }
    };
}

#[cfg(test)]
#[path = "kind/tests.rs"]
mod tests;
