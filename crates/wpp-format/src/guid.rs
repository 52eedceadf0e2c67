//! GUIDs.

use std::fmt;

use sha1::{Digest, Sha1};

/// A GUID, as its digits are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

impl Guid {
    /// Reads `12345678-1234-1234-1234-123456789abc`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.split('-').map(str::len).ne([8, 4, 4, 4, 12]) {
            return None;
        }
        let digits: String = text.split('-').collect();
        let mut bytes = [0; 16];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The GUID of a name in a namespace: version 5 of RFC 9562.
    #[must_use]
    pub fn of_name(namespace: &Self, name: &str) -> Self {
        let hash = Sha1::new().chain_update(namespace.0).chain_update(name);
        let mut bytes = [0; 16];
        for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
            *byte = hashed;
        }
        bytes[6] = bytes[6] & 0x0F | 0x50;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        Self(bytes)
    }

    /// As it lies in memory: the first three numbers little endian.
    #[must_use]
    pub fn in_memory(&self) -> [u8; 16] {
        let mut bytes = self.0;
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        bytes
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_read_and_written() {
        let text = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        let guid = Guid::parse(text).expect("a GUID");
        assert_eq!(guid.to_string(), text);
        assert_eq!(guid.in_memory()[..4], [0x10, 0xB8, 0xA7, 0x6B]);
        for bad in [
            "",
            "6ba7b810-9dad-11d1-80b4",
            "6ba7b810-9dad-11d1-80b4-00c04fd430cx",
        ] {
            assert_eq!(Guid::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_have_the_guid_that_others_compute() {
        // Python: uuid.uuid5(uuid.NAMESPACE_DNS, "python.org")
        let namespace = Guid::parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8").expect("a GUID");
        assert_eq!(
            Guid::of_name(&namespace, "python.org").to_string(),
            "886313e1-3b8a-5372-9b90-0c9aee199e5d"
        );
    }
}
