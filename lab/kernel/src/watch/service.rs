//! What system services are given that user mode has: they take every address for the system's.

use crate::rt::{Call, user};

/// The system services that take addresses, with the places of those among their arguments.
const SERVICES: &[(&str, &[usize])] = &[
    ("ZwClearEvent", &[]),
    ("ZwClose", &[]),
    ("ZwCreateDirectoryObject", &[0, 2]),
    ("ZwCreateEvent", &[0, 2]),
    ("ZwCreateFile", &[0, 2, 3, 4, 9]),
    ("ZwCreateKey", &[0, 2, 4, 6]),
    ("ZwCreateSymbolicLinkObject", &[0, 2, 3]),
    ("ZwDeleteFile", &[0]),
    ("ZwDeleteKey", &[]),
    ("ZwDeleteValueKey", &[1]),
    ("ZwDeviceIoControlFile", &[2, 4, 6, 8]),
    ("ZwDuplicateObject", &[3]),
    ("ZwEnumerateKey", &[3, 5]),
    ("ZwEnumerateValueKey", &[3, 5]),
    ("ZwFlushBuffersFile", &[1]),
    ("ZwFlushKey", &[]),
    ("ZwMakeTemporaryObject", &[]),
    ("ZwOpenDirectoryObject", &[0, 2]),
    ("ZwOpenEvent", &[0, 2]),
    ("ZwOpenFile", &[0, 2, 3]),
    ("ZwOpenKey", &[0, 2]),
    ("ZwOpenKeyEx", &[0, 2]),
    ("ZwOpenSymbolicLinkObject", &[0, 2]),
    ("ZwQueryDirectoryFile", &[2, 4, 5, 9]),
    ("ZwQueryFullAttributesFile", &[0, 1]),
    ("ZwQueryInformationFile", &[1, 2]),
    ("ZwQueryKey", &[2, 4]),
    ("ZwQuerySecurityObject", &[2, 4]),
    ("ZwQuerySymbolicLinkObject", &[1, 2]),
    ("ZwQueryValueKey", &[1, 3, 5]),
    ("ZwQueryVolumeInformationFile", &[1, 2]),
    ("ZwReadFile", &[2, 4, 5, 7, 8]),
    ("ZwResetEvent", &[1]),
    ("ZwSetEvent", &[1]),
    ("ZwSetInformationFile", &[1, 2]),
    ("ZwSetSecurityObject", &[2]),
    ("ZwSetValueKey", &[1, 4]),
    ("ZwWaitForMultipleObjects", &[1, 4]),
    ("ZwWaitForSingleObject", &[2]),
    ("ZwWriteFile", &[2, 4, 5, 7, 8]),
    ("ZwYieldExecution", &[]),
];

/// Which arguments of a function are addresses that must be the system's.
pub(super) fn addresses(name: &str) -> &'static [usize] {
    let known = SERVICES.binary_search_by_key(&name, |(name, _)| name);
    known.map_or(&[], |index| SERVICES[index].1)
}

/// The first address of user mode that a call gives a system service which takes these arguments for addresses. What else is where an argument could be, in
/// registers or in the caller's frame, is nobody's business.
pub(super) fn user_address(call: &Call<'_>, addresses: &[usize]) -> Option<u64> {
    let mut given = addresses.iter().map(|place| call.arg(*place));
    given.find(|address| user::holds(*address))
}

#[cfg(test)]
mod tests {
    use super::{SERVICES, addresses};
    use crate::nt;

    #[test]
    fn the_addresses_of_every_service_are_known() {
        assert!(SERVICES.is_sorted_by(|(one, _), (next, _)| one < next));
        let offered = nt::IMPORTS.iter().flat_map(|imports| imports.iter());
        let mut services: Vec<_> = offered
            .map(|import| import.name)
            .filter(|name| name.starts_with("Zw"))
            .collect();
        services.sort_unstable();
        assert!(SERVICES.iter().map(|(name, _)| name).eq(&services));
    }

    #[test]
    fn a_handle_a_length_and_what_is_no_argument_are_no_addresses() {
        assert!(addresses("ZwClose").is_empty());
        assert_eq!(addresses("ZwQueryValueKey"), [1, 3, 5]);
        assert!(addresses("memcpy").is_empty());
    }
}
