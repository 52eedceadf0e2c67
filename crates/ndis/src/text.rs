//! UTF-16 text that is made when the driver is compiled.
//!
//! # Example
//!
//! ```no_run
//! use ndis::text;
//! use ndis::text::Text;
//!
//! const KEYWORD: Text = text!("EveryMs");
//! ```

use wdk_sys::UNICODE_STRING;

/// Zero-terminated UTF-16 that lives as long as the driver; made by [`text!`](crate::text!).
///
/// # Invariants
///
/// The last unit is zero, and there are at most `u16::MAX / 2` units.
#[derive(Clone, Copy)]
pub struct Text(&'static [u16]);

impl Text {
    /// Wraps units that [`encode`] made.
    #[doc(hidden)]
    #[must_use]
    pub const fn new<const N: usize>(units: &'static [u16; N]) -> Self {
        const {
            assert!(
                N > 0 && N <= 0x7FFF,
                "text is too long for a UNICODE_STRING"
            );
        }
        let text: &'static [u16] = units;
        if let Some(&last) = text.last() {
            assert!(last == 0, "text is not terminated");
        }
        // INVARIANT: checked above, when the driver is compiled.
        Self(text)
    }

    /// The units, the last of which is zero.
    pub(crate) const fn units(self) -> &'static [u16] {
        self.0
    }

    /// The text as C sees it. NDIS takes some names as pointers to what it does not change.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the invariant bounds the length"
    )]
    pub(crate) const fn as_unicode_string(self) -> UNICODE_STRING {
        let bytes = (self.0.len() as u16).saturating_mul(2);
        UNICODE_STRING {
            Length: bytes.saturating_sub(2),
            MaximumLength: bytes,
            Buffer: self.0.as_ptr().cast_mut(),
        }
    }
}

/// Encodes ASCII as UTF-16 with a zero behind it, for [`text!`](crate::text!).
#[doc(hidden)]
#[must_use]
#[expect(
    clippy::indexing_slicing,
    reason = "runs when the driver is compiled, where a panic is a compile error"
)]
pub const fn encode<const N: usize>(text: &str) -> [u16; N] {
    let bytes = text.as_bytes();
    assert!(N == bytes.len().wrapping_add(1), "wrong length");
    let mut units = [0; N];
    let mut index = 0;
    while index < bytes.len() {
        assert!(bytes[index].is_ascii(), "text must be ASCII");
        units[index] = bytes[index] as u16;
        index = index.wrapping_add(1);
    }
    units
}

/// Makes a [`Text`](crate::text::Text) of an ASCII string constant.
///
/// ```no_run
/// const KEYWORD: ndis::text::Text = ndis::text!("SnapLen");
/// ```
#[macro_export]
macro_rules! text {
    ($text:expr) => {
        const {
            const TEXT: &str = $text;
            static UNITS: [u16; TEXT.len() + 1] = $crate::text::encode(TEXT);
            $crate::text::Text::new(&UNITS)
        }
    };
}
