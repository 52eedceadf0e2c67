//! Bug checks as Windows would raise them: codes, names and parameters.

/// A bug check: code and parameters as Windows would show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BugCheck {
    /// The code: `0x7C`.
    pub code: u32,
    /// Its name: `BUGCODE_NDIS_DRIVER`.
    pub name: &'static str,
    /// The four parameters; what the documentation leaves open is 0.
    pub parameters: [u64; 4],
}

/// Codes that are raised here, with their names.
const NAMES: [(u32, &str); 29] = [
    (0x0A, "IRQL_NOT_LESS_OR_EQUAL"),
    (0x1E, "KMODE_EXCEPTION_NOT_HANDLED"),
    (0x3B, "SYSTEM_SERVICE_EXCEPTION"),
    (0x44, "MULTIPLE_IRP_COMPLETE_REQUESTS"),
    (0x50, "PAGE_FAULT_IN_NONPAGED_AREA"),
    (0x7C, "BUGCODE_NDIS_DRIVER"),
    (0x7E, "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED"),
    (0x7F, "UNEXPECTED_KERNEL_MODE_TRAP"),
    (0x93, "INVALID_KERNEL_HANDLE"),
    (0xB8, "ATTEMPTED_SWITCH_FROM_DPC"),
    (0xBE, "ATTEMPTED_WRITE_TO_READONLY_MEMORY"),
    (0xC1, "SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION"),
    (0xC2, "BAD_POOL_CALLER"),
    (0xC4, "DRIVER_VERIFIER_DETECTED_VIOLATION"),
    (0xC7, "TIMER_OR_DPC_INVALID"),
    (0xC8, "IRQL_UNEXPECTED_VALUE"),
    (0xC9, "DRIVER_VERIFIER_IOMANAGER_VIOLATION"),
    (0xCC, "PAGE_FAULT_IN_FREED_SPECIAL_POOL"),
    (0xCD, "PAGE_FAULT_BEYOND_END_OF_ALLOCATION"),
    (
        0xCE,
        "DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS",
    ),
    (0xD1, "DRIVER_IRQL_NOT_LESS_OR_EQUAL"),
    (0xD5, "DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL"),
    (0xD6, "DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION"),
    (0xE1, "WORKER_THREAD_RETURNED_AT_BAD_IRQL"),
    (0xE4, "WORKER_INVALID"),
    (0xF7, "DRIVER_OVERRAN_STACK_BUFFER"),
    (0xFC, "ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY"),
    (0x133, "DPC_WATCHDOG_VIOLATION"),
    (0x139, "KERNEL_SECURITY_CHECK_FAILURE"),
];

impl BugCheck {
    /// The bug check `code` with its parameters; missing ones are 0.
    #[must_use]
    pub fn new(code: u32, parameters: &[u64]) -> Self {
        let name = NAMES
            .iter()
            .find(|(known, _)| *known == code)
            .map_or("", |(_, name)| name);
        let mut four = [0; 4];
        for (slot, value) in four.iter_mut().zip(parameters) {
            *slot = *value;
        }
        Self {
            code,
            name,
            parameters: four,
        }
    }
}

impl std::fmt::Display for BugCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d] = self.parameters;
        write!(
            f,
            "{:#X} {} ({a:#x}, {b:#x}, {c:#x}, {d:#x})",
            self.code, self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{BugCheck, NAMES};

    #[test]
    fn every_code_has_one_name() {
        let mut codes: Vec<u32> = NAMES.iter().map(|(code, _)| *code).collect();
        codes.dedup();
        assert_eq!(codes.len(), NAMES.len());
        assert_eq!(
            BugCheck::new(0xE4, &[1]).to_string(),
            "0xE4 WORKER_INVALID (0x1, 0x0, 0x0, 0x0)"
        );
    }
}
