//! `cargo xtask bindings`: Rust declarations from the facts table in `abi/`.
//!
//! Writes `crates/ndis-sys`, the lab's offsets and the raw declarations of `tests/drivers`. With
//! `--check` nothing is written: the command fails if a file would change.

mod assertion;
mod c_header;
mod declare;
mod fact;
mod generated;
mod irql;
mod lab;
mod ndis_sys;
mod raw;
mod record;
mod spelling;
#[cfg(test)]
mod test;

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::failure::Failed;
use crate::repository::{Repository, write_if_changed};
use fact::Facts;
use generated::Output;

/// Generate the declarations in crates/ndis-sys, lab/kernel and tests/drivers from abi/.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail if a file is not what would be generated.
    #[arg(long)]
    check: bool,
}

/// Generates the bindings, or compares them.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let root = repository.root();
    let facts = Facts::read(root)?;
    let mut stale = Vec::new();
    for output in outputs(&facts) {
        let path = root.join(output.path);
        let text = output.formatted(root)?;
        if !arguments.check {
            write_if_changed(&path, text)?;
        } else if fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
            stale.push(output.path);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(Failed(format!(
        "not what `cargo xtask bindings` generates: {}",
        stale.join(", ")
    ))
    .into())
}

/// The text of a C header with everything in `abi/`, of the repository at `root`.
pub(crate) fn c_header(root: &Path) -> Result<String> {
    Ok(c_header::text(&Facts::read(root)?))
}

/// The functions that `abi/` knows: those of the kernel, and those of NDIS.
pub(crate) fn functions(root: &Path) -> Result<[Vec<String>; 2]> {
    let facts = Facts::read(root)?;
    Ok([facts.nt, facts.ndis].map(|family| family.functions.into_keys().collect()))
}

fn outputs(facts: &Facts) -> Vec<Output> {
    let rooms = [
        ndis_sys::outputs,
        assertion::outputs,
        lab::outputs,
        raw::outputs,
    ];
    rooms
        .into_iter()
        .flat_map(|outputs| outputs(facts))
        .collect()
}
