//! Who holds which structure.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::NblPath;

/// Whose a structure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Another driver's, on its way in this direction.
    Foreign(NblPath),
    /// The filter's, last originated in this direction.
    Own(Option<NblPath>),
}

/// Who holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The filter.
    Filter,
    /// NDIS or a neighbour.
    Ndis,
    /// The same, of a structure that was only lent to the filter and passed on as if it were not.
    MustRegain,
}

/// One structure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The adapter.
    pub(super) adapter: u32,
    /// Whose it is.
    pub(super) origin: Origin,
    /// Who holds it.
    pub(super) holder: Holder,
    /// Whether it is only lent (`NDIS_RECEIVE_FLAGS_RESOURCES`).
    pub(super) lent: bool,
    /// The filter's pool that it is from.
    pub(super) pool: Option<u64>,
    /// Whether it was given while the module was running.
    pub(super) in_running: bool,
    /// Whether it was passed on and has come back.
    pub(super) was_away: bool,
}

/// All structures that concern the filter at the moment.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<u64, Entry>,
    /// What was completed or returned, until its address is given to the filter again.
    settled: BTreeSet<u64>,
}

impl Ledger {
    pub(super) fn insert(&mut self, nbl: u64, entry: Entry) {
        self.settled.remove(&nbl);
        self.entries.insert(nbl, entry);
    }

    pub(super) fn get(&self, nbl: u64) -> Option<Entry> {
        self.entries.get(&nbl).copied()
    }

    pub(super) fn remove(&mut self, nbl: u64) -> Option<Entry> {
        self.entries.remove(&nbl)
    }

    pub(super) fn move_to(&mut self, nbl: u64, holder: Holder) {
        if let Some(entry) = self.entries.get_mut(&nbl) {
            entry.holder = holder;
        }
    }

    /// One that was passed on comes back.
    pub(super) fn take_back(&mut self, nbl: u64) {
        if let Some(entry) = self.entries.get_mut(&nbl) {
            entry.holder = Holder::Filter;
            entry.was_away = true;
        }
    }

    /// One that came too late counts as if it had come in time.
    pub(super) fn admit(&mut self, nbl: u64) {
        if let Some(entry) = self.entries.get_mut(&nbl) {
            entry.in_running = true;
        }
    }

    /// One of the filter's own goes out for an adapter.
    pub(super) fn originate(&mut self, nbl: u64, adapter: u32, path: NblPath) {
        if let Some(entry) = self.entries.get_mut(&nbl) {
            entry.holder = Holder::Ndis;
            entry.adapter = adapter;
            entry.origin = Origin::Own(Some(path));
        }
    }

    /// It is home with its owner.
    pub(super) fn settle(&mut self, nbl: u64) {
        self.entries.remove(&nbl);
        self.settled.insert(nbl);
    }

    pub(super) fn was_settled(&self, nbl: u64) -> bool {
        self.settled.contains(&nbl)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Entry)> {
        self.entries.iter().map(|(nbl, entry)| (*nbl, *entry))
    }
}
