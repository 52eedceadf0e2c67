//! `RtlVerifyVersionInfo` and its kin: whether the system is what a driver wants.

use super::{SUCCESS, imports, status};
use crate::abi::constant::{STATUS_INVALID_PARAMETER, STATUS_REVISION_MISMATCH};
use crate::abi::nt::OSVERSIONINFOEXW as V;
use crate::ndis::version;
use crate::rt::Call;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    IoIsWdmVersionAvailable => has_wdm,
    RtlIsNtDdiVersionAvailable => is_available,
    RtlIsServicePackVersionInstalled => is_installed,
    RtlVerifyVersionInfo => verify,
    VerSetConditionMask => set_condition,
}

/// The newest version of WDM there is, since Windows Vista.
const WDM: (u8, u8) = (6, 0);
/// `NTDDI_WIN10`: the system's, without what comes after.
const SYSTEM: u32 = 0x0A00_0000;
/// Of such a number: the version of the system, and its service pack.
const OS: u32 = 0xFFFF_0000;
const SERVICE_PACK: u32 = 0xFF00;

// What may be compared, by its bit: its place in a mask of conditions.
const MINOR: u32 = 0;
const MAJOR: u32 = 1;
const BUILD: u32 = 2;
const PLATFORM: u32 = 3;
const PACK_MINOR: u32 = 4;
const PACK_MAJOR: u32 = 5;
const SUITE: u32 = 6;
const PRODUCT: u32 = 7;
const KINDS: u32 = 8;
/// Bits of a condition.
const CONDITION: u32 = 3;
/// Those that are compared as one, the first first.
const RELEASE: [u32; 4] = [MAJOR, MINOR, PACK_MAJOR, PACK_MINOR];

fn has_wdm(call: &Call<'_>) -> u64 {
    u64::from((call.arg_u8(0), call.arg_u8(1)) <= WDM)
}

fn is_available(call: &Call<'_>) -> u64 {
    let wanted = call.arg_u32(0);
    u64::from(wanted & !OS == 0 && wanted <= SYSTEM)
}

/// Since Windows 8 there are no service packs: of the system's own version there is the one without.
fn is_installed(call: &Call<'_>) -> u64 {
    let wanted = call.arg_u32(0);
    u64::from(wanted & OS == SYSTEM & OS && wanted & SERVICE_PACK == 0)
}

/// A mask with the conditions of some kinds put in.
fn with_condition(mask: u64, kinds: u32, condition: u64) -> u64 {
    let condition = condition & ((1 << CONDITION) - 1);
    let chosen = (0..KINDS).filter(|kind| kinds >> kind & 1 != 0);
    chosen.fold(mask, |mask, kind| mask | condition << (CONDITION * kind))
}

fn set_condition(call: &Call<'_>) -> u64 {
    with_condition(call.arg(0), call.arg_u32(1), call.arg_u8(2).into())
}

/// Whether what there is meets a condition on what is wanted; none where there is no such condition.
fn meets(condition: u64, present: u32, wanted: u32, is_mask: bool) -> Option<bool> {
    Some(match (condition, is_mask) {
        (1, false) => present == wanted,
        (2, false) => present > wanted,
        (3, false) => present >= wanted,
        (4, false) => present < wanted,
        (5, false) => present <= wanted,
        (6, true) => present & wanted == wanted,
        (7, true) => present & wanted != 0,
        _ => return None,
    })
}

