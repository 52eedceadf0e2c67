// compiles: what the other cases do wrong, done right. It shows that they fail for their own reason.

use ndis::Status;
use ndis::event::Event;
use ndis::filter::{Attached, FilterModule, Running};
use ndis::irql::{AtMostDispatch, Passive};
use ndis::lock::SpinLock;
use ndis::nbl::{LowResources, NblBatch, Tx};
use ndis::oid::{Ask, Oid, OidPath, OidRequest, Regular, Settled};

pub fn wait(event: &Event, irql: &mut Passive) {
    event.wait(irql);
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
