//! `cargo xtask models`: the loom models of `ndis`.
//!
//! They are built with `--cfg loom` for everything, so they have a target folder of their own.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;

use crate::{failure::Failed, output::say, program, repository::Repository};

/// Mistakes that a model has to find: the name that `or_mutant!` has in the sources, and the model.
const MUTANTS: &[(&str, &str)] = &[
    (
        "rundown-release",
        "after_a_rundown_nobody_is_inside_and_nobody_comes",
    ),
    (
        "rundown-wait",
        "after_a_rundown_nobody_is_inside_and_nobody_comes",
    ),
    (
        "work-order",
        "work_item_runs_once_at_a_time_and_after_every_wish",
    ),
    (
        "work-wanted",
        "work_item_runs_once_at_a_time_and_after_every_wish",
    ),
    (
        "work-offered",
        "refused_item_runs_for_a_wish_that_came_meanwhile_and_the_gate_waits_for_it",
    ),
    (
        "cycle-reference",
        "refused_item_runs_for_a_wish_that_came_meanwhile_and_the_gate_waits_for_it",
    ),
    (
        "work-last",
        "routine_that_wants_to_run_again_keeps_a_pause_for_one_run",
    ),
    (
        "cycle-again",
        "routine_that_wants_to_run_again_keeps_a_detach_for_one_run",
    ),
    (
        "desk-early",
        "desk::request_that_waits_is_aborted_whenever_it_is_cancelled",
    ),
    (
        "desk-sent",
        "desk::cancellation_reaches_what_is_sent_down_meanwhile",
    ),
    (
        "clone-order",
        "generation::last_clone_sees_what_both_have_left_and_completes_once",
    ),
    (
        "clone-result",
        "generation::last_clone_sees_what_both_have_left_and_completes_once",
    ),
    ("ring-publish", "ring_hands_over_what_two_writers_write"),
    ("ring-read", "ring_hands_over_what_two_writers_write"),
    (
        "ring-reuse",
        "ring_reuses_an_entry_after_it_was_read_and_not_before",
    ),
    (
        "fifo-right",
        "queue_lets_packets_go_in_order_whoever_releases_them",
    ),
];

/// Try every interleaving of what `ndis` does without a lock.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Try too that each model finds the mistakes that are made for it on purpose
    #[arg(long)]
    mutants: bool,
}

/// Runs the models.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let models = build(&repository)?;
    if !program::succeeds(Command::new(&models).arg("model::"))? {
        bail!(Failed("a model of ndis does not hold".to_owned()));
    }
    if arguments.mutants {
        try_mutants(&models)?;
    }
    Ok(())
}

/// Builds the models; gives the program.
fn build(repository: &Repository) -> Result<PathBuf> {
    let cargo = PathBuf::from(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Without optimisation the larger ones take minutes.
    let output = Command::new(&cargo)
        .args([
            "test",
            "--locked",
            "--release",
            "--package",
            "ndis",
            "--lib",
        ])
        .args(["--no-run", "--message-format=json-render-diagnostics"])
        .env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", repository.target_folder().join("loom"))
        .current_dir(repository.root())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!(Failed("the models of ndis do not compile".to_owned()));
    }
    let mut models = None;
    for message in Message::parse_stream(output.stdout.as_slice()) {
        if let Message::CompilerArtifact(artifact) = message.context("cargo's messages")? {
            models = artifact.executable.or(models);
        }
    }
    models
        .map(PathBuf::from)
        .context("cargo has built no models")
}

/// Shows that each mutant is found by its model.
fn try_mutants(models: &Path) -> Result<()> {
    let mut survivors = Vec::new();
    for (mutant, model) in MUTANTS {
        let output = Command::new(models)
            // Not captured: some models are aborted when they fail, because loom panics again.
            .args(["--exact", "--nocapture", &format!("model::{model}")])
            .env("NDIS_MUTANT", mutant)
            .output()
            .context("cannot start the models")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = if output.status.success() {
            None
        } else {
            reason(&said)
        };
        say!("{mutant:<16} {model}: {}", reason.unwrap_or("NOT FOUND"))?;
        if reason.is_none() {
            survivors.push(*mutant);
        }
    }
    if !survivors.is_empty() {
        bail!(Failed(format!("no model finds {}", survivors.join(", "))));
    }
    Ok(())
}

/// What the first panic says.
fn reason(said: &str) -> Option<&str> {
    let mut lines = said.lines();
    lines.find(|line| line.contains(" panicked at "))?;
    lines.map(str::trim).find(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn first_panic_is_the_reason() {
        let said = "\nthread 'model::a' (7) panicked at src/model.rs:9:5:\ntwo runs\nnote: run with\n\nthread 'model::a' (7) panicked at loom.rs:1:1:\nagain\n";
        assert_eq!(reason(said), Some("two runs"));
        assert_eq!(reason("error: no such option"), None);
    }

    /// A mutant that is not in the table is never tried, and one that is not in the sources changes nothing.
    #[test]
    fn mutants_of_the_sources_are_those_of_the_table() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/ndis/src");
        let mut named = BTreeSet::new();
        let mut folders = vec![sources];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = fs::read_to_string(&path).expect("a source");
                for used in text.split("or_mutant!(").skip(1) {
                    let name = used.split('"').nth(1).expect("a name");
                    assert!(named.insert(name.to_owned()), "{name} is there twice");
                }
            }
        }
        let table: BTreeSet<_> = MUTANTS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(named, table);
        assert_eq!(table.len(), MUTANTS.len(), "each once");
    }
}