/// Compares the kinds that are wanted. The release is one number of several digits: the first that differs decides.
fn compare(
    present: [u32; KINDS as usize],
    wanted: [u32; KINDS as usize],
    kinds: u32,
    mask: u64,
) -> Option<bool> {
    let is_wanted = |kind: &u32| kinds >> kind & 1 != 0;
    let condition = |kind: u32| mask >> (CONDITION * kind) & ((1 << CONDITION) - 1);
    let values = |kind: u32| (present[kind as usize], wanted[kind as usize]);
    let mut release = RELEASE.into_iter().filter(is_wanted).peekable();
    let mut is_met = true;
    while let Some(kind) = release.next() {
        let (present, wanted) = values(kind);
        let met = meets(condition(kind), present, wanted, false)?;
        // A digit that is equal leaves it to the next.
        if release.peek().is_none() || present != wanted {
            is_met = met;
            break;
        }
    }
    for kind in [BUILD, PLATFORM, SUITE, PRODUCT]
        .into_iter()
        .filter(is_wanted)
    {
        let (present, wanted) = values(kind);
        is_met &= meets(condition(kind), present, wanted, kind == SUITE)?;
    }
    Some(is_met)
}

fn verify(call: &Call<'_>) -> u64 {
    /// `VER_PLATFORM_WIN32_NT`, `VER_NT_WORKSTATION`; a workstation has the suite `VER_SUITE_SINGLEUSERTS`.
    const NT: u32 = 2;
    const WORKSTATION: u32 = 1;
    const SUITES: u32 = 0x100;
    let (info, kinds, mask) = (call.arg(0), call.arg_u32(1), call.arg(2));
    let mut wanted = [0; KINDS as usize];
    for (kind, field) in [
        (MAJOR, V::dwMajorVersion),
        (MINOR, V::dwMinorVersion),
        (BUILD, V::dwBuildNumber),
        (PLATFORM, V::dwPlatformId),
    ] {
        wanted[kind as usize] = field.read(info).or_fault();
    }
    for (kind, field) in [
        (PACK_MAJOR, V::wServicePackMajor),
        (PACK_MINOR, V::wServicePackMinor),
        (SUITE, V::wSuiteMask),
    ] {
        wanted[kind as usize] = field.read(info).or_fault().into();
    }
    wanted[PRODUCT as usize] = V::wProductType.read(info).or_fault().into();
    let mut present = [0; KINDS as usize];
    for (kind, value) in [
        (MAJOR, 10),
        (BUILD, version::build_number()),
        (PLATFORM, NT),
        (SUITE, SUITES),
        (PRODUCT, WORKSTATION),
    ] {
        present[kind as usize] = value;
    }
    let is_known = kinds != 0 && kinds >> KINDS == 0 && mask != 0;
    match compare(present, wanted, kinds, mask).filter(|_| is_known) {
        None => status(STATUS_INVALID_PARAMETER),
        Some(true) => SUCCESS,
        Some(false) => status(STATUS_REVISION_MISMATCH),
    }
}

#[cfg(test)]
mod tests {
    use super::{BUILD, KINDS, MAJOR, MINOR, PACK_MAJOR, SUITE, compare, with_condition};

    #[test]
    fn releases_are_compared_as_one() {
        let version = |major, minor, pack| {
            let mut version = [0; KINDS as usize];
            for (kind, value) in [(MAJOR, major), (MINOR, minor), (PACK_MAJOR, pack)] {
                version[kind as usize] = value;
            }
            version
        };
        let kinds = 1 << MAJOR | 1 << MINOR | 1 << PACK_MAJOR;
        let at_least = with_condition(0, kinds, 3);
        // The examples of the page.
        for (present, wanted) in [
            ([6, 0, 0], [5, 1, 1]),
            ([5, 2, 0], [5, 1, 1]),
            ([5, 1, 1], [5, 1, 1]),
        ] {
            let [present, wanted] = [present, wanted].map(|[a, b, c]| version(a, b, c));
            assert_eq!(compare(present, wanted, kinds, at_least), Some(true));
        }
        let below = compare(version(5, 1, 0), version(5, 1, 1), kinds, at_least);
        assert_eq!(below, Some(false));
        // Without a condition there is nothing to compare by, and a mask is no number.
        assert_eq!(
            compare(version(5, 1, 0), version(5, 1, 0), 1 << BUILD, at_least),
            None
        );
        let wrong = with_condition(0, 1 << SUITE, 3);
        assert_eq!(compare([0; 8], [0; 8], 1 << SUITE, wrong), None);
    }
}
