//! The contract of a monitor, and the set of all of them.

use std::collections::BTreeSet;

use crate::{BugCheck, Demands, Event, Kind, Rule, catalogue, family};

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
    /// Rules that are switched off.
    off: BTreeSet<&'static str>,
}

impl Default for Monitors {
    fn default() -> Self {
        Self::all(Demands::default())
    }
}

impl Monitors {
    /// All monitors, and those of what is demanded.
    fn all(demands: Demands) -> Self {
        Self {
            monitors: family::monitors(demands),
            off: BTreeSet::new(),
        }
    }

    /// All monitors, with these rules switched off.
    ///
    /// # Errors
    ///
    /// The first identifier that cannot be switched off, and why.
    pub fn without(rules: &[String]) -> Result<Self, (String, SwitchError)> {
        Self::demanding(Demands::default(), rules)
    }

    /// All monitors and what is demanded beyond pages, with these rules switched off.
    ///
    /// # Errors
    ///
    /// The first identifier that cannot be switched off, and why.
    pub fn demanding(demands: Demands, rules: &[String]) -> Result<Self, (String, SwitchError)> {
        let mut monitors = Self::all(demands);
        for id in rules {
            let rule = Self::switchable(id).map_err(|error| (id.clone(), error))?;
            monitors.off.insert(rule.id);
        }
        Ok(monitors)
    }

    /// The watched rule with this identifier, if a run can do without it.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn switchable(id: &str) -> Result<&'static Rule, SwitchError> {
        let watched = Self::all(Demands {
            ordered: true,
            hold_limit: Some(0),
        });
        let watched = watched.rules();
        match watched.into_iter().find(|rule| rule.id == id) {
            None => Err(SwitchError::Unknown),
            Some(rule) if [&catalogue::LAB_FAULT, &catalogue::LAB_NO_HANG].contains(&rule) => {
                Err(SwitchError::EndsTheRun)
            }
            Some(rule) => Ok(rule),
        }
    }

    /// Takes one event; tells every breach that it completes: the fatal ones first, and among them
    /// what a page states before what follows from it.
    pub fn observe(&mut self, event: &Event) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .monitors
            .iter_mut()
            .filter_map(|monitor| monitor.observe(event))
            .collect();
        if !self.off.is_empty() {
            self.switch_off(&mut findings, &event.kind);
        }
        for finding in &mut findings {
            let published = || finding.rule.published_stop();
            finding.bug_check = finding.bug_check.or_else(published);
        }
        findings.sort_by_key(|finding| (!finding.is_fatal(), finding.rule.strength));
        findings
    }

    /// Takes away what is about rules that are switched off. A fault or a hang ends a run in any case: what only they
    /// would tell of one is told without their name.
    fn switch_off(&self, findings: &mut Vec<Finding>, kind: &Kind) {
        let is_off = |finding: &Finding| self.off.contains(finding.rule.id);
        let ended_by = match kind {
            Kind::Fault(_) => Some(&catalogue::LAB_FAULT),
            Kind::Overdue(_) => Some(&catalogue::LAB_NO_HANG),
            _ => None,
        };
        let goes_on = |finding: &Finding| !finding.is_fatal() || is_off(finding);
        let last = findings.iter().find(|one| one.is_fatal()).cloned();
        if let Some((rule, last)) = ended_by.zip(last)
            && findings.iter().all(goes_on)
        {
            findings.push(Finding { rule, ..last });
        }
        findings.retain(|finding| !is_off(finding));
    }

    /// Every rule that is watched and not switched off, by identifier.
    #[must_use]
    pub fn rules(&self) -> Vec<&'static Rule> {
        let mut rules: Vec<_> = self
            .monitors
            .iter()
            .flat_map(|monitor| monitor.rules())
            .copied()
            .filter(|rule| !self.off.contains(rule.id))
            .collect();
        rules.sort_by_key(|rule| rule.id);
        rules.dedup_by_key(|rule| rule.id);
        rules
    }
}

/// Why a rule cannot be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchError {
    /// No monitor watches such a rule.
    Unknown,
    /// The run is over when it is broken.
    EndsTheRun,
}

impl std::fmt::Display for SwitchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "no monitor watches a rule of this name",
            Self::EndsTheRun => "a run cannot go on when this is broken",
        })
    }
}

impl std::error::Error for SwitchError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Overdue;
    use crate::table::at;

    fn off(id: &str) -> Monitors {
        Monitors::without(&[id.to_owned()]).expect("a rule that is watched")
    }

    #[test]
    fn a_rule_that_is_off_is_not_watched() {
        let all = Monitors::default().rules();
        let left = off("pause-within-10s").rules();
        assert_eq!(all.len(), left.len() + 1);
        assert!(left.iter().all(|rule| rule.id != "pause-within-10s"));
    }

    #[test]
    fn what_cannot_be_switched_off_is_refused() {
        for (id, expected) in [
            ("no-such-rule", SwitchError::Unknown),
            ("", SwitchError::Unknown),
            ("lab-fault", SwitchError::EndsTheRun),
            ("lab-no-hang", SwitchError::EndsTheRun),
        ] {
            assert_eq!(Monitors::switchable(id).err(), Some(expected), "{id}");
            let refused = Monitors::without(&[id.to_owned()]).err();
            assert_eq!(refused, Some((id.to_owned(), expected)));
        }
    }

    /// With its rule off, a hang is still one.
    #[test]
    fn a_hang_ends_the_run_without_its_rule() {
        let hangs = at(Kind::Overdue(Overdue::Pause {
            adapter: 0,
            waited_ns: 10_000_000_000,
        }));
        let ids = |mut monitors: Monitors| -> Vec<&str> {
            let findings = monitors.observe(&hangs).into_iter();
            findings.map(|finding| finding.rule.id).collect()
        };
        let first = ids(Monitors::default());
        let [rule] = first[..] else {
            panic!("{first:?}")
        };
        assert_eq!(ids(off(rule)), ["lab-no-hang"]);
    }
}
