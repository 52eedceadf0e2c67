//! GUIDs.

/// A GUID, as it lies in memory: of a control, of a file's messages, or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Guid {
    data1: u32,
    data2: u16,
    data3: u16,
    data4: [u8; 8],
}

impl Guid {
    /// The GUID of 16 bytes as they lie in memory.
    #[must_use]
    pub const fn from_memory(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, data4 @ ..] = bytes;
        Self {
            data1: u32::from_le_bytes([a, b, c, d]),
            data2: u16::from_le_bytes([e, f]),
            data3: u16::from_le_bytes([g, h]),
            data4,
        }
    }

    /// The GUID of `12345678-1234-1234-1234-123456789abc`.
    ///
    /// # Panics
    ///
    /// If it is written in another way: for constants, where that is a compile error.
    #[must_use]
    #[expect(
        clippy::panic,
        clippy::arithmetic_side_effects,
        reason = "runs when the driver is compiled, where a panic is a compile error"
    )]
    pub const fn parse(text: &str) -> Self {
        let mut rest = text.as_bytes();
        let mut value = 0_u128;
        let mut read: u32 = 0;
        while let [byte, behind @ ..] = rest {
            let is_dash_due = matches!(text.len() - rest.len(), 8 | 13 | 18 | 23);
            match (*byte, (*byte as char).to_digit(16)) {
                (b'-', _) if is_dash_due => {}
                (_, Some(digit)) if !is_dash_due && read < 32 => {
                    value = value << 4 | digit as u128;
                    read += 1;
                }
                _ => panic!("a GUID is written 12345678-1234-1234-1234-123456789abc"),
            }
            rest = behind;
        }
        assert!(read == 32, "a GUID has 32 digits");
        // The first three numbers are written with the highest byte first.
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = value.to_be_bytes();
        Self::from_memory([d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p])
    }

    /// Its bytes as they lie in memory.
    #[must_use]
    pub const fn to_memory(self) -> [u8; 16] {
        let [a, b, c, d] = self.data1.to_le_bytes();
        let [e, f] = self.data2.to_le_bytes();
        let [g, h] = self.data3.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = self.data4;
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_memory_agree() {
        const GUID: Guid = Guid::parse("00112233-4455-6677-8899-AabbCCddeeff");
        let bytes = [
            0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD,
            0xEE, 0xFF,
        ];
        assert_eq!(GUID.to_memory(), bytes);
        assert_eq!(Guid::from_memory(bytes), GUID);
    }
}
