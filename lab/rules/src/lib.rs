//! What Windows forbids: the event types, and monitors over them.
//!
//! The kernel of the lab writes one [`Event`] per import call, callback and change of state. A
//! [`Monitor`] is a pure function of that stream: it observes and never acts, so every rule has
//! table tests that need no driver.
//!
//! Key types: [`Event`] and [`Kind`], [`Rule`], [`Monitor`] and [`Finding`], [`Monitors`] (all of
//! them), [`Violation`] (a finding as it is reported).
//!
//! To add a rule: a constant in the file of its family (`family/`), an entry in that monitor's list,
//! the test in `observe`, and rows in the family's table tests, one that fires and one that does not.
//! What the monitor must know and the events do not say goes into `event/` first.
#![forbid(unsafe_code)]

mod bug_check;
mod catalogue;
mod consequence;
pub mod event;
mod family;
mod monitor;
mod passage;
mod rule;
#[cfg(test)]
mod table;
mod violation;

pub use bug_check::BugCheck;
pub use catalogue::catalogue;
pub use event::{Event, Kind};
pub use family::passage::Demands;
pub use monitor::{Finding, Monitor, Monitors, Origin, SwitchError};
pub use passage::{Disorder, Passage, PassageCount};
pub use rule::{Rule, Severity, Strength};
pub use violation::{ObjectHistory, ObjectStep, StackFrame, Violation};
