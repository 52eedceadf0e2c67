//! A line that moves while the run goes on; nothing when standard error is no terminal.

use std::cell::Cell;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lab_kernel::Progress;

use crate::quantity::count;

/// The progress line of one run.
pub(crate) struct ProgressLine(ProgressBar);

impl ProgressLine {
    /// Starts a line on standard error.
    pub(crate) fn start() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        // The template is ours and fixed: were it wrong, the default one would do.
        if let Ok(style) =
            ProgressStyle::with_template("{msg:10} [{bar:40}] {pos}/{len} packets  {elapsed}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message("load");
        Self(bar)
    }

    /// Shows where the run is.
    pub(crate) fn show(&self, progress: &Progress) {
        self.0.set_length(progress.frames_total);
        self.0.set_position(progress.frames_done);
        self.0.set_message(progress.phase);
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar of things that are counted, with their rate; where standard error is no terminal, a line now and then.
pub(crate) struct CountLine {
    bar: ProgressBar,
    things: &'static str,
    begun: Instant,
    /// When the last line was written, if the bar cannot be seen.
    told: Cell<Instant>,
}

/// Time between two lines where no bar is seen.
const LINE_EVERY: Duration = Duration::from_secs(60);

impl CountLine {
    /// Starts a bar on standard error for so many things.
    pub(crate) fn start(things: &'static str, number: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(number), ProgressDrawTarget::stderr());
        // As above.
        if let Ok(style) = ProgressStyle::with_template(
            "[{bar:40}] {human_pos}/{human_len} {prefix}, {per_sec}, {elapsed}, {eta} to go  {msg}",
        ) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(things);
        let now = Instant::now();
        Self {
            bar,
            things,
            begun: now,
            told: Cell::new(now),
        }
    }

    /// There are more to come.
    pub(crate) fn extend(&self, number: u64) {
        self.bar.inc_length(number);
    }

    /// One more is done; `note` is what else there is to say.
    pub(crate) fn advance(&self, note: impl Fn() -> String) {
        self.bar.inc(1);
        if !self.bar.is_hidden() {
            self.bar.set_message(note());
        } else if self.told.get().elapsed() >= LINE_EVERY {
            self.told.set(Instant::now());
            let done = self.bar.position();
            let rate = done as f64 / self.begun.elapsed().as_secs_f64();
            let all = self.bar.length().unwrap_or(done);
            let _ = writeln!(
                io::stderr(),
                "{} of {} {}, {rate:.1} a second, {}",
                count(done),
                count(all),
                self.things,
                note()
            );
        }
    }
}

impl Drop for CountLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
