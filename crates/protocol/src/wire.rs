//! The encoding: what is the same for every record.

/// What a buffer was too short for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortBuffer {
    /// Bytes that the record takes.
    pub needed: usize,
    /// Bytes that were there.
    pub had: usize,
}

impl core::fmt::Display for ShortBuffer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes needed, {} there", self.needed, self.had)
    }
}

impl core::error::Error for ShortBuffer {}

/// Why bytes are not the record that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The record does not fit in the bytes.
    Short(ShortBuffer),
    /// The other side speaks another version.
    Version {
        /// The version that the bytes carry.
        found: u16,
    },
    /// A field holds a value that has no meaning.
    Value {
        /// Type of the field.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Short(short) => write!(f, "record is cut short: {short}"),
            Self::Version { found } => {
                write!(
                    f,
                    "records of version {found}, this program knows version {}",
                    crate::VERSION
                )
            }
            Self::Value { field, value } => write!(f, "{value:#x} is no {field}"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// A value with one fixed-size little-endian form.
///
/// Implemented for the integers, byte arrays, and every record of this crate.
pub trait Wire: Sized {
    /// Bytes of the encoded form.
    const SIZE: usize;

    /// Takes the value off the front of `from`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`] when `from` ends before the value does, [`DecodeError::Value`] when it means nothing.
    fn take(from: &mut &[u8]) -> Result<Self, DecodeError>;

    /// Puts the value at the front of `to`, and leaves in `to` what follows it.
    ///
    /// # Errors
    ///
    /// [`ShortBuffer`] when `to` ends before the value does; what was written of it then is unspecified.
    fn put(&self, to: &mut &mut [u8]) -> Result<(), ShortBuffer>;
}

/// A record that can stand alone in a buffer: all of [`Wire`], with the whole length checked first.
pub trait Record: Wire {
    /// Reads the record at the start of `bytes`; what follows it is ignored.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are too few, of another version, or hold a value without meaning.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() < Self::SIZE {
            return Err(DecodeError::Short(ShortBuffer {
                needed: Self::SIZE,
                had: bytes.len(),
            }));
        }
        Self::take(&mut &*bytes)
    }

    /// Writes the record at the start of `bytes`; what follows it is left alone.
    ///
    /// # Errors
    ///
    /// [`ShortBuffer`] when the record does not fit; nothing is written then.
    fn encode(&self, bytes: &mut [u8]) -> Result<(), ShortBuffer> {
        if bytes.len() < Self::SIZE {
            return Err(ShortBuffer {
                needed: Self::SIZE,
                had: bytes.len(),
            });
        }
        self.put(&mut &mut *bytes)
    }
}

/// Takes `N` bytes off the front.
fn take_array<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let Some((array, rest)) = from.split_first_chunk::<N>() else {
        return Err(DecodeError::Short(ShortBuffer {
            needed: N,
            had: from.len(),
        }));
    };
    *from = rest;
    Ok(*array)
}

/// Puts `N` bytes at the front.
fn put_array<const N: usize>(array: [u8; N], to: &mut &mut [u8]) -> Result<(), ShortBuffer> {
    let had = to.len();
    let Some((place, rest)) = core::mem::take(to).split_first_chunk_mut::<N>() else {
        return Err(ShortBuffer { needed: N, had });
    };
    *place = array;
    *to = rest;
    Ok(())
}

impl<const N: usize> Wire for [u8; N] {
    const SIZE: usize = N;

    fn take(from: &mut &[u8]) -> Result<Self, DecodeError> {
        take_array(from)
    }

    fn put(&self, to: &mut &mut [u8]) -> Result<(), ShortBuffer> {
        put_array(*self, to)
    }
}

macro_rules! integer {
    ($($integer:ty),*) => { $(
        impl Wire for $integer {
            const SIZE: usize = size_of::<Self>();

            fn take(from: &mut &[u8]) -> Result<Self, DecodeError> {
                take_array(from).map(Self::from_le_bytes)
            }

            fn put(&self, to: &mut &mut [u8]) -> Result<(), ShortBuffer> {
                put_array(self.to_le_bytes(), to)
            }
        }
    )* };
}

