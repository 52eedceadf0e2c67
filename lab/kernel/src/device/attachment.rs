//! Stacks of devices: which device is attached to which.

use std::cell::RefCell;
use std::collections::BTreeSet;

use lab_rules::Kind;
use lab_rules::event::DeviceEvent;

use crate::abi::nt::DEVICE_OBJECT as D;
use crate::per_image::per_image;
use crate::rt::mem::BadAddress;
use crate::watch::{OrFault, emit};

per_image! {
    /// Devices that are attached to another one.
    static ATTACHED: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// Forgets all stacks: a run begins.
pub(super) fn reset() {
    ATTACHED.take();
}

/// Whether a device is attached to another one.
pub(super) fn is_attached(object: u64) -> bool {
    ATTACHED.with_borrow(|attached| attached.contains(&object))
}

/// The device at the top of the stack that a device is in.
pub(crate) fn top(object: u64) -> Result<u64, BadAddress> {
    /// More devices than a stack has: a driver may have made a circle of them.
    const MOST: u32 = 100;
    let mut top = object;
    for _ in 0..MOST {
        match D::AttachedDevice.read(top)? {
            0 => break,
            above => top = above,
        }
    }
    Ok(top)
}

/// Attaches a device to the top of a stack; gives the device that it is attached to.
pub(crate) fn attach(source: u64, target: u64) -> u64 {
    let attach = || {
        let lower = top(target)?;
        D::AttachedDevice.write(lower, source)?;
        let size = D::StackSize.read(lower)?;
        D::StackSize.write(source, size.saturating_add(1))?;
        let alignment = D::AlignmentRequirement.read(lower)?;
        D::AlignmentRequirement.write(source, alignment)?;
        Ok(lower)
    };
    let lower = attach().or_fault();
    ATTACHED.with_borrow_mut(|attached| attached.insert(source));
    lower
}

/// Detaches what is attached to a device.
pub(crate) fn detach(target: u64) {
    let source = D::AttachedDevice.read(target).or_fault();
    if source == 0 {
        emit(Kind::Device(DeviceEvent::NotAttached { device: target }));
        return;
    }
    D::AttachedDevice.write(target, 0).or_fault();
    ATTACHED.with_borrow_mut(|attached| attached.remove(&source));
}
