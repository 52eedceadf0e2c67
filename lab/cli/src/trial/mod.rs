//! Many lives of one image: under many schedules, and with calls that fail.
//!
//! [`stress`] and [`sweep`] ask a `pool` of processes, each of which plays lives that it is told
//! ([`work`]). A process plays one after another: a life begins with nothing of the one before, which
//! a test holds. After a life that broke off, its process is not used again.

pub(crate) mod life;
pub(crate) mod pool;
pub mod stress;
pub mod sweep;
pub(crate) mod traffic;

use std::io::{self, BufRead, Write};
use std::num::NonZero;
use std::thread;

use crate::argument::WorkerArguments;
use crate::error::Error;
use crate::quantity::count;

/// Plays what standard input asks for, until it ends.
///
/// # Errors
///
/// When the image cannot be read, or the other side is gone or speaks another language.
pub fn work(arguments: &WorkerArguments) -> Result<(), Error> {
    let broken = |error: &dyn std::fmt::Display| {
        Error::lab_fault(format!("the worker's conversation broke off: {error}"))
    };
    // A life may last, and nobody would see its end.
    lab_kernel::end_with_parent().map_err(|error| broken(&error))?;
    let stage = life::Stage::new(&arguments.subject)?;
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| broken(&error))?;
        let task = serde_json::from_str(&line).map_err(|error| broken(&error))?;
        let mut answer =
            serde_json::to_string(&stage.play(&task)).map_err(|error| broken(&error))?;
        answer.push('\n');
        let mut out = io::stdout().lock();
        out.write_all(answer.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| broken(&error))?;
    }
    Ok(())
}

/// The last of `seeds` seeds, which are not none, from `from` on.
fn last_seed(from: u64, seeds: u64) -> Result<u64, Error> {
    from.checked_add(seeds.saturating_sub(1)).ok_or_else(|| {
        Error::bad_input(format!(
            "--from {from} --seeds {seeds}: beyond the last seed"
        ))
    })
}

/// How many lives are played at the same time.
fn jobs(wanted: Option<u16>) -> usize {
    wanted.map_or_else(
        || thread::available_parallelism().map_or(1, NonZero::get),
        usize::from,
    )
}

/// Names with how often each came.
fn tally<'a>(counts: impl IntoIterator<Item = (&'a String, &'a u64)>) -> String {
    let parts: Vec<String> = counts
        .into_iter()
        .map(|(name, number)| format!("{name} {}", count(*number)))
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::last_seed;

    #[test]
    fn seeds_end_with_the_last_one_there_is() {
        assert_eq!(last_seed(5, 1), Ok(5));
        assert_eq!(last_seed(u64::MAX - 1, 2), Ok(u64::MAX));
        let error = last_seed(u64::MAX, 2).unwrap_err();
        assert!(error.line.contains("beyond the last seed"), "{error}");
    }
}
