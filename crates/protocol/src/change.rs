//! What is asked of one adapter: [`IOCTL_DEFERLWF_SET_MODE`](crate::IOCTL_DEFERLWF_SET_MODE) and
//! [`IOCTL_DEFERLWF_REREAD_PARAMETERS`](crate::IOCTL_DEFERLWF_REREAD_PARAMETERS).

use crate::Mode;
use crate::wire::record;

record! {
    /// Asks for a mode.
    versioned pub struct ModeRequest {
        /// Must be zero.
        pub reserved: u8,
        /// The mode that is wanted.
        pub mode: Mode,
        /// Interface index of the adapter ([`AdapterStatistics::if_index`](crate::AdapterStatistics::if_index)).
        pub if_index: u32,
    }
}

record! {
    /// Names one adapter.
    versioned pub struct AdapterRequest {
        /// Must be zero.
        pub reserved: u16,
        /// Interface index of the adapter ([`AdapterStatistics::if_index`](crate::AdapterStatistics::if_index)).
        pub if_index: u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeError, Record, Wire};

    #[test]
    fn request_has_its_documented_form() {
        let request = ModeRequest {
            mode: Mode::Inline,
            if_index: 0x0102_0304,
            ..ModeRequest::default()
        };
        let mut bytes = [0; ModeRequest::SIZE];
        request.encode(&mut bytes).unwrap();
        assert_eq!(bytes, [1, 0, 0, 2, 4, 3, 2, 1]);
        assert_eq!(ModeRequest::decode(&bytes), Ok(request));
        assert_eq!(AdapterRequest::SIZE, 8);
    }

    #[test]
    fn unknown_modes_are_refused() {
        let error = ModeRequest::decode(&[1, 0, 0, 3, 0, 0, 0, 0]).unwrap_err();
        assert!(matches!(error, DecodeError::Value { value: 3, .. }));
    }
}
