//! Arguments of `lwf-lab bench`.

use std::path::PathBuf;

use clap::{Arg, Args};

use super::Setting;
use super::trial::Subject;

pub(super) const HELP: &str = "\
Examples:
  What a filter costs per packet:
    lwf-lab bench myfilter.sys

  Two builds of a filter, in alternation, with the ratio of their costs:
    lwf-lab bench new/myfilter.sys --vs old/myfilter.sys

  Two modes of one:
    lwf-lab bench deferlwf.sys --set Mode=2 --vs deferlwf.sys --vs-set Mode=1

Packets go through the send and the receive handlers as fast as they go, with no rule watched; what the filter passes on
comes back at once, and what it defers to a work item runs after every 256 packets, on the same processor, and counts.
Loads: both directions; 64 and 1514 bytes; batches of 1, 32 and 256; buffers that stay in the caches (`hot`) and 64 MiB
of them in turn (`cold`).

The times are of this machine, in ns per packet. `raw` is all of it; `lab` the part that is spent in the lab, which
stands for NDIS and NT and costs other than they do; `net` the part in the driver's own code. What the lab adds among that
code is told by doing it twice and three times; `error` is how far the net may be wrong for that, and a net below its error
is `< error`. Each is the median of all samples; `spread` is that of the medians of the repetitions: the largest less the
least, over their median. Two images take turns on one processor: first, second, second, first. Within a repetition, each
has several processes. The ratio of two nets is the median of those of the turns, and is told where the lab has no more than
half of the raw time in both and the nets are above their errors; `5 %` says whether it would show such a difference.
A sample that another process interrupts is taken again.

Exit codes: 0 measured; 1 the driver broke down meanwhile; 2 bad input or usage; 3 fault of the lab.";

/// Options of a [`Subject`] that a measurement refuses.
pub(crate) struct Refused {
    /// Their names as arguments.
    options: &'static [&'static str],
    /// Whether one of them was given.
    pub(crate) is_given: fn(&Subject) -> bool,
    /// Why they are refused.
    pub(crate) why: &'static str,
}

/// All of them.
pub(crate) const REFUSED: [Refused; 4] = [
    Refused {
        options: &["above", "below"],
        is_given: |it| it.stack.arguments().next().is_some(),
        why: "what is measured is alone on its adapter: no --above and no --below",
    },
    Refused {
        options: &["ordered", "hold_limit"],
        is_given: |it| it.demand.words().next().is_some(),
        why: "nobody follows packets that are measured: no --ordered and no --hold-limit",
    },
    Refused {
        options: &["script"],
        is_given: |it| it.script.is_some(),
        why: "nothing is done to what is measured: no --script",
    },
    Refused {
        options: &["without"],
        is_given: |it| !it.without.is_empty(),
        why: "no rule is watched while something is measured: no --without",
    },
];

/// Leaves an option out of the help that is refused anyway.
pub(super) fn hide_refused(argument: Arg) -> Arg {
    let mut refused = REFUSED.iter().flat_map(|it| it.options);
    let is_refused = refused.any(|name| argument.get_id() == name);
    argument.hide(is_refused)
}

/// Arguments of `lwf-lab bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArguments {
    /// What is measured, and where.
    #[command(flatten)]
    pub subject: Subject,

    /// Another image, in alternation with the first
    #[arg(long, value_name = "IMAGE")]
    pub vs: Option<PathBuf>,

    /// Registry value of the other image's parameters, as --set gives the first's
    #[arg(long = "vs-set", value_name = "NAME=VALUE", value_parser = Setting::parse, requires = "vs")]
    pub vs_settings: Vec<Setting>,

    /// Repetitions of the whole
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,

    /// Turns of each load in a repetition: a sample, or with two images two samples of each
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub samples: u32,

    /// The least time of a sample, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub time: u64,

    /// Print one JSON object, as the last line of standard output, instead of the table
    #[arg(long)]
    pub json: bool,
}
