//! A line that moves while the run goes on; nothing when standard error is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lab_kernel::Progress;

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

/// A bar of things that are counted, with their rate.
pub(crate) struct CountLine(ProgressBar);

impl CountLine {
    /// Starts a bar on standard error for so many things.
    pub(crate) fn start(things: &'static str, number: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(number), ProgressDrawTarget::stderr());
        // As above.
        if let Ok(style) =
            ProgressStyle::with_template("[{bar:40}] {pos}/{len} {msg}  {per_sec}  {elapsed}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(things);
        Self(bar)
    }

    /// There are more to come.
    pub(crate) fn extend(&self, number: u64) {
        self.0.inc_length(number);
    }

    /// One more is done.
    pub(crate) fn advance(&self) {
        self.0.inc(1);
    }
}

impl Drop for CountLine {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
