//! What a report counts from the event stream.

use std::collections::BTreeMap;

use lab_rules::Event;
use lab_rules::event::{Callback, DISPATCH_LEVEL, Kind, ModuleEvent, PoolEvent, WorkItemEvent};

use super::hold::Holds;
use super::requests::Requests;
use super::situation::Situations;
use crate::abi::constant::NDIS_STATUS_PENDING;
use crate::{DispatchReport, PoolReport, PoolTagReport, WorkItemReport};

/// `NDIS_STATUS_PENDING`, and `STATUS_PENDING`.
pub(super) const PENDING: u32 = NDIS_STATUS_PENDING.cast_unsigned();

/// The counts so far.
#[derive(Default)]
pub(crate) struct Tally {
    /// I/O work items.
    pub(crate) work_items: WorkItemReport,
    /// The longest stay at DISPATCH_LEVEL.
    pub(crate) longest_dispatch: DispatchReport,
    /// States per adapter.
    pub(crate) states: BTreeMap<u32, Vec<&'static str>>,
    /// What the filter keeps.
    pub(crate) holds: Holds,
    /// OID requests.
    pub(crate) requests: Requests,
    situations: Situations,
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
        self.holds.observe(event);
        let states = &self.states;
        let state = |adapter| states.get(&adapter)?.last().copied();
        self.requests.observe(event, state);
        self.situations.observe(event, state);
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
            | PoolEvent::Damaged { .. }
            | PoolEvent::Exposed { .. } => {}
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

#[cfg(test)]
mod tests {
    use lab_rules::Event;
    use lab_rules::event::{Call, Callback, Import, Kind, PoolEvent, WorkItemEvent, WorkItemOwner};

    use super::Tally;
    use crate::DispatchReport;

    fn tally(events: &[(u64, u8, Kind)]) -> Tally {
        let mut tally = Tally::default();
        for (time_ns, irql, kind) in events.iter().cloned() {
            tally.observe(&Event {
                time_ns,
                processor: 0,
                thread: 1,
                irql,
                kind,
            });
        }
        tally
    }

    fn import() -> Kind {
        Kind::Import(Import {
            module: "ndis.sys",
            name: "NdisGetVersion",
            irql_min: 0,
            irql_max: 2,
            adapter: None,
            arguments: Default::default(),
        })
    }

    #[test]
    fn work_items_are_counted_with_their_waits() {
        let item = 1;
        let event = Kind::WorkItem;
        let routine = Call {
            callback: Callback::NdisIoWorkItemRoutine,
            adapter: None,
        };
        let queued = || {
            event(WorkItemEvent::Queued {
                item,
                routine: 2,
                routine_is_code: true,
                context: 0,
            })
        };
        let report = tally(&[
            (
                0,
                0,
                event(WorkItemEvent::Allocated {
                    item,
                    owner: WorkItemOwner::Driver,
                }),
            ),
            (10, 2, queued()),
            (30, 0, event(WorkItemEvent::Started { item })),
            (30, 0, Kind::Enter(routine)),
            (40, 0, queued()),
            (45, 0, event(WorkItemEvent::Started { item })),
            (
                50,
                0,
                event(WorkItemEvent::Finished {
                    item,
                    routine: 2,
                    context: 0,
                }),
            ),
            (
                50,
                0,
                event(WorkItemEvent::Finished {
                    item,
                    routine: 2,
                    context: 0,
                }),
            ),
            (60, 0, event(WorkItemEvent::Freed { item })),
        ])
        .work_items;
        assert_eq!(
            (report.allocated, report.queued, report.runs, report.freed),
            (1, 2, 2, 1)
        );
        assert_eq!(report.queue_to_run_ns, [20, 5]);
        assert_eq!(
            (
                report.max_concurrent,
                report.entry_irql,
                report.runs_on_system_thread
            ),
            (2, Some(0), 1)
        );
    }

    #[test]
    fn the_longest_stay_counts_imports_between_two_low_levels() {
        let report = tally(&[
            (0, 2, import()),
            (10, 0, import()),
            (20, 2, import()),
            (30, 2, import()),
            (35, 2, import()),
            (40, 0, import()),
            (50, 2, import()),
        ]);
        assert_eq!(
            report.longest_dispatch,
            DispatchReport {
                imports: 3,
                virtual_ns: 15
            }
        );
    }

    #[test]
    fn states_follow_the_callbacks() {
        let call = |callback| Call {
            callback,
            adapter: Some(0),
        };
        let enter = |callback| (0, 0, Kind::Enter(call(callback)));
        let leave = |callback, status| {
            (
                0,
                0,
                Kind::Leave {
                    call: call(callback),
                    status,
                },
            )
        };
        let report = tally(&[
            enter(Callback::FilterAttach),
            leave(Callback::FilterAttach, Some(0)),
            enter(Callback::FilterRestart),
            leave(Callback::FilterRestart, Some(0)),
            enter(Callback::FilterPause),
            leave(Callback::FilterPause, Some(0)),
            leave(Callback::FilterDetach, None),
        ]);
        let expected = [
            "Detached",
            "Attaching",
            "Paused",
            "Restarting",
            "Running",
            "Pausing",
            "Paused",
            "Detached",
        ];
        assert_eq!(report.states[&0], expected);
    }

    #[test]
    fn pool_is_summed_by_tag() {
        let tag = u32::from_le_bytes(*b"Abcd");
        let block = |block, size| {
            (
                0,
                0,
                Kind::Pool(PoolEvent::Allocated {
                    block,
                    size,
                    tag,
                    paged: false,
                }),
            )
        };
        let freed = (
            0,
            0,
            Kind::Pool(PoolEvent::Freed {
                block: 1,
                size: 10,
                tag,
            }),
        );
        let pool = tally(&[block(1, 10), block(2, 20), freed, block(3, 5)]).pool();
        assert_eq!(
            (pool.allocations, pool.peak_bytes, pool.left_bytes),
            (3, 30, 25)
        );
        assert_eq!(
            (
                pool.tags[0].tag.as_str(),
                pool.tags[0].peak_bytes,
                pool.tags[0].left_bytes
            ),
            ("Abcd", 30, 25)
        );
    }
}
