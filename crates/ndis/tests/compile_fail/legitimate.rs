// compiles: what the other cases do wrong, done right. It shows that they fail for their own reason.

use ndis::Status;
use ndis::dpc::{self, Dpc};
use ndis::event::Event;
use ndis::filter::{Attached, Attaching, FilterModule, OriginatePath, Running};
use ndis::irql::{AtMostDispatch, Passive};
use ndis::lock::{RwLock, SpinLock};
use ndis::mem::{Lookaside, LookasideBox, OutOfMemory, Tag};
use ndis::nbl::{LowResources, NblBatch, Rx, Tx, Verdict};
use ndis::oid::{Ask, Oid, OidPath, OidRequest, Regular, Settled};
use ndis::thread::{self, SystemThread};

pub fn wait(event: &Event, irql: &mut Passive) {
    event.wait(irql);
}

pub fn read_then_write_then_forward(
    lock: &RwLock<u32>,
    packets: NblBatch<'_, Tx>,
    irql: &mut AtMostDispatch,
) {
    let count = lock.read(irql, |count, _| *count);
    lock.write(irql, |place, _| *place = count.wrapping_add(1));
    packets.forward(irql);
}

pub fn queue_dpc_and_call_thread<M: FilterModule>(
    dpc: &Dpc<M>,
    thread: &SystemThread<M>,
    irql: &mut AtMostDispatch,
) {
    let _ = dpc.queue(irql);
    thread.call(irql);
}

pub fn make<M: FilterModule>(
    attaching: &mut Attaching<'_, M>,
    deferred: dpc::Routine<M>,
    waiting: thread::Routine<M>,
    irql: &mut Passive,
) -> Result<(Dpc<M>, SystemThread<M>), Status> {
    Ok((
        attaching.dpc(deferred, irql)?,
        attaching.thread(waiting, irql)?,
    ))
}

/// The block owns the list too.
pub fn outlives_the_list() -> Result<LookasideBox<u32>, OutOfMemory> {
    Lookaside::try_new(Tag::new(*b"Test"))?.allocate(7)
}

pub fn forward_after_lock(
    lock: &SpinLock<u32>,
    packets: NblBatch<'_, Tx>,
    irql: &mut AtMostDispatch,
) {
    lock.with(irql, |count, _| *count = count.wrapping_add(1));
    let (pass, drop) = packets.partition(|list| list.packets().all(|packet| packet.len() < 1514));
    pass.forward(irql);
    drop.complete(Status::FAILURE, irql);
}

pub fn look_and_pass(packets: LowResources<'_>, irql: &mut AtMostDispatch) -> usize {
    let lists = packets.iter().count();
    packets.forward(irql);
    lists
}

pub fn read_beside(sends: &NblBatch<'_, Tx>, receives: &NblBatch<'_, Rx>) -> (usize, usize) {
    let asks = sends.iter().filter(|list| {
        list.checksum().is_some() || list.large_send().is_some() || list.hash().is_some()
    });
    let answers = receives.iter().filter(|list| {
        list.checksum().tcp == Verdict::Right || list.coalesced_tcp().is_some()
    });
    (asks.count(), answers.count())
}

pub fn clone_and_mirror<M: OriginatePath>(
    module: &Running<'_, M>,
    packets: NblBatch<'_, Tx>,
    irql: &mut AtMostDispatch,
) {
    let packets = module.clone_in_place(packets, |list| list.hash().is_some(), irql);
    let (packets, mirror) = module.mirror(packets, |list| list.vlan_tag().is_some(), irql);
    packets.forward(irql);
    mirror.forward(irql);
}

pub fn running_is_attached<M: FilterModule>(module: &Running<'_, M>) -> u32 {
    module.parameters().if_index
}

pub fn answer_ask_and_settle<'c, M: OidPath>(
    module: &Attached<'_, M>,
    request: OidRequest<'c, Regular>,
    irql: &mut Passive,
) -> Settled<'c> {
    let mut size = [0; 4];
    let _ = module.ask_oid(Ask::query(Oid::GEN_MAXIMUM_FRAME_SIZE, &mut size), irql);
    module.take_pended_oid(irql, |waiting, _| waiting.answer(&size, 0));
    match request.pend() {
        Ok(settled) => settled,
        Err(request) => request.forward(),
    }
}
