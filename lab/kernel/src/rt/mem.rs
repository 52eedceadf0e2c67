//! Access to memory that the driver can see.
//!
//! [`read`], [`write`] and their kin touch memory *as the driver may*: what is freed, guarded or
//! read-only answers with [`BadAddress`], never with a crash. [`poke`] writes as the kernel does,
//! through the second mapping of what the driver sees as read-only.

/// An address that could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {} {address:#x}", if *.write { "write" } else { "read" })]
pub(crate) struct BadAddress {
    /// First byte that failed.
    pub(crate) address: u64,
    /// Whether it was to be written.
    pub(crate) write: bool,
}

/// An integer as it lies in memory: little endian, at any alignment.
pub(crate) trait Scalar: Copy {
    /// Its bytes as an array.
    type Bytes: AsMut<[u8]> + AsRef<[u8]> + Default;
    /// From the bytes in memory.
    fn from_bytes(bytes: Self::Bytes) -> Self;
    /// To the bytes in memory.
    fn into_bytes(self) -> Self::Bytes;
}

macro_rules! scalar {
    ($($t:ty),*) => {$(
        impl Scalar for $t {
            type Bytes = [u8; size_of::<$t>()];
            fn from_bytes(bytes: Self::Bytes) -> Self {
                Self::from_le_bytes(bytes)
            }
            fn into_bytes(self) -> Self::Bytes {
                self.to_le_bytes()
            }
        }
    )*};
}
scalar!(u8, u16, u32, u64, i8, i16, i32, i64);

/// A member of a C structure: its type and offset, without the structure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<T> {
    offset: u64,
    kind: core::marker::PhantomData<T>,
}

impl<T: Scalar> Field<T> {
    /// The member at `offset` bytes.
    pub(crate) const fn at(offset: u64) -> Self {
        Self {
            offset,
            kind: core::marker::PhantomData,
        }
    }

    /// Offset within the structure, in bytes.
    pub(crate) const fn offset(self) -> u64 {
        self.offset
    }

    /// Address of this member in the structure at `base`.
    pub(crate) const fn of(self, base: u64) -> u64 {
        base.wrapping_add(self.offset)
    }

    /// Reads the member of the structure at `base`.
    ///
    /// # Errors
    /// As [`read`].
    pub(crate) fn read(self, base: u64) -> Result<T, BadAddress> {
        read(self.of(base))
    }

    /// Writes the member of the structure at `base`.
    ///
    /// # Errors
    /// As [`write`].
    pub(crate) fn write(self, base: u64, value: T) -> Result<(), BadAddress> {
        write(self.of(base), value)
    }
}

/// Reads one integer.
///
/// # Errors
/// When a byte of it is not readable for the driver.
pub(crate) fn read<T: Scalar>(address: u64) -> Result<T, BadAddress> {
    let mut bytes = T::Bytes::default();
    read_into(address, bytes.as_mut())?;
    Ok(T::from_bytes(bytes))
}

/// Writes one integer.
///
/// # Errors
/// When a byte of it is not writable for the driver.
pub(crate) fn write<T: Scalar>(address: u64, value: T) -> Result<(), BadAddress> {
    write_bytes(address, value.into_bytes().as_ref())
}

/// Reads `length` bytes. The bytes that could be read before a failure are lost.
///
/// # Errors
/// When one is not readable for the driver.
pub(crate) fn read_bytes(address: u64, length: usize) -> Result<Vec<u8>, BadAddress> {
    let mut bytes = vec![0; length];
    read_into(address, &mut bytes)?;
    Ok(bytes)
}

/// Fills `target` from memory.
///
/// # Errors
/// When a byte is not readable for the driver.
pub(crate) fn read_into(address: u64, target: &mut [u8]) -> Result<(), BadAddress> {
    let _ = (address, target);
    unreachable!("next commit")
}

/// Writes bytes.
///
/// # Errors
/// When one is not writable for the driver; those before it have been written.
pub(crate) fn write_bytes(address: u64, bytes: &[u8]) -> Result<(), BadAddress> {
    let _ = (address, bytes);
    unreachable!("next commit")
}

/// Sets `length` bytes to `byte`.
///
/// # Errors
/// When one is not writable for the driver; those before it have been written.
pub(crate) fn fill(address: u64, length: usize, byte: u8) -> Result<(), BadAddress> {
    let _ = (address, length, byte);
    unreachable!("next commit")
}

/// Copies `length` bytes between two places of driver memory, which may overlap.
///
/// # Errors
/// When a byte is not readable or not writable for the driver.
pub(crate) fn copy(target: u64, source: u64, length: usize) -> Result<(), BadAddress> {
    let _ = (target, source, length);
    unreachable!("next commit")
}

/// Writes as the kernel does: also to what the driver may only read.
///
/// # Errors
/// When the address is not memory at all.
pub(crate) fn poke(address: u64, bytes: &[u8]) -> Result<(), BadAddress> {
    let _ = (address, bytes);
    unreachable!("next commit")
}
