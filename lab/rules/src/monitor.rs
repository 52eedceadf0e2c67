//! The contract of a monitor, and the set of all of them.

use crate::{BugCheck, Event, Rule, family};

/// A breach that a monitor found in one event.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The broken rule.
    pub rule: &'static Rule,
    /// What the driver did, in one sentence.
    pub happened: String,
    /// How Windows would stop, where it defines that.
    pub bug_check: Option<BugCheck>,
    /// Whether the pages contradict each other about it, so that it only warns.
    pub contradicted: bool,
    /// Where the fault began, when that is not where it was found.
    pub origin: Option<Origin>,
}

/// What happened earlier to an object that a breach is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The object at this address was allocated.
    Allocated(u64),
    /// The work item or DPC was queued.
    Queued(u64),
    /// The timer was set.
    Set(u64),
    /// The thread was started.
    Started(u64),
    /// The NBL or OID request was given to a handler of the filter.
    Given(u64),
    /// The OID request was sent by the filter.
    Sent(u64),
    /// An NBL of the filter's own was sent or indicated.
    Handed(u64),
}

impl Origin {
    /// The object's address.
    #[must_use]
    pub fn address(self) -> u64 {
        match self {
            Self::Allocated(address)
            | Self::Queued(address)
            | Self::Set(address)
            | Self::Started(address)
            | Self::Given(address)
            | Self::Sent(address)
            | Self::Handed(address) => address,
        }
    }

    /// The end of a sentence about the stack that is shown.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Allocated(_) => "the stack is where it was allocated",
            Self::Queued(_) => "the stack is where it was queued",
            Self::Set(_) => "the stack is where it was set",
            Self::Started(_) => "the stack is where it was started",
            Self::Given(_) => "the handler that took it is shown",
            Self::Sent(_) => "the stack is where it was sent",
            Self::Handed(_) => "the stack is where it was sent or indicated",
        }
    }
}

impl Finding {
    /// A breach for which Windows defines no bug check.
    #[must_use]
    pub fn new(rule: &'static Rule, happened: impl Into<String>) -> Self {
        Self {
            rule,
            happened: happened.into(),
            bug_check: None,
            contradicted: false,
            origin: None,
        }
    }

    /// The same where pages contradict each other: it only warns.
    #[must_use]
    pub fn contradicted(mut self) -> Self {
        self.contradicted = true;
        self
    }

    /// The same, with the place where the fault began.
    #[must_use]
    pub fn since(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Whether it fails a run.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.rule.is_fatal() && !self.contradicted
    }

    /// The same with the bug check that Windows would raise.
    #[must_use]
    pub fn with(mut self, bug_check: BugCheck) -> Self {
        self.bug_check = Some(bug_check);
        self
    }
}

/// Watches some rules: a pure function of the events so far.
pub trait Monitor {
    /// The rules that it watches.
    fn rules(&self) -> &'static [&'static Rule];

    /// Takes one event; tells the breach that it completes, if any.
    fn observe(&mut self, event: &Event) -> Option<Finding>;
}

/// All monitors together.
pub struct Monitors {
    monitors: Vec<Box<dyn Monitor>>,
}

impl Default for Monitors {
    fn default() -> Self {
        Self {
            monitors: family::monitors(),
        }
    }
}

impl Monitors {
    /// Takes one event; tells every breach that it completes: the fatal ones first, and among them
    /// what a page states before what follows from it.
    pub fn observe(&mut self, event: &Event) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .monitors
            .iter_mut()
            .filter_map(|monitor| monitor.observe(event))
            .collect();
        findings.sort_by_key(|finding| (!finding.is_fatal(), finding.rule.strength));
        findings
    }

    /// Every rule that is watched, by identifier.
    #[must_use]
    pub fn rules(&self) -> Vec<&'static Rule> {
        let mut rules: Vec<_> = self
            .monitors
            .iter()
            .flat_map(|monitor| monitor.rules())
            .copied()
            .collect();
        rules.sort_by_key(|rule| rule.id);
        rules.dedup_by_key(|rule| rule.id);
        rules
    }
}
