//! `cargo xtask bench`: what the filters cost per packet, on this machine.

use std::{
    env,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{failure::Failed, lab, output::say, program, repository::Repository};

/// What is measured: an image with its mode, against another if there is one.
const PAIRS: &[(&str, Subject, Option<Subject>)] = &[
    ("The smallest filter", PASSTHRU, None),
    (
        "Mode tap, against itself: what chance makes of it",
        TAP,
        Some(TAP),
    ),
    (
        "A filter that spends 5 % more on each packet that is sent, against itself without",
        SLOWER,
        Some(SLOW),
    ),
    ("Mode inline against mode tap", INLINE, Some(TAP)),
    ("Mode off: NDIS goes past the filter", OFF, None),
];

type Subject = (&'static str, &'static str);

const PASSTHRU: Subject = ("passthru.sys", "Mode=0");
const OFF: Subject = ("deferlwf.sys", "Mode=0");
const TAP: Subject = ("deferlwf.sys", "Mode=1");
const INLINE: Subject = ("deferlwf.sys", "Mode=2");
const SLOW: Subject = ("c-faulty.sys", "Rounds=400");
const SLOWER: Subject = ("c-faulty.sys", "Rounds=420");

/// Measure what deferlwf, in each mode, and the smallest filter cost per packet: the tables of docs/performance.md.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Repetitions of each table.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// Builds and measures.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    build(arguments)?;
    let lab = lab::build(&repository)?;
    let images = repository.target_folder().join("driver/x64/release");
    for (title, (image, mode), other) in PAIRS {
        say!("\n### {title}\n\n```text")?;
        let mut command = Command::new(&lab);
        command
            .arg("bench")
            .arg(images.join(image))
            .args(["--set", mode]);
        if let Some((image, mode)) = other {
            command
                .arg("--vs")
                .arg(images.join(image))
                .args(["--vs-set", mode]);
        }
        command.args(["--repeat", &arguments.repeat.to_string()]);
        if !program::succeeds(&mut command)? {
            bail!(Failed(format!("{image} was not measured")));
        }
        say!("```")?;
    }
    Ok(())
}

/// Builds the images by the task for it, whose own output is in the way of the tables.
fn build(arguments: &Arguments) -> Result<()> {
    let mut command = Command::new(env::current_exe().context("cannot find xtask itself")?);
    command.args([
        "build",
        "--release",
        "--package",
        "deferlwf",
        "--package",
        "passthru",
        "--package",
        "c-faulty",
    ]);
    if arguments.yes {
        command.arg("--yes");
    }
    if !program::succeeds(command.stdout(Stdio::null()))? {
        bail!(Failed("the drivers were not built".to_owned()));
    }
    Ok(())
}
