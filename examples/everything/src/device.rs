//! The control device: answers with what was counted, and has a work item of each kind that there is.

use ndis::counter::Counter;
use ndis::device::{
    ControlBuffer, ControlDevice, Device, IoWorkItem, NdisWorkItem, Opening, Routine,
};
use ndis::driver::Driver;
use ndis::irql::{Caller, Passive};
use ndis::text::Text;
use ndis::work::{NextRun, NotAttached, Tried};
use ndis::{Status, text};

use crate::Everything;

/// Answers the counts of all modules, 64 bits each, in the order of [`Counts`](crate::Counts) and then of
/// [`Kinds`](crate::kind::Kinds).
const IOCTL_COUNTS: u32 = control_code(0x800);

/// A code of a device type that is not Microsoft's, `METHOD_BUFFERED`, with `FILE_READ_ACCESS`.
const fn control_code(function: u32) -> u32 {
    (0x8DF0 << 16) | (1 << 14) | (function << 2)
}

/// What the device has: a work item of each kind, and how often one has run.
pub(crate) struct Bench {
    /// Of NDIS, with the device's handle.
    ndis: NdisWorkItem<Everything>,
    /// Of WDM: queued by `IoQueueWorkItem`, by `IoQueueWorkItemEx`, and in storage of the driver's.
    io: [IoWorkItem<Everything>; 3],
    /// How often they were wished for.
    wishes: Counter,
    runs: Counter,
    /// Times that no thread was idle.
    refused: Counter,
}

impl Bench {
    /// Wishes for a run of each.
    pub(crate) fn queue_all(&self, irql: &mut impl Caller) -> Result<(), NotAttached> {
        self.wishes.add(1);
        self.ndis.queue(irql)?;
        for item in &self.io {
            // Every other time the system is asked whether a thread is idle; the queue is the way that always goes.
            if self.wishes.value().is_multiple_of(2) && item.try_queue(irql)? == Tried::NotQueued {
                self.refused.add(1);
            }
            item.queue(irql)?;
        }
        Ok(())
    }
}

/// What each of them runs.
fn run(bench: &Device<'_, Everything>, _irql: &mut Passive) -> NextRun {
    bench.runs.add(1);
    NextRun::WhenQueued
}

impl ControlDevice for Everything {
    const NAME: Text = text!(r"\Device\DeferlwfEverything");
    const LINK: Text = text!(r"\DosDevices\DeferlwfEverything");
    /// All access for SYSTEM and for administrators, and for nobody else.
    const SECURITY: Text = text!("D:P(A;;GA;;;SY)(A;;GA;;;BA)");

    type Device = Bench;

    fn open(opening: &mut Opening<'_, Self>, irql: &mut Passive) -> Result<Bench, Status> {
        const RUN: Routine<Everything> = run;
        Ok(Bench {
            ndis: opening.ndis_work_item(RUN, irql)?,
            io: [
                opening.io_work_item(RUN, irql)?,
                opening.io_work_item_ex(RUN, irql)?,
                opening.io_work_item_in_place(RUN, irql)?,
            ],
            wishes: Counter::new(),
            runs: Counter::new(),
            refused: Counter::new(),
        })
    }

    fn control(
        driver: &Driver<Self>,
        code: u32,
        buffer: &mut ControlBuffer<'_>,
        irql: &mut Passive,
    ) -> Result<usize, Status> {
        if code != IOCTL_COUNTS || !buffer.input().is_empty() {
            return Err(Status::INVALID_DEVICE_REQUEST);
        }
        let totals = totals(driver, irql);
        let output = buffer.output();
        let mut written: usize = 0;
        for (place, total) in output.chunks_exact_mut(8).zip(totals) {
            for (to, from) in place.iter_mut().zip(total.to_le_bytes()) {
                *to = from;
            }
            written = written.saturating_add(8);
        }
        if written < VALUES.saturating_mul(8) {
            return Err(Status::BUFFER_TOO_SMALL);
        }
        Ok(written)
    }
}

/// How many values the control device answers.
const VALUES: usize = 17;

fn totals(driver: &Driver<Everything>, irql: &mut impl Caller) -> [u64; VALUES] {
    driver.census(irql, |census| {
        census.modules().fold([0; VALUES], |sums, module| {
            let counts = &module.counts;
            let values = [
                &counts.sent,
                &counts.received,
                &counts.copied,
                &counts.originated,
                &counts.cancelled,
                &counts.drained,
                &counts.status,
                &counts.pnp,
                &counts.requests,
                &counts.answered,
                &counts.pended,
                &counts.passed,
                &counts.asked,
                &counts.unanswered,
                &module.kinds.known,
                &module.kinds.learned,
                &module.kinds.missed,
            ];
            let mut values = values.into_iter();
            sums.map(|sum: u64| sum.saturating_add(values.next().map_or(0, Counter::value)))
        })
    })
}
