//! Memory from Linux at fixed addresses.

use std::{
    cell::RefCell,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    ptr, slice,
};

/// Runs of pages that one call can advise: `IOV_MAX`.
const ADVISED_MOST: usize = 1024;
/// This process where a descriptor of one is asked for (Linux 6.15).
const PIDFD_SELF_THREAD_GROUP: libc::c_int = -10001;

/// What a page allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    None,
    Read,
    ReadWrite,
    ReadExecute,
    /// A section that is writable and executable. Windows maps it, with HVCI it does not.
    All,
}

impl Access {
    fn flags(self) -> libc::c_int {
        match self {
            Self::None => libc::PROT_NONE,
            Self::Read => libc::PROT_READ,
            Self::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
            Self::ReadExecute => libc::PROT_READ | libc::PROT_EXEC,
            Self::All => libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
        }
    }
}

/// A range of address space that is ours until it is dropped.
///
/// # Invariants
/// `[address, address + bytes)` was mapped by this value and nothing else unmaps it. Whole pages.
#[derive(Debug)]
pub(super) struct Mapping {
    address: u64,
    bytes: usize,
}

impl Mapping {
    /// Zeroed private memory at `address`, which must be free.
    pub(super) fn private(address: u64, bytes: usize, access: Access) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        Self::new(
            address,
            bytes,
            access,
            flags | libc::MAP_FIXED_NOREPLACE,
            -1,
        )
    }

    fn new(
        address: u64,
        bytes: usize,
        access: Access,
        flags: libc::c_int,
        fd: libc::c_int,
    ) -> io::Result<Self> {
        let wish = ptr::without_provenance_mut(address as usize);
        // SAFETY: a fixed address is only taken if it is free (NOREPLACE), so no memory of anyone
        // else changes.
        let got = unsafe { libc::mmap(wish, bytes, access.flags(), flags, fd, 0) };
        if got == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // INVARIANT: it was mapped just now.
        let mapping = Self {
            address: got.expose_provenance() as u64,
            bytes,
        };
        // Kernels before 4.17 take the address as a hint.
        if address != 0 && mapping.address != address {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        Ok(mapping)
    }

    /// Its first byte.
    pub(super) fn address(&self) -> u64 {
        self.address
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reads bytes, which must be readable.
    pub(super) fn read(&self, offset: u64, target: &mut [u8]) {
        self.check(offset, target.len());
        let source = ptr::with_exposed_provenance::<u8>((self.address + offset) as usize);
        // SAFETY: the bytes lie in this mapping (checked), which is no memory of Rust's, and are readable.
        unsafe { ptr::copy_nonoverlapping(source, target.as_mut_ptr(), target.len()) };
    }

    /// The word at `address`, if it lies in this mapping, which must be readable.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.address)?;
        let end = offset.checked_add(8)?;
        if end > self.bytes as u64 {
            return None;
        }
        let source = ptr::with_exposed_provenance::<u64>(address as usize);
        // SAFETY: as in `read`.
        Some(unsafe { source.read_unaligned() })
    }

    /// Whether these bytes lie there, which must be readable.
    pub(super) fn holds(&self, offset: u64, bytes: &[u8]) -> bool {
        self.check(offset, bytes.len());
        let there = ptr::with_exposed_provenance::<u8>((self.address + offset) as usize);
        // SAFETY: as in `read`; what could write there, the image, does not run while this compares.
        let there = unsafe { slice::from_raw_parts(there, bytes.len()) };
        there == bytes
    }

    /// Writes bytes, which must be writable.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) {
        self.check(offset, bytes.len());
        let target = ptr::with_exposed_provenance_mut::<u8>((self.address + offset) as usize);
        // SAFETY: as in `read`, and writable.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }

    /// Sets bytes, which must be writable.
    pub(super) fn fill(&self, offset: u64, bytes: usize, byte: u8) {
        self.check(offset, bytes);
        let target = ptr::with_exposed_provenance_mut::<u8>((self.address + offset) as usize);
        // SAFETY: as in `write`.
        unsafe { ptr::write_bytes(target, byte, bytes) };
    }

    /// Changes what all of its pages allow.
    pub(super) fn protect_all(&self, access: Access) -> io::Result<()> {
        self.protect(0, self.bytes, access)
    }

    /// Changes what the pages at `offset` allow.
    pub(super) fn protect(&self, offset: u64, bytes: usize, access: Access) -> io::Result<()> {
        self.check(offset, bytes);
        let start = ptr::with_exposed_provenance_mut((self.address + offset) as usize);
        // SAFETY: the range is inside the mapping (checked), which is ours; what points into it is
        // driver memory, and that is only touched by fault-safe copies and by the image.
        match unsafe { libc::mprotect(start, bytes, access.flags()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Gives advice about the pages at `offset`.
    pub(super) fn advise(&self, offset: u64, bytes: usize, advice: libc::c_int) -> io::Result<()> {
        self.check(offset, bytes);
        let start = ptr::with_exposed_provenance_mut((self.address + offset) as usize);
        // SAFETY: as in `protect`.
        match unsafe { libc::madvise(start, bytes, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Gives the same advice about several runs of pages, by their offsets and lengths; one call to Linux for many.
    ///
    /// # Errors
    /// The first run that could not be advised.
    pub(super) fn advise_each(&self, runs: &[(u64, usize)], advice: libc::c_int) -> io::Result<()> {
        for runs in runs.chunks(ADVISED_MOST) {
            if runs.len() == 1 || !self.advise_at_once(runs, advice) {
                for (offset, bytes) in runs {
                    self.advise(*offset, *bytes, advice)?;
                }
            }
        }
        Ok(())
    }

    /// Whether one call to Linux, which may not know how, has advised all of these runs.
    fn advise_at_once(&self, runs: &[(u64, usize)], advice: libc::c_int) -> bool {
        let mut wanted = 0;
        let vectors: Vec<libc::iovec> = runs
            .iter()
            .map(|(offset, bytes)| {
                self.check(*offset, *bytes);
                wanted += bytes;
                libc::iovec {
                    iov_base: ptr::with_exposed_provenance_mut((self.address + offset) as usize),
                    iov_len: *bytes,
                }
            })
            .collect();
        // SAFETY: as in `protect`, for each of the vectors, which the call only reads.
        let done = unsafe {
            libc::syscall(
                libc::SYS_process_madvise,
                PIDFD_SELF_THREAD_GROUP,
                vectors.as_ptr(),
                vectors.len(),
                advice,
                0,
            )
        };
        usize::try_from(done) == Ok(wanted)
    }

    fn check(&self, offset: u64, bytes: usize) {
        let end = offset.checked_add(bytes as u64);
        assert!(
            end.is_some_and(|end| end <= self.bytes as u64),
            "outside the mapping"
        );
    }
}

/// Zeroed memory that can be mapped several times.
#[derive(Debug)]
pub(super) struct MemoryFile(File);

impl MemoryFile {
    /// So many bytes of it.
    pub(super) fn new(bytes: u64) -> io::Result<Self> {
        // SAFETY: the name is a C string, and a new descriptor is the only effect.
        let fd = unsafe { libc::memfd_create(c"lwf-lab".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        let file = Self(unsafe { OwnedFd::from_raw_fd(fd) }.into());
        file.resize(bytes)?;
        Ok(file)
    }

    /// Changes its length. What lies behind a shorter one is lost.
    pub(super) fn resize(&self, bytes: u64) -> io::Result<()> {
        // SAFETY: the call only changes the length of our own file.
        match unsafe { libc::ftruncate(self.0.as_raw_fd(), bytes as i64) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Gives a part of its memory back; it reads as zero from now on.
    pub(super) fn punch(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: the call only changes what our own file holds.
        match unsafe { libc::fallocate(self.0.as_raw_fd(), mode, offset as i64, bytes as i64) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Writes bytes, whatever mappings allow.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    /// Reads bytes, whatever mappings allow.
    pub(super) fn read(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(target, offset)
    }

    /// Maps its first bytes at `address`, which must be free, or anywhere if that is 0.
    pub(super) fn map(&self, address: u64, bytes: usize, access: Access) -> io::Result<Mapping> {
        let fixed = match address {
            0 => 0,
            _ => libc::MAP_FIXED_NOREPLACE,
        };
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE | fixed;
        Mapping::new(address, bytes, access, flags, self.0.as_raw_fd())
    }
}

/// Zeroed memory that is mapped twice: where the image sees it, with what the image may do, and
/// somewhere else, where the lab writes what the image may not.
#[derive(Debug)]
pub(super) struct Twice {
    seen: Mapping,
    _alias: Mapping,
}

thread_local! {
    /// The second mappings that exist: address as seen, bytes, address of the alias.
    static ALIASES: RefCell<Vec<(u64, u64, u64)>> = const { RefCell::new(Vec::new()) };
}

impl Twice {
    /// Memory at `address`, which must be free.
    pub(super) fn new(address: u64, bytes: usize, access: Access) -> io::Result<Self> {
        let file = MemoryFile::new(bytes as u64)?;
        let seen = file.map(address, bytes, access)?;
        let alias = file.map(0, bytes, Access::ReadWrite)?;
        let entry = (seen.address, bytes as u64, alias.address);
        ALIASES.with_borrow_mut(|aliases| aliases.push(entry));
        Ok(Self {
            seen,
            _alias: alias,
        })
    }

    /// The mapping that the image sees.
    pub(super) fn seen(&self) -> &Mapping {
        &self.seen
    }
}

impl Drop for Twice {
    fn drop(&mut self) {
        ALIASES.with_borrow_mut(|aliases| aliases.retain(|entry| entry.0 != self.seen.address));
    }
}

/// Where the lab can write `bytes` bytes at `address`, if they are mapped twice.
pub(super) fn alias_of(address: u64, bytes: usize) -> Option<u64> {
    ALIASES.with_borrow(|aliases| {
        aliases.iter().find_map(|(seen, mapped, alias)| {
            let offset = address.checked_sub(*seen)?;
            let end = offset.checked_add(bytes as u64)?;
            (end <= *mapped).then_some(alias + offset)
        })
    })
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let start = ptr::with_exposed_provenance_mut(self.address as usize);
        // SAFETY: the range is ours by the type's invariant. Nothing refers to driver memory by
        // reference, and the machine drops its mappings when no coroutine can run any more.
        unsafe { libc::munmap(start, self.bytes) };
    }
}
