// error: whether the system has taken a work item is looked at: if not, nothing runs.
#![deny(unused_must_use)]

use ndis::device::{ControlDevice, IoWorkItem};
use ndis::irql::Passive;

pub fn wish<M: ControlDevice>(item: &IoWorkItem<M>, irql: &mut Passive) {
    if let Ok(tried) = item.try_queue(irql) {
        tried;
    }
}
