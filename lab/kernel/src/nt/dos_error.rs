//! `RtlNtStatusToDosError`: what a status is to a program of user mode.

use super::imports;
use crate::rt::Call;

imports! {
    "ntoskrnl.exe":
    RtlNtStatusToDosError => convert,
    RtlNtStatusToDosErrorNoTeb => convert,
}

/// `ERROR_MR_MID_NOT_FOUND`: there is no such error.
const UNKNOWN: u32 = 317;
/// What holds an error of user mode as it is: the severity, and `FACILITY_NTWIN32`.
const NT_WIN32: u32 = 0xC007_0000;
const UPPER: u32 = 0xFFFF_0000;

/// Statuses that a driver can meet, sorted, and their errors.
const ERRORS: &[(u32, u32)] = &[
    (0x0000_0000, 0),
    (0x0000_0103, 997),
    (0x8000_0002, 998),
    (0x8000_0005, 234),
    (0x8000_0006, 18),
    (0x8000_001A, 259),
    (0xC000_0001, 31),
    (0xC000_0002, 1),
    (0xC000_0003, 87),
    (0xC000_0004, 24),
    (0xC000_0005, 998),
    (0xC000_0006, 999),
    (0xC000_0008, 6),
    (0xC000_000B, 87),
    (0xC000_000D, 87),
    (0xC000_000E, 2),
    (0xC000_000F, 2),
    (0xC000_0010, 1),
    (0xC000_0011, 38),
    (0xC000_0013, 1112),
    (0xC000_0016, 234),
    (0xC000_0017, 8),
    (0xC000_0018, 487),
    (0xC000_001E, 5),
    (0xC000_0022, 5),
    (0xC000_0023, 122),
    (0xC000_0024, 6),
    (0xC000_0033, 123),
    (0xC000_0034, 2),
    (0xC000_0035, 183),
    (0xC000_0039, 161),
    (0xC000_003A, 3),
    (0xC000_003B, 161),
    (0xC000_0043, 32),
    (0xC000_0044, 1816),
    (0xC000_0046, 288),
    (0xC000_004B, 5),
    (0xC000_0054, 33),
    (0xC000_0055, 33),
    (0xC000_0056, 5),
    (0xC000_0058, 1305),
    (0xC000_0059, 1306),
    (0xC000_005A, 1307),
    (0xC000_005B, 1308),
    (0xC000_005E, 1311),
    (0xC000_005F, 1312),
    (0xC000_0060, 1313),
    (0xC000_0061, 1314),
    (0xC000_0077, 1336),
    (0xC000_0078, 1337),
    (0xC000_0079, 1338),
    (0xC000_007A, 127),
    (0xC000_007B, 193),
    (0xC000_007C, 1008),
    (0xC000_007E, 158),
    (0xC000_007F, 112),
    (0xC000_0095, 534),
    (0xC000_0099, 1344),
    (0xC000_009A, 1450),
    (0xC000_00A2, 19),
    (0xC000_00A3, 21),
    (0xC000_00AE, 231),
    (0xC000_00B0, 233),
    (0xC000_00B5, 121),
    (0xC000_00BA, 5),
    (0xC000_00BB, 50),
    (0xC000_00C0, 55),
    (0xC000_00E5, 1359),
    (0xC000_00E7, 1361),
    (0xC000_00EF, 87),
    (0xC000_00F0, 87),
    (0xC000_00F1, 87),
    (0xC000_00F2, 87),
    (0xC000_00F3, 87),
    (0xC000_00F4, 87),
    (0xC000_0100, 203),
    (0xC000_0101, 145),
    (0xC000_0103, 267),
    (0xC000_0106, 206),
    (0xC000_010A, 5),
    (0xC000_0120, 995),
    (0xC000_0121, 5),
    (0xC000_0123, 5),
    (0xC000_0128, 6),
    (0xC000_0135, 126),
    (0xC000_0139, 127),
    (0xC000_013B, 64),
    (0xC000_0184, 22),
    (0xC000_0185, 1117),
    (0xC000_0194, 1131),
    (0xC000_0205, 1130),
    (0xC000_0206, 1784),
    (0xC000_0207, 1214),
    (0xC000_0225, 1168),
    (0xC000_022D, 1237),
    (0xC000_0236, 1225),
    (0xC000_0237, 1226),
    (0xC000_0238, 1227),
    (0xC000_0239, 1228),
    (0xC000_023A, 1229),
    (0xC000_023B, 1230),
    (0xC000_023C, 1231),
    (0xC000_023D, 1232),
    (0xC000_023E, 1233),
    (0xC000_023F, 1234),
    (0xC000_0240, 1235),
    (0xC000_0241, 1236),
    (0xC000_02B6, 1617),
];

/// The error of a status.
fn error(status: u32) -> u32 {
    if status & UPPER == NT_WIN32 {
        return status & !UPPER;
    }
    let found = ERRORS.binary_search_by_key(&status, |(known, _)| *known);
    found.map_or(UNKNOWN, |index| ERRORS[index].1)
}

fn convert(call: &Call<'_>) -> u64 {
    error(call.arg_u32(0)).into()
}

#[cfg(test)]
mod tests {
    use super::{ERRORS, UNKNOWN, error};

    #[test]
    fn statuses_have_errors() {
        assert!(ERRORS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(error(0), 0);
        assert_eq!(error(0xC000_0022), 5);
        assert_eq!(error(0xC000_009A), 1450);
        assert_eq!(error(0xC007_0057), 87);
        assert_eq!(error(0xC0DE_0001), UNKNOWN);
    }
}
