//! What a field of an event can hold.

use core::fmt;
use core::marker::PhantomData;
use core::mem::size_of;
use core::net::IpAddr;

use wdk_sys::EVENT_DATA_DESCRIPTOR;

use crate::Status;
use crate::text::Text;

/// A piece of an event's bytes.
///
/// # Invariants
///
/// `raw` names initialised bytes that stay, and that nobody writes, for `'a`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Piece<'a> {
    raw: EVENT_DATA_DESCRIPTOR,
    _bytes: PhantomData<&'a [u8]>,
}

impl<'a> Piece<'a> {
    /// No bytes.
    pub(super) const NOTHING: Self = Self {
        // INVARIANT: no bytes are always there.
        raw: EVENT_DATA_DESCRIPTOR {
            Ptr: 0,
            Size: 0,
            Reserved: 0,
        },
        _bytes: PhantomData,
    };

    /// Bytes; `kind` says whether they are of the event or name it (`EVENT_DATA_DESCRIPTOR_TYPE_…`).
    pub(super) fn of(bytes: &'a [u8], kind: u32) -> Self {
        // INVARIANT: a slice is initialised, and borrowed for `'a`.
        Self::at(bytes.as_ptr(), bytes.len(), kind)
    }

    fn value<T: Plain>(value: &'a T) -> Self {
        // INVARIANT: plain values have no padding, and it is borrowed for `'a`.
        Self::at(core::ptr::from_ref(value).cast(), size_of::<T>(), 0)
    }

    fn at(bytes: *const u8, length: usize, kind: u32) -> Self {
        Self {
            raw: EVENT_DATA_DESCRIPTOR {
                Ptr: bytes.expose_provenance() as u64,
                Size: u32::try_from(length).unwrap_or(u32::MAX),
                // What older headers call reserved has the type in its lowest byte.
                Reserved: kind,
            },
            _bytes: PhantomData,
        }
    }

    pub(super) const fn length(&self) -> u32 {
        self.raw.Size
    }
}

/// Types without padding.
trait Plain {}

/// The pieces of one event in the making: room for those that its fields need.
pub struct Pieces<'r, 'a> {
    room: &'r mut [Piece<'a>],
    used: usize,
}

impl<'r, 'a> Pieces<'r, 'a> {
    pub(super) const fn new(room: &'r mut [Piece<'a>]) -> Self {
        Self { room, used: 0 }
    }

    pub(super) fn push(&mut self, piece: Piece<'a>) {
        if let Some(place) = self.room.get_mut(self.used) {
            *place = piece;
            self.used = self.used.saturating_add(1);
        }
    }

    pub(super) fn filled(&mut self) -> &mut [Piece<'a>] {
        self.room.get_mut(..self.used).unwrap_or_default()
    }
}

impl fmt::Debug for Pieces<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces")
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

/// Pieces that the longest kind of field needs.
pub(super) const PIECES_PER_FIELD: usize = 2;

/// A kind of field. The integers are kinds themselves.
pub trait Kind: sealed::Sealed {
    /// What the driver gives.
    type Value<'v>: Copy;
    /// How the bytes are laid out (`TlgIn_t`).
    const IN_TYPE: u8;
    /// How they are shown (`TlgOut_t`).
    const OUT_TYPE: u8 = 0;

    /// Adds the bytes of a value.
    #[doc(hidden)]
    fn describe<'v>(value: &'v Self::Value<'v>, pieces: &mut Pieces<'_, 'v>);
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! numbers {
    ($($kind:ident: $value:ty = $in_type:literal, $out_type:literal;)*) => {
        $(
            impl sealed::Sealed for $kind {}
            impl Kind for $kind {
                type Value<'v> = $value;
                const IN_TYPE: u8 = $in_type;
                const OUT_TYPE: u8 = $out_type;

                fn describe<'v>(value: &'v $value, pieces: &mut Pieces<'_, 'v>) {
                    pieces.push(Piece::value(value));
                }
            }
        )*
    };
}

macro_rules! plain {
    ($($value:ty),*) => { $(impl Plain for $value {})* };
}

plain!(i8, u8, i16, u16, i32, u32, i64, u64);

numbers! {
    i8: i8 = 3, 0;
    u8: u8 = 4, 0;
    i16: i16 = 5, 0;
    u16: u16 = 6, 0;
    i32: i32 = 7, 0;
    u32: u32 = 8, 0;
    i64: i64 = 9, 0;
    u64: u64 = 10, 0;
    Hex32: u32 = 20, 0;
}

/// A 32-bit number that is shown in hexadecimal.
#[derive(Debug)]
pub enum Hex32 {}

/// A status, shown by its name.
#[derive(Debug)]
pub enum NtStatus {}

impl sealed::Sealed for NtStatus {}
impl Kind for NtStatus {
    type Value<'v> = Status;
    const IN_TYPE: u8 = 7;
    const OUT_TYPE: u8 = 14;

    fn describe<'v>(value: &'v Status, pieces: &mut Pieces<'_, 'v>) {
        pieces.push(Piece::value(value.as_raw()));
    }
}

/// A truth value, of 32 bits in the event.
#[derive(Debug)]
pub enum Bool {}

impl sealed::Sealed for Bool {}
impl Kind for Bool {
    type Value<'v> = bool;
    const IN_TYPE: u8 = 13;

