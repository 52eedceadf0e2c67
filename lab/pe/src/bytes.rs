//! Bounded little-endian reading.

/// Bytes that are only read inside their bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn len(self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        self.0.iter().copied()
    }

    /// `length` bytes at `offset`, if all of them are there.
    pub(crate) fn slice(self, offset: u32, length: u32) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        self.0
            .get(start..start.checked_add(usize::try_from(length).ok()?)?)
    }

    /// The part at `offset`, `length` bytes long.
    pub(crate) fn part(self, offset: u32, length: u32) -> Option<Self> {
        self.slice(offset, length).map(Self)
    }

    fn array<const N: usize>(self, offset: u32) -> Option<[u8; N]> {
        self.slice(offset, N as u32)?.try_into().ok()
    }

    pub(crate) fn u8(self, offset: u32) -> Option<u8> {
        self.array::<1>(offset).map(|[byte]| byte)
    }

    pub(crate) fn u16(self, offset: u32) -> Option<u16> {
        self.array(offset).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(self, offset: u32) -> Option<u32> {
        self.array(offset).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(self, offset: u32) -> Option<u64> {
        self.array(offset).map(u64::from_le_bytes)
    }

    /// The text at `offset` up to its NUL, at most `limit` bytes; bytes that are not UTF-8 are
    /// replaced.
    pub(crate) fn text(self, offset: u32, limit: usize) -> Option<String> {
        let tail = self.0.get(usize::try_from(offset).ok()?..)?;
        let length = tail.iter().take(limit).position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(tail.get(..length)?).into_owned())
    }
}
