// error[unused_must_use]: whether the system has taken a work item is looked at: if not, nothing runs.
// says: that must be used

use ndis::device::{ControlDevice, IoWorkItem};
use ndis::irql::Passive;

#[deny(unused_must_use)]
pub fn wish<M: ControlDevice>(item: &IoWorkItem<M>, irql: &mut Passive) {
    if let Ok(tried) = item.try_queue(irql) {
        tried;
    }
}
