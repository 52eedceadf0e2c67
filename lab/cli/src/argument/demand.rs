//! What a run is to demand beyond what pages state.

use clap::Args;
use lab_rules::Demands;

/// What of the packets' passage is demanded: no page does.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DemandArguments {
    /// Demand that packets of one direction of an adapter leave in the order in which the filter was given them, and once:
    /// no page does
    #[arg(long)]
    pub ordered: bool,

    /// Demand that no more packets of one direction of an adapter wait in the filter than so many; copies do not count, and
    /// hard lives change no modes of deferlwf
    #[arg(long, value_name = "N")]
    pub hold_limit: Option<u64>,
}

impl DemandArguments {
    /// The same as the lab takes it.
    pub(crate) fn demands(self) -> Demands {
        Demands {
            ordered: self.ordered,
            hold_limit: self.hold_limit,
        }
    }

    /// The words that say it on a command line.
    pub(crate) fn words(self) -> impl Iterator<Item = String> {
        let ordered = self.ordered.then(|| "--ordered".to_owned());
        let limit = self.hold_limit.map(|limit| format!("--hold-limit={limit}"));
        ordered.into_iter().chain(limit)
    }
}
