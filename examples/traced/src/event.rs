//! Events of every kind of field: values at the ends of their ranges, and the longest. `tests/trace.rs` has them too.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ndis::irql::Passive;
use ndis::trace::{self, Ascii, Binary, Bool, Bytes, Hex32, Mac, NtStatus, SocketAddress, Utf16};
use ndis::{Status, text};

use crate::WPP;
use crate::value::{BYTES, TEXT};

/// What an event is about.
mod keyword {
    /// Values of every kind.
    pub(super) const VALUE: u64 = 0x1;
    /// Events that are too long.
    pub(super) const LONG: u64 = 0x2;
}

ndis::events! {
    /// The events of this driver.
    pub(crate) provider TRACED = "DeferlwfTraced", rundown: rundown;

    /// Numbers.
    event Numbers(Verbose, keyword::VALUE, Info) {
        /// Of 8 bits.
        i8_low = "I8Low": i8,
        /// Of 8 bits, without a sign.
        u8_high = "U8High": u8,
        /// Of 16 bits.
        i16_low = "I16Low": i16,
        /// Of 16 bits, without a sign.
        u16_high = "U16High": u16,
        /// Of 32 bits.
        i32_low = "I32Low": i32,
        /// Of 32 bits, without a sign.
        u32_high = "U32High": u32,
        /// Of 64 bits.
        i64_low = "I64Low": i64,
        /// Of 64 bits, without a sign.
        u64_high = "U64High": u64,
        /// In hexadecimal.
        hex = "Hex": Hex32,
        /// A truth.
        yes = "Yes": Bool,
        /// The other.
        no = "No": Bool,
        /// A status.
        status = "Status": NtStatus,
    }

    /// Texts, bytes and addresses.
    event Texts<'a>(Verbose, keyword::VALUE, Info) {
        /// None.
        empty = "Empty": Ascii,
        /// As long as it can be.
        longest = "Longest": Ascii,
        /// Longer.
        cut = "Cut": Ascii,
        /// Wide.
        wide = "Wide": Utf16,
        /// An address.
        mac = "Mac": Mac,
        /// With a port.
        v4 = "V4": SocketAddress,
        /// With a port.
        v6 = "V6": SocketAddress,
        /// None.
        nothing = "Nothing": Binary,
        /// Some.
        bytes = "Bytes": Binary,
    }

    /// It fits, and is as long as what does not fit has one half.
    event Fits<'a>(Verbose, keyword::LONG, Info) {
        /// The bytes.
        bytes = "Bytes": Binary,
    }

    /// It does not fit.
    event DoesNotFit<'a>(Verbose, keyword::LONG, Info) {
        /// One half.
        one = "One": Binary,
        /// The other.
        two = "Two": Binary,
    }

    /// What the system did not take.
    event Refused(Information, keyword::LONG, Info) {
        /// Events.
        events = "Events": u64,
        /// WPP messages.
        messages = "Messages": u64,
    }
}

/// A session asks what is there.
fn rundown(_irql: &mut Passive) {
    refused();
}

/// Writes all of it.
pub(crate) fn write() {
    trace::write(|| Numbers {
        i8_low: i8::MIN,
        u8_high: u8::MAX,
        i16_low: i16::MIN,
        u16_high: u16::MAX,
        i32_low: i32::MIN,
        u32_high: u32::MAX,
        i64_low: i64::MIN,
        u64_high: u64::MAX,
        hex: 0xFEDC_BA98,
        yes: true,
        no: false,
        status: Status::RESOURCES,
    });
    trace::write(|| Texts {
        empty: b"",
        longest: TEXT.get(..Ascii::LONGEST).unwrap_or_default(),
        cut: &TEXT,
        wide: text!("wide"),
        mac: [2, 0, 0, 0, 0, 0xFF],
        v4: SocketAddress::new(IpAddr::V4(Ipv4Addr::BROADCAST), u16::MAX),
        v6: SocketAddress::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
        nothing: Bytes::new(&[]),
        bytes: Bytes::new(&[0, 0x7F, 0xFF]),
    });
    trace::write(|| Fits {
        bytes: Bytes::new(&BYTES),
    });
    trace::write(|| DoesNotFit {
        one: Bytes::new(&BYTES),
        two: Bytes::new(&BYTES),
    });
}

/// Writes what was refused.
pub(crate) fn refused() {
    trace::write(|| Refused {
        events: TRACED.refused(),
        messages: WPP.refused(),
    });
}
