// error[E0500, E0501]: a request that waits is not taken, and so not completed, under a lock.
// says: cannot borrow `*irql` as mutable because previous closure requires unique access
// says: closure requires unique access to `*irql` but it is already borrowed

use ndis::Status;
use ndis::filter::Attached;
use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;
use ndis::oid::OidPath;

pub fn complete<M: OidPath>(
    module: &Attached<'_, M>,
    lock: &SpinLock<u32>,
    irql: &mut AtMostDispatch,
) {
    lock.with(irql, |count, _| {
        module.take_pended_oid(irql, |request, _| request.complete(Status::FAILURE));
        *count = count.wrapping_add(1);
    });
}
