//! The OID requests of a run: what a report tells of each.

use std::collections::BTreeMap;

use lab_rules::Event;
use lab_rules::event::{Kind, ModuleEvent, OidEvent, OidPath, OidRequest};

use super::tally::PENDING;
use crate::RequestReport;
use crate::abi::constant::NDIS_STATUS_INDICATION_REQUIRED;

/// The requests so far.
#[derive(Default)]
pub(crate) struct Requests {
    all: Vec<RequestReport>,
    /// Those that are under way: address, and place in `all`.
    under_way: BTreeMap<u64, usize>,
    /// The originals of clones.
    originals: BTreeMap<u64, u64>,
}

impl Requests {
    /// Takes one event; `state` gives the state of an adapter's module.
    pub(crate) fn observe(
        &mut self,
        event: &Event,
        state: impl FnOnce(u32) -> Option<&'static str>,
    ) {
        let oid = match &event.kind {
            Kind::Oid(oid) => oid,
            Kind::Module(ModuleEvent::StatusIndicated {
                adapter,
                destination,
                request_id,
                ..
            }) if *destination != 0 => return self.tell(*adapter, *destination, *request_id),
            _ => return,
        };
        match oid {
            OidEvent::Given {
                adapter,
                path,
                request,
            } => self.begin(event, *adapter, *path, request, false, state(*adapter)),
            OidEvent::Answered {
                request, status, ..
            }
            | OidEvent::Completed {
                request, status, ..
            } => self.end(request, *status),
            OidEvent::Cloned { source, clone, .. } => {
                self.originals.insert(*clone, *source);
            }
            OidEvent::CloneFreed { clone, .. } => {
                self.originals.remove(clone);
            }
            OidEvent::Sent {
                adapter,
                path,
                request,
                ..
            } => match self.originals.get(&request.request).copied() {
                Some(original) => {
                    if let Some(report) = self.report(original) {
                        report.has_gone_down = true;
                    }
                }
                None => self.begin(event, *adapter, *path, request, true, state(*adapter)),
            },
            OidEvent::Back {
                request, status, ..
            } if !self.originals.contains_key(&request.request) => self.end(request, *status),
            OidEvent::CancelGiven { adapter, id } | OidEvent::CancelSent { adapter, id } => {
                for place in self.under_way.values() {
                    let report = &mut self.all[*place];
                    if (report.adapter, report.id) == (*adapter, *id) {
                        report.was_cancelled = true;
                        report.was_cancelled_in_handler |=
                            !report.is_own && !report.was_pending && report.status.is_none();
                    }
                }
            }
            _ => {}
        }
    }

    /// All of them, in the order in which they began.
    pub(crate) fn take(self) -> Vec<RequestReport> {
        self.all
    }

    /// A status indication is for who has made a request.
    fn tell(&mut self, adapter: u32, handle: u64, id: u64) {
        let told = (adapter, handle, id);
        for report in &mut self.all {
            report.was_told_later |= told == (report.adapter, report.handle, report.id)
                && report.status == Some(NDIS_STATUS_INDICATION_REQUIRED.cast_unsigned());
        }
    }

    fn report(&mut self, request: u64) -> Option<&mut RequestReport> {
        let place = *self.under_way.get(&request)?;
        self.all.get_mut(place)
    }

    fn begin(
        &mut self,
        event: &Event,
        adapter: u32,
        path: OidPath,
        request: &OidRequest,
        is_own: bool,
        state: Option<&'static str>,
    ) {
        let is_beside = |report: &&RequestReport| {
            report.is_own && (report.adapter, report.path) == (adapter, path)
        };
        let own_meanwhile = if is_own {
            let under_way = self
                .under_way
                .values()
                .filter_map(|&place| self.all.get(place));
            u32::try_from(under_way.filter(is_beside).count()).unwrap_or(u32::MAX)
        } else {
            0
        };
        self.under_way.insert(request.request, self.all.len());
        self.all.push(RequestReport {
            adapter,
            path,
            is_own,
            kind: request.kind,
            oid: request.oid,
            id: request.id,
            handle: request.handle,
            irql: event.irql,
            port: request.port,
            room_bytes: request.buffer_len,
            state: state.unwrap_or("Detached"),
            has_gone_down: is_own,
            own_meanwhile,
            was_pending: false,
            was_cancelled: false,
            was_cancelled_in_handler: false,
            was_told_later: false,
            status: None,
            done_bytes: 0,
            needed_bytes: 0,
            supported_revision: 0,
        });
    }

    fn end(&mut self, request: &OidRequest, status: u32) {
        let Some(report) = self.report(request.request) else {
            return;
        };
        if status == PENDING {
            report.was_pending = true;
            return;
        }
        report.status = Some(status);
        report.done_bytes = request.bytes_done;
        report.needed_bytes = request.bytes_needed;
        report.supported_revision = request.supported_revision;
        // A synchronous request is answered, and then completed.
        if report.path != OidPath::Synchronous || report.is_own {
            self.under_way.remove(&request.request);
        }
    }
}
