//! What the lab warns of in our drivers, and why that stays.

/// Warnings that may come, with the reason.
const LISTED: [(&str, &str); 1] = [(
    "config-when",
    "deferlwf reads its parameters again when an administrator asks for it: the page names where configuration is \
     read, and does not forbid other places at PASSIVE_LEVEL",
)];

/// Whether a warning of this rule is one that may come.
pub fn is_listed_warning(rule: &str) -> bool {
    LISTED.iter().any(|(listed, _)| *listed == rule)
}
