//! Atomic values: those of the language, or in models those of loom.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic;
#[cfg(loom)]
pub(crate) use loom::sync::atomic;

/// What is right; in models, what is wrong instead when the mutant of this name is tried, which shows that its model finds
/// the mistake (`cargo xtask models --mutants`).
#[cfg(not(all(test, loom)))]
macro_rules! or_mutant {
    ($right:expr, $name:literal, $wrong:expr) => {
        $right
    };
}
/// As above, where there are mutants.
#[cfg(all(test, loom))]
macro_rules! or_mutant {
    ($right:expr, $name:literal, $wrong:expr) => {
        if $crate::model::is_mutant($name) {
            $wrong
        } else {
            $right
        }
    };
}
pub(crate) use or_mutant;
