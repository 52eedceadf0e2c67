//! Lives, and what they met.

use lab_cli::summary::{DeviceRequest, Request, Summary};
use tests::{Lab, driver};

/// Hard lives of each image.
const SEEDS: u64 = 16;

/// `IRP_MJ_DEVICE_CONTROL`.
const DEVICE_CONTROL: u32 = 14;

/// Lives that were clean.
pub(crate) struct Lives(pub(crate) Vec<Summary>);

impl Lives {
    pub(crate) fn hard(name: &str, settings: &[(&str, u32)]) -> Self {
        let lab = settings.iter().fold(
            Lab::run(&driver(name)).with(["--hard"]),
            |lab, (name, value)| lab.set(name, value),
        );
        Self::of(&lab)
    }

    pub(crate) fn of(lab: &Lab) -> Self {
        Self(
            (1..=SEEDS)
                .map(|seed| lab.clone().seed(seed).clean())
                .collect(),
        )
    }

    /// How often something was met, over all lives.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let count = |life: &Summary| {
            *life
                .situations
                .get(name)
                .unwrap_or_else(|| panic!("no count has the name {name}"))
        };
        self.0.iter().map(count).sum()
    }

    /// The same, of what has to have been met.
    pub(crate) fn some(&self, name: &str) -> u64 {
        let count = self.count(name);
        assert!(count > 0, "the seeds have no {name}");
        count
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = &Request> {
        self.0.iter().flat_map(|life| &life.requests)
    }

    pub(crate) fn controls(&self) -> Vec<&DeviceRequest> {
        let all = self.0.iter().flat_map(|life| &life.device_requests);
        all.filter(|request| request.major == DEVICE_CONTROL)
            .collect()
    }
}
