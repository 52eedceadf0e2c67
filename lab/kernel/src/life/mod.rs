//! A driver's life, from load to unload.

use crate::{Failure, Progress, Report, RunConfig};

/// See [`crate::run`].
pub(crate) fn run(
    config: RunConfig,
    _progress: &mut dyn FnMut(&Progress),
) -> Result<Report, Failure> {
    validate(&config)?;
    Err(Failure::Lab("the machine is not connected yet".into()))
}

/// Refuses what no machine can be built from.
fn validate(config: &RunConfig) -> Result<(), Failure> {
    let bad = |line: String| Err(Failure::BadInput(line));
    if !(84..=89).contains(&config.ndis_minor) {
        return bad(format!(
            "NDIS 6.{} is outside 6.84 to 6.89",
            config.ndis_minor
        ));
    }
    if !(1..=64).contains(&config.processors) {
        return bad(format!("{} processors: outside 1 to 64", config.processors));
    }
    if !(2..=16).contains(&config.workers) {
        return bad(format!(
            "{} worker threads: outside 2 to 16",
            config.workers
        ));
    }
    if config.adapters.is_empty() {
        return bad("no adapter".into());
    }
    Ok(())
}
