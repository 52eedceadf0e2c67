//! What a report counts from the event stream.

use std::collections::BTreeMap;

use lab_rules::Event;
use lab_rules::event::{Callback, DISPATCH_LEVEL, Kind, ModuleEvent, PoolEvent, WorkItemEvent};

use crate::{DispatchReport, PoolReport, PoolTagReport, WorkItemReport};

/// `NDIS_STATUS_PENDING`.
const PENDING: u32 = 0x103;

/// The counts so far.
#[derive(Default)]
pub(crate) struct Tally {
    /// I/O work items.
    pub(crate) work_items: WorkItemReport,
    /// The longest stay at DISPATCH_LEVEL.
    pub(crate) longest_dispatch: DispatchReport,
    /// States per adapter.
    pub(crate) states: BTreeMap<u32, Vec<&'static str>>,
    pool: Pool,
    /// Queued items: when.
    queued: BTreeMap<u64, u64>,
    /// Running routines per item.
    running: BTreeMap<u64, u64>,
    /// The stay of each processor: thread, begin, imports.
    stays: BTreeMap<u8, (u32, u64, u64)>,
}

#[derive(Default)]
struct Pool {
    allocations: u64,
    bytes: u64,
    peak_bytes: u64,
    tags: BTreeMap<u32, PoolTagReport>,
}

impl Tally {
    /// Takes one event.
    pub(crate) fn observe(&mut self, event: &Event) {
        self.observe_level(event);
        match &event.kind {
            Kind::WorkItem(item) => self.observe_item(event, *item),
            Kind::Pool(pool) => self.pool.observe(*pool),
            Kind::Enter(call) if call.callback.is_work_item() => {
                let report = &mut self.work_items;
                report.entry_irql = report.entry_irql.max(Some(event.irql));
                report.runs_on_system_thread += u64::from(event.irql < DISPATCH_LEVEL);
            }
            Kind::Enter(call) => {
                let state = match call.callback {
                    Callback::FilterAttach => "Attaching",
                    Callback::FilterRestart => "Restarting",
                    Callback::FilterPause => "Pausing",
                    _ => return,
                };
                self.move_to(call.adapter, state);
            }
            Kind::Leave { call, status } => {
                let state = match (call.callback, *status) {
                    (Callback::FilterRestart | Callback::FilterPause, Some(PENDING)) => return,
                    (Callback::FilterAttach | Callback::FilterPause, Some(0)) => "Paused",
                    (Callback::FilterAttach | Callback::FilterDetach, _) => "Detached",
                    (Callback::FilterRestart, Some(0)) => "Running",
                    (Callback::FilterRestart, _) => "Paused",
                    _ => return,
                };
                self.move_to(call.adapter, state);
            }
            Kind::Module(ModuleEvent::PauseCompleted { adapter }) => {
                self.move_to(Some(*adapter), "Paused")
            }
            Kind::Module(ModuleEvent::RestartCompleted { adapter, status }) => {
                self.move_to(
                    Some(*adapter),
                    if *status == 0 { "Running" } else { "Paused" },
                );
            }
            _ => {}
        }
    }

    /// Pool memory as the report shows it.
    pub(crate) fn pool(&self) -> PoolReport {
        PoolReport {
            allocations: self.pool.allocations,
            peak_bytes: self.pool.peak_bytes,
            left_bytes: self.pool.bytes,
            tags: self.pool.tags.values().cloned().collect(),
        }
    }

    fn move_to(&mut self, adapter: Option<u32>, state: &'static str) {
        let Some(adapter) = adapter else { return };
        let states = self
            .states
            .entry(adapter)
            .or_insert_with(|| vec!["Detached"]);
        if states.last() != Some(&state) {
            states.push(state);
        }
    }

    fn observe_item(&mut self, event: &Event, item: WorkItemEvent) {
        let report = &mut self.work_items;
        match item {
            WorkItemEvent::Allocated { .. } => report.allocated += 1,
            WorkItemEvent::Queued { item, .. } => {
                report.queued += 1;
                self.queued.insert(item, event.time_ns);
            }
            WorkItemEvent::Started { item } => {
                report.runs += 1;
                if let Some(queued_ns) = self.queued.remove(&item) {
                    report
                        .queue_to_run_ns
                        .push(event.time_ns.saturating_sub(queued_ns));
                }
                let running = self.running.entry(item).or_default();
                *running += 1;
                report.max_concurrent = report.max_concurrent.max(*running);
            }
            WorkItemEvent::Finished { item, .. } => {
                if let Some(running) = self.running.get_mut(&item) {
                    *running = running.saturating_sub(1);
                }
            }
            WorkItemEvent::Freed { .. } => report.freed += 1,
        }
    }

    /// Follows how long each processor stays at DISPATCH_LEVEL on behalf of one thread or DPC.
    fn observe_level(&mut self, event: &Event) {
        if event.irql < DISPATCH_LEVEL {
            self.stays.remove(&event.processor);
            return;
        }
        let stay = self
            .stays
            .entry(event.processor)
            .or_insert((event.thread, event.time_ns, 0));
        if stay.0 != event.thread {
            *stay = (event.thread, event.time_ns, 0);
        }
        stay.2 += u64::from(matches!(event.kind, Kind::Import(_)));
        let virtual_ns = event.time_ns.saturating_sub(stay.1);
        let longest = &mut self.longest_dispatch;
        if (stay.2, virtual_ns) > (longest.imports, longest.virtual_ns) {
            *longest = DispatchReport {
                imports: stay.2,
                virtual_ns,
            };
        }
    }
}

impl Pool {
    fn observe(&mut self, event: PoolEvent) {
        match event {
            PoolEvent::Allocated { size, tag, .. } => {
                self.allocations += 1;
                self.bytes += size;
                self.peak_bytes = self.peak_bytes.max(self.bytes);
                let entry = self.tag(tag);
                entry.allocations += 1;
                entry.left_bytes += size;
                entry.peak_bytes = entry.peak_bytes.max(entry.left_bytes);
            }
            PoolEvent::Freed { size, tag, .. } => {
                self.bytes = self.bytes.saturating_sub(size);
                let entry = self.tag(tag);
                entry.left_bytes = entry.left_bytes.saturating_sub(size);
            }
            PoolEvent::BadRequest { .. }
            | PoolEvent::BadFree { .. }
            | PoolEvent::Damaged { .. } => {}
        }
    }

    fn tag(&mut self, tag: u32) -> &mut PoolTagReport {
        let name = || {
            tag.to_le_bytes().map(|byte| {
                if byte.is_ascii_graphic() {
                    char::from(byte)
                } else {
                    '.'
                }
            })
        };
        self.tags.entry(tag).or_insert_with(|| PoolTagReport {
            tag: name().iter().collect(),
            ..PoolTagReport::default()
        })
    }
}
