//! Access to memory that the driver can see.
//!
//! [`read`], [`write`] and their kin touch memory *as the driver may*: what is freed, guarded or
//! read-only answers with [`BadAddress`], never with a crash. [`poke`] writes as the kernel does,
//! through the second mapping of what the driver sees as read-only. An address that the lab never
//! gave out is bad, even where something of the lab's own happens to lie.

use super::{
    exception,
    fault::UserMisuse,
    layout, mapping, paged, pool, thunk, trap,
    user::{self, Touch},
};

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
    /// A driver's wild length must fail at its first bad page, not by exhausting the lab.
    const STEP: usize = 1 << 20;
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let done = bytes.len();
        bytes.resize(length.min(done + STEP), 0);
        read_into(address.wrapping_add(done as u64), &mut bytes[done..])?;
    }
    Ok(bytes)
}

/// Fills `target` from memory.
///
/// # Errors
/// When a byte is not readable for the driver.
pub(crate) fn read_into(address: u64, target: &mut [u8]) -> Result<(), BadAddress> {
    if !layout::contains(address, target.len()) {
        return Err(BadAddress {
            address,
            write: false,
        });
    }
    if let Some(done) = pool::read(address, target) {
        return done.map_err(|address| BadAddress {
            address,
            write: false,
        });
    }
    settle(address);
    let bytes = target.len();
    let mut copy = || {
        // SAFETY: 1. the source is driver memory, which is touched within a run only, while the handler
        // is installed, or which is mapped readable; 2. what is written is `target`.
        let left = unsafe { thunk::copy(target.as_mut_ptr() as u64, address, bytes) };
        end_of_copy(address, bytes, left, false)
    };
    copy().or_else(|bad| retry(bad, &mut copy))
}

/// Paged pool is touched where the driver sees it, because it may be closed as a whole.
fn settle(address: u64) {
    if pool::is_paged(address) {
        pool::settle();
    }
}

/// Does a copy again that has failed because its memory was paged out.
fn retry(
    bad: BadAddress,
    copy: &mut dyn FnMut() -> Result<(), BadAddress>,
) -> Result<(), BadAddress> {
    if paged::open_for(bad.address) || open_user(bad) {
        copy()
    } else {
        Err(bad)
    }
}

/// Opens memory of user mode for an import of the driver's, which has to be as careful with it as driver code.
fn open_user(bad: BadAddress) -> bool {
    match user::touch(bad.address, bad.write) {
        Touch::Unknown | Touch::Refused => false,
        Touch::Misused(misuse) => trap::refuse_import(misuse, bad),
        Touch::Opened => {
            if !exception::is_caller_guarded() {
                trap::refuse_import(UserMisuse::Unguarded, bad);
            }
            true
        }
    }
}

/// Writes bytes.
///
/// # Errors
/// When one is not writable for the driver; those before it have been written.
pub(crate) fn write_bytes(address: u64, bytes: &[u8]) -> Result<(), BadAddress> {
    // Nothing can be written anywhere.
    if bytes.is_empty() {
        return Ok(());
    }
    if !layout::contains(address, bytes.len()) {
        return Err(BadAddress {
            address,
            write: true,
        });
    }
    if let Some(done) = pool::write(address, bytes) {
        return done.map_err(|address| BadAddress {
            address,
            write: true,
        });
    }
    settle(address);
    let mut copy = || {
        // SAFETY: 1. as in `read_into`; 2. driver memory is never Rust's.
        let left = unsafe { thunk::copy(address, bytes.as_ptr() as u64, bytes.len()) };
        end_of_copy(address, bytes.len(), left, true)
    };
    copy().or_else(|bad| retry(bad, &mut copy))
}

fn end_of_copy(address: u64, bytes: usize, left: usize, write: bool) -> Result<(), BadAddress> {
    match left {
        0 => Ok(()),
        left => Err(BadAddress {
            address: address + (bytes - left) as u64,
            write,
        }),
    }
}

/// Sets `length` bytes to `byte`.
///
/// # Errors
/// When one is not writable for the driver; those before it have been written.
pub(crate) fn fill(address: u64, length: usize, byte: u8) -> Result<(), BadAddress> {
    let chunk = [byte; 512];
    let mut done = 0;
    while done < length {
        let bytes = (length - done).min(chunk.len());
        write_bytes(address.wrapping_add(done as u64), &chunk[..bytes])?;
        done += bytes;
    }
    Ok(())
}

/// Copies `length` bytes between two places of driver memory, which may overlap.
///
/// # Errors
/// When a byte is not readable or not writable for the driver.
pub(crate) fn copy(target: u64, source: u64, length: usize) -> Result<(), BadAddress> {
    if !layout::contains(source, length) {
        return Err(BadAddress {
            address: source,
            write: false,
        });
    }
    write_bytes(target, &read_bytes(source, length)?)
}

/// Writes as the kernel does: also to what the driver may only read.
///
/// # Errors
/// When the address is not memory at all.
pub(crate) fn poke(address: u64, bytes: &[u8]) -> Result<(), BadAddress> {
    match mapping::alias_of(address, bytes.len()) {
        // SAFETY: 1. the second mapping is always writable; 2. it is driver memory.
        Some(alias) => match unsafe { thunk::copy(alias, bytes.as_ptr() as u64, bytes.len()) } {
            0 => Ok(()),
            _ => Err(BadAddress {
                address,
                write: true,
            }),
        },
        None => write_bytes(address, bytes),
    }
}