integer!(u8, u16, u32, u64);

/// The version field of a header: [`VERSION`](crate::VERSION) when written, and nothing else when read.
///
/// It is a type of its own so that no header can be read without the check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VersionField;

impl Wire for VersionField {
    const SIZE: usize = u16::SIZE;

    fn take(from: &mut &[u8]) -> Result<Self, DecodeError> {
        match u16::take(from)? {
            crate::VERSION => Ok(Self),
            found => Err(DecodeError::Version { found }),
        }
    }

    fn put(&self, to: &mut &mut [u8]) -> Result<(), ShortBuffer> {
        crate::VERSION.put(to)
    }
}

/// Declares a record: the struct, and its [`Wire`] form, which is its fields in the order in which they stand.
/// With `versioned` in front, the version comes before the first field.
macro_rules! record {
    (
        $(#[$attribute:meta])*
        versioned pub struct $name:ident { $($(#[$field_attribute:meta])* pub $field:ident: $type:ty,)* }
    ) => {
        $crate::wire::record!(@declare $(#[$attribute])* $name { $($(#[$field_attribute])* $field: $type,)* });
        $crate::wire::record!(@wire $name { $crate::wire::VersionField } { $($field: $type,)* });
    };
    (
        $(#[$attribute:meta])*
        pub struct $name:ident { $($(#[$field_attribute:meta])* pub $field:ident: $type:ty,)* }
    ) => {
        $crate::wire::record!(@declare $(#[$attribute])* $name { $($(#[$field_attribute])* $field: $type,)* });
        $crate::wire::record!(@wire $name {} { $($field: $type,)* });
    };
    (@declare $(#[$attribute:meta])* $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_attribute])* pub $field: $type,)* }

        impl $crate::wire::Record for $name {}
    };
    (@wire $name:ident { $($version:ty)? } { $($field:ident: $type:ty,)* }) => {
        impl $crate::wire::Wire for $name {
            const SIZE: usize = 0
                $(+ <$version as $crate::wire::Wire>::SIZE)?
                $(+ <$type as $crate::wire::Wire>::SIZE)*;

            fn take(from: &mut &[u8]) -> Result<Self, $crate::wire::DecodeError> {
                $(<$version as $crate::wire::Wire>::take(from)?;)?
                Ok(Self { $($field: $crate::wire::Wire::take(from)?,)* })
            }

            fn put(&self, to: &mut &mut [u8]) -> Result<(), $crate::wire::ShortBuffer> {
                $(<$version as $crate::wire::Wire>::put(&Default::default(), to)?;)?
                $($crate::wire::Wire::put(&self.$field, to)?;)*
                Ok(())
            }
        }
    };
}

/// Declares an enumeration of one byte, with its [`Wire`] form and the list of its values.
macro_rules! enumeration {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident { $($(#[$variant_attribute:meta])* $variant:ident = $value:literal,)* }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_attribute])* $variant = $value,)* }

        impl $name {
            /// Every value, in the order of the numbers that stand for them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }

        impl $crate::wire::Wire for $name {
            const SIZE: usize = <u8 as $crate::wire::Wire>::SIZE;

            fn take(from: &mut &[u8]) -> Result<Self, $crate::wire::DecodeError> {
                match <u8 as $crate::wire::Wire>::take(from)? {
                    $($value => Ok(Self::$variant),)*
                    value => Err($crate::wire::DecodeError::Value {
                        field: stringify!($name),
                        value: u64::from(value),
                    }),
                }
            }

            fn put(&self, to: &mut &mut [u8]) -> Result<(), $crate::wire::ShortBuffer> {
                $crate::wire::Wire::put(&(*self as u8), to)
            }
        }
    };
}

pub(crate) use enumeration;
pub(crate) use record;