    fn describe<'v>(value: &'v bool, pieces: &mut Pieces<'_, 'v>) {
        const WORDS: &[u32; 2] = &[0, 1];
        let [no, yes] = WORDS;
        pieces.push(Piece::value(if *value { yes } else { no }));
    }
}

/// ASCII text of up to [`LONGEST`](Self::LONGEST) characters: what is longer is cut there, and ends in `...`.
#[derive(Debug)]
pub enum Ascii {}

impl Ascii {
    /// The most characters that an event has of a text.
    pub const LONGEST: usize = 256;
}

impl sealed::Sealed for Ascii {}
impl Kind for Ascii {
    type Value<'v> = &'v [u8];
    const IN_TYPE: u8 = 2;

    fn describe<'v>(value: &'v &'v [u8], pieces: &mut Pieces<'_, 'v>) {
        // A zero would end the text for who reads it, and shift what follows.
        let text = value.split(|&byte| byte == 0).next().unwrap_or_default();
        let (text, end): (_, &[u8]) = match text.get(..Self::LONGEST) {
            Some(cut) if text.len() > Self::LONGEST => (cut, b"...\0"),
            Some(_) | None => (text, b"\0"),
        };
        pieces.push(Piece::of(text, 0));
        pieces.push(Piece::of(end, 0));
    }
}

/// Text that is made when the driver is compiled.
#[derive(Debug)]
pub enum Utf16 {}

impl sealed::Sealed for Utf16 {}
impl Kind for Utf16 {
    type Value<'v> = Text;
    const IN_TYPE: u8 = 1;

    fn describe<'v>(value: &'v Text, pieces: &mut Pieces<'_, 'v>) {
        let units = value.units();
        // INVARIANT: a slice is initialised, and lives as long as the driver.
        pieces.push(Piece::at(units.as_ptr().cast(), size_of_val(units), 0));
    }
}

/// A MAC address: six bytes.
#[derive(Debug)]
pub enum Mac {}

impl sealed::Sealed for Mac {}
impl Kind for Mac {
    type Value<'v> = [u8; 6];
    const IN_TYPE: u8 = 14;

    fn describe<'v>(value: &'v [u8; 6], pieces: &mut Pieces<'_, 'v>) {
        pieces.push(Piece::of(&[6, 0], 0));
        pieces.push(Piece::of(value, 0));
    }
}

/// Bytes.
#[derive(Debug)]
pub enum Binary {}

/// Bytes of an event: up to 65,535, and what is longer is cut there. An event of more than 64 KiB is refused as a whole.
#[derive(Clone, Copy)]
pub struct Bytes<'v> {
    length: [u8; 2],
    bytes: &'v [u8],
}

impl<'v> Bytes<'v> {
    /// These bytes.
    #[must_use]
    pub fn new(bytes: &'v [u8]) -> Self {
        let bytes = bytes.get(..usize::from(u16::MAX)).unwrap_or(bytes);
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        Self {
            length: length.to_le_bytes(),
            bytes,
        }
    }
}

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bytes")
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl sealed::Sealed for Binary {}
impl Kind for Binary {
    type Value<'v> = Bytes<'v>;
    const IN_TYPE: u8 = 14;

    fn describe<'v>(value: &'v Bytes<'v>, pieces: &mut Pieces<'_, 'v>) {
        pieces.push(Piece::of(&value.length, 0));
        pieces.push(Piece::of(value.bytes, 0));
    }
}

/// An end of a connection, as a `SOCKADDR_IN` or `SOCKADDR_IN6`: tools show address and port.
#[derive(Clone, Copy, Debug)]
pub struct SocketAddress {
    /// The length first, as binary fields have it.
    bytes: [u8; 30],
    length: usize,
}

impl SocketAddress {
    /// `AF_INET`.
    const IPV4: u8 = 2;
    /// `AF_INET6`.
    const IPV6: u8 = 23;

    /// An address and a port; 0 where there is none.
    #[must_use]
    pub const fn new(address: IpAddr, port: u16) -> Self {
        let [high, low] = port.to_be_bytes();
        let mut bytes = [0; 30];
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                if let Some(head) = bytes.first_chunk_mut() {
                    *head = [16, 0, Self::IPV4, 0, high, low, a, b, c, d];
                }
                Self { bytes, length: 18 }
            }
            IpAddr::V6(address) => {
                if let Some(head) = bytes.first_chunk_mut() {
                    *head = [28, 0, Self::IPV6, 0, high, low, 0, 0, 0, 0];
                }
                if let Some((_, behind)) = bytes.split_first_chunk_mut::<10>()
                    && let Some(place) = behind.first_chunk_mut()
                {
                    *place = address.octets();
                }
                Self { bytes, length: 30 }
            }
        }
    }
}

impl sealed::Sealed for SocketAddress {}
impl Kind for SocketAddress {
    type Value<'v> = Self;
    const IN_TYPE: u8 = 14;
    const OUT_TYPE: u8 = 10;

    fn describe<'v>(value: &'v Self, pieces: &mut Pieces<'_, 'v>) {
        pieces.push(Piece::of(
            value.bytes.get(..value.length).unwrap_or_default(),
            0,
        ));
    }
}
