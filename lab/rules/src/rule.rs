//! What a rule is: metadata that reports print and that decides what a breach means.

use crate::BugCheck;

/// One documented obligation of a driver.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Its stable identifier: `wi-queue-while-queued`.
    pub id: &'static str,
    /// Microsoft's name for it, where one exists: `Irql_Filter_Driver_Function`.
    pub official_name: Option<&'static str>,
    /// What the driver must do, in one sentence.
    pub statement: &'static str,
    /// The documentation page it rests on, as a path of its repository.
    pub page: &'static str,
    /// What a breach leads to.
    pub severity: Severity,
    /// How firmly the page says it.
    pub strength: Strength,
    /// The stop codes that are published for it, with their distinguishing parameter.
    pub stop: Option<&'static str>,
}

impl Rule {
    /// Where the page can be read; of a sample, its place in Microsoft's repository.
    #[must_use]
    pub fn url(&self) -> String {
        const SITE: &str = "https://learn.microsoft.com";
        const SAMPLES: &str = "https://github.com/microsoft/Windows-driver-samples";
        let page = self.page.trim_end_matches(".md");
        let drivers = |page: &str| format!("{SITE}/windows-hardware/drivers/{page}");
        match page.split_once(' ') {
            Some(("ddi", page)) => drivers(&format!("ddi/{page}")),
            _ if page.starts_with("samples") => format!("{SAMPLES} ({page})"),
            // Not a path, but the names of a page.
            Some(_) => format!("{SITE} ({page})"),
            None => drivers(page),
        }
    }

    /// The stop code that is published for it, if that is exactly one.
    #[must_use]
    pub fn published_stop(&self) -> Option<BugCheck> {
        let (code, parameter) = self.stop?.split_once('/')?;
        let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let code = u32::try_from(number(code)?).ok()?;
        Some(BugCheck::new(code, &[number(parameter)?]))
    }

    /// Whether a breach fails a run, or only warns unless the caller is strict.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.severity != Severity::Style && self.strength != Strength::Sample
    }
}

/// What a breach leads to on a real system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Memory or a structure of the system is damaged.
    Corruption,
    /// The system stops.
    BugCheck,
    /// Something is never given back.
    Leak,
    /// Something never ends.
    Hang,
    /// Nothing breaks at once.
    Style,
}

/// How firmly the documentation states a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// The page states an obligation.
    Must,
    /// The page recommends.
    Should,
    /// It follows from two or more pages.
    Derived,
    /// Only the sample driver shows it.
    Sample,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Corruption => "corruption",
            Self::BugCheck => "bugcheck",
            Self::Leak => "leak",
            Self::Hang => "hang",
            Self::Style => "style",
        })
    }
}

impl std::fmt::Display for Strength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::Derived => "derived",
            Self::Sample => "sample",
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::catalogue;

    #[test]
    fn a_published_stop_is_one_code() {
        let of = |id| catalogue().find(|rule| rule.id == id)?.published_stop();
        let told = |id| of(id).map(|stop| (stop.code, stop.parameters[0]));
        assert_eq!(told("lock-dpr-release"), Some((0xC4, 0x41)));
        // Several, or none.
        assert_eq!(
            (told("lock-wdm-spinlock"), told("attach-no-send")),
            (None, None)
        );
    }

    #[test]
    fn every_page_has_an_address() {
        for rule in catalogue() {
            let url = rule.url();
            assert!(url.starts_with("https://"), "{}: {url}", rule.id);
            let address = url.split(' ').next().unwrap_or_default();
            assert!(
                !address.ends_with('/') && !address.contains(".md"),
                "{}: {url}",
                rule.id
            );
        }
    }
}
