//! DPCs: bodies that run at DISPATCH_LEVEL, ahead of a processor's threads.

use std::collections::VecDeque;

use super::{MACHINE, fast, image, next_id};

/// A queued DPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DpcId(u64);

/// A DPC that has not started.
pub(super) struct Dpc {
    pub(super) id: DpcId,
    pub(super) name: String,
    /// The image on whose behalf it runs.
    pub(super) image: u8,
    pub(super) body: Box<dyn FnOnce()>,
}

/// Queues a body that runs at DISPATCH_LEVEL on `processor`, ahead of its threads.
pub(crate) fn queue_dpc(name: &str, processor: u32, body: impl FnOnce() + 'static) -> DpcId {
    queue(name, processor, body, VecDeque::push_back)
}

/// The same, ahead of what is queued there already.
pub(crate) fn queue_dpc_first(name: &str, processor: u32, body: impl FnOnce() + 'static) -> DpcId {
    queue(name, processor, body, VecDeque::push_front)
}

fn queue(
    name: &str,
    processor: u32,
    body: impl FnOnce() + 'static,
    push: fn(&mut VecDeque<Dpc>, Dpc),
) -> DpcId {
    let id = DpcId(next_id());
    let dpc = Dpc {
        id,
        name: name.to_owned(),
        image: image(),
        body: Box::new(body),
    };
    MACHINE.with_borrow_mut(|machine| push(&mut machine.processors[processor as usize].queue, dpc));
    fast(|fast| {
        fast.has_dpc
            .set(fast.has_dpc.get() || fast.processor.get() == processor)
    });
    id
}

/// As [`queue_dpc`], once the virtual clock has reached `due_ns`.
pub(crate) fn queue_dpc_at(
    due_ns: u64,
    name: &str,
    processor: u32,
    body: impl FnOnce() + 'static,
) -> DpcId {
    let id = DpcId(next_id());
    let dpc = Dpc {
        id,
        name: name.to_owned(),
        image: image(),
        body: Box::new(body),
    };
    MACHINE.with_borrow_mut(|machine| machine.timed.insert((due_ns, id), (processor, dpc)));
    id
}

/// Takes a DPC back. True if it had not started; its body is dropped.
pub(crate) fn cancel_dpc(id: DpcId) -> bool {
    let taken = MACHINE.with_borrow_mut(|machine| {
        let due = machine
            .timed
            .keys()
            .find(|(_, known)| *known == id)
            .copied();
        if let Some((_, dpc)) = due.and_then(|due| machine.timed.remove(&due)) {
            return Some(dpc);
        }
        machine.processors.iter_mut().find_map(|processor| {
            let at = processor.queue.iter().position(|dpc| dpc.id == id)?;
            processor.queue.remove(at)
        })
    });
    taken.is_some()
}

/// Queues the DPCs whose time has come.
pub(super) fn expire(now_ns: u64) {
    MACHINE.with_borrow_mut(|machine| {
        while let Some(entry) = machine.timed.first_entry() {
            if entry.key().0 > now_ns {
                break;
            }
            let (processor, dpc) = entry.remove();
            machine.processors[processor as usize].queue.push_back(dpc);
        }
    });
}
