//! Loading an image and running it.

use std::path::PathBuf;

use super::{Call, DataExport, Import, fault::Fault, sched, trace::StackId};

/// What a machine is made of.
pub(crate) struct Config {
    /// The validated image.
    pub(crate) image: lab_pe::Image,
    /// Its file name, for reports.
    pub(crate) name: String,
    /// Where its symbols are, if anywhere.
    pub(crate) pdb: Option<PathBuf>,
    /// Decides every choice.
    pub(crate) seed: u64,
    /// Virtual processors, 1 to 16.
    pub(crate) processors: u32,
    /// Functions offered to the image.
    pub(crate) imports: &'static [&'static [Import]],
    /// Variables offered to the image.
    pub(crate) data: &'static [&'static [DataExport]],
    /// Called around every import.
    pub(crate) hooks: Hooks,
    /// Virtual time after which the run counts as hung, in ns.
    pub(crate) time_limit_ns: u64,
}

/// Called around every import, on the calling coroutine. May call [`sched::stop`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hooks {
    /// Before the import's body.
    pub(crate) before: fn(&Call<'_>),
    /// After it, with what it returns.
    pub(crate) after: fn(&Call<'_>, u64),
}

/// Why an image was not loaded. One clear line each.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It imports what the lab does not have.
    #[error("{image} imports what the lab does not know: {}", names.join(", "))]
    MissingImports {
        /// The image.
        image: String,
        /// `module!name`, sorted, all of them.
        names: Vec<String>,
    },
    /// The lab cannot have its fixed addresses, signals or stacks.
    #[error("cannot set up the machine: {0}")]
    Host(String),
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The first thread's body returned.
    Finished,
    /// Someone stopped it.
    Stopped(Reason),
}

/// Why a run was stopped.
#[derive(Debug)]
pub(crate) enum Reason {
    /// Driver code did what the processor refuses.
    Fault(Fault),
    /// Nothing moves, or something moves for ever.
    Hang(sched::Hang),
    /// A rule was broken; the caller's own value.
    Rule(Box<dyn std::any::Any>),
    /// The lab itself failed.
    Internal(String),
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stats {
    /// Import calls.
    pub(crate) imports: u64,
    /// Coroutine switches.
    pub(crate) switches: u64,
    /// Deepest use of a driver stack seen at an import, in bytes.
    pub(crate) stack_peak_bytes: u64,
    /// Where that was.
    pub(crate) stack_peak: Option<StackId>,
    /// Instructions in the image whose results a seed does not decide: offset in the image, mnemonic.
    pub(crate) nondeterministic: Vec<(u32, &'static str)>,
}

/// A loaded image with its processors, pool and threads.
pub(crate) struct Machine {}

impl Machine {
    /// Maps and binds the image.
    ///
    /// # Errors
    /// [`LoadError`].
    pub(crate) fn load(config: Config) -> Result<Self, LoadError> {
        let _ = config;
        unreachable!("next commit")
    }

    /// Address of the image's entry point.
    pub(crate) fn entry(&self) -> u64 {
        unreachable!("next commit")
    }

    /// Runs `main` as the first kernel thread, at PASSIVE_LEVEL, and everything it starts.
    pub(crate) fn run(&mut self, main: impl FnOnce() + 'static) -> End {
        let _ = main;
        unreachable!("next commit")
    }

    /// What was counted so far.
    pub(crate) fn stats(&self) -> Stats {
        unreachable!("next commit")
    }
}
