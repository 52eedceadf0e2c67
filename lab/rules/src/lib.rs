//! What Windows forbids: the event types, and monitors over them.
//!
//! The kernel of the lab writes one [`Event`] per import call, callback and change of state. A
//! [`Monitor`] is a pure function of that stream: it observes and never acts, so every rule has
//! table tests that need no driver.
#![forbid(unsafe_code)]

mod rule;
mod violation;

pub use rule::{Rule, Severity, Strength};
pub use violation::{BugCheck, StackFrame, Violation};
