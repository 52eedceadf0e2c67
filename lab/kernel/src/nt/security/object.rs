//! `ObGetObjectSecurity`, `Zw*SecurityObject`: what protects the objects that a driver has handles of.
//!
//! A device and a key of the registry are protected from the beginning, other objects once somebody says so. The disk
//! has a file system without security.

use std::cell::RefCell;

use super::acl;
use super::descriptor::{Contents, Descriptor, PARTS, assemble};
use super::sid::Sid;
use super::well_known::{ADMINISTRATORS, SYSTEM, WORLD};
use crate::abi::constant::{
    STATUS_BUFFER_TOO_SMALL, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_HANDLE, STATUS_INVALID_SECURITY_DESCR, STATUS_UNKNOWN_REVISION,
};
use crate::abi::nt::DEVICE_OBJECT;
use crate::memory;
use crate::nt::ob::{self, Object};
use crate::nt::{SUCCESS, imports, status};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::pool::Kind;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    ObGetObjectSecurity => get,
    ObReleaseObjectSecurity => release,
    ZwQuerySecurityObject => query,
    ZwSetSecurityObject => set,
}

/// What protects an object.
#[derive(Clone)]
struct Protection {
    control: u16,
    contents: Contents,
}

per_image! {
    /// What was set, by object.
    static SET: RefCell<Vec<(Object, Protection)>> = const { RefCell::new(Vec::new()) };
}

/// `IO_TYPE_DEVICE`.
const DEVICE: i16 = 3;
/// Tag of the descriptors that are given out.
const TAG: u32 = u32::from_le_bytes(*b"ObSc");
/// All rights of an object, and those to read and execute.
const ALL: u32 = 0x1F_01FF;
const READ: u32 = 0x12_00A9;
/// `SE_DACL_PRESENT`.
const DACL_PRESENT: u16 = 4;

/// Forgets all that was set: a run begins.
pub(in crate::nt) fn reset() {
    SET.take();
}

impl Protection {
    /// The system and administrators may do everything, everybody may read.
    fn of_system() -> Self {
        let allowed: [(Sid, u32); 3] = [(SYSTEM, ALL), (ADMINISTRATORS, ALL), (WORLD, READ)];
        Self {
            control: DACL_PRESENT,
            contents: [
                Some(ADMINISTRATORS.bytes().to_vec()),
                Some(SYSTEM.bytes().to_vec()),
                None,
                Some(acl::allowing(&allowed)),
            ],
        }
    }

    /// Of nothing.
    fn none() -> Self {
        Self {
            control: 0,
            contents: [const { None }; 4],
        }
    }

    /// Puts in the parts that `information` names.
    fn replace(&mut self, new: Self, information: u32) {
        let contents = self.contents.iter_mut().zip(new.contents);
        for (part, (old, new_content)) in PARTS.into_iter().zip(contents) {
            if information & part.information() != 0 {
                let bits = part.defaulted() | part.present().unwrap_or(0);
                self.control = self.control & !bits | new.control & bits;
                *old = new_content;
            }
        }
    }

    /// A descriptor in one piece with the parts that `information` names.
    fn descriptor(&self, information: u32) -> Vec<u8> {
        let mut chosen = Self::none();
        chosen.replace(self.clone(), information);
        assemble(chosen.control, &chosen.contents)
    }
}

/// What protects an object, if anything does.
fn protection(object: &Object) -> Option<Protection> {
    let set = SET.with_borrow(|set| {
        let found = set.iter().find(|(known, _)| known == object);
        found.map(|(_, protection)| protection.clone())
    });
    let is_protected = || match object {
        Object::Key(_) => true,
        Object::Address(address) => DEVICE_OBJECT::Type.read(*address).or_fault() == DEVICE,
        Object::File(_) | Object::Named(_) => false,
    };
    set.or_else(|| is_protected().then(Protection::of_system))
}

/// The object of a handle that can be protected, or why there is none.
fn object_of(handle: u64) -> Result<Object, u64> {
    match ob::look_up(handle) {
        None => Err(status(STATUS_INVALID_HANDLE)),
        Some(Object::File(_) | Object::Named(_)) => Err(status(STATUS_INVALID_DEVICE_REQUEST)),
        Some(object) => Ok(object),
    }
}

fn set(call: &Call<'_>) -> u64 {
    let object = match object_of(call.arg(0)) {
        Ok(object) => object,
        Err(status) => return status,
    };
    let Some(descriptor) = Descriptor::read(call.arg(2)) else {
        return status(STATUS_UNKNOWN_REVISION);
    };
    let Some(contents) = descriptor.contents() else {
        return status(STATUS_INVALID_SECURITY_DESCR);
    };
    let new = Protection {
        control: descriptor.control(),
        contents,
    };
    let mut protection = protection(&object).unwrap_or_else(Protection::none);
    protection.replace(new, call.arg_u32(1));
    SET.with_borrow_mut(|set| {
        set.retain(|(known, _)| *known != object);
        set.push((object, protection));
    });
    SUCCESS
}

fn query(call: &Call<'_>) -> u64 {
    let object = match object_of(call.arg(0)) {
        Ok(object) => object,
        Err(status) => return status,
    };
    let protection = protection(&object).unwrap_or_else(Protection::none);
    let bytes = protection.descriptor(call.arg_u32(1));
    mem::write(call.arg(4), bytes.len() as u32).or_fault();
    if (call.arg_u32(3) as usize) < bytes.len() {
        return status(STATUS_BUFFER_TOO_SMALL);
    }
    mem::write_bytes(call.arg(2), &bytes).or_fault();
    SUCCESS
}

/// A copy from paged pool; NULL of what nothing protects.
fn get(call: &Call<'_>) -> u64 {
    let protection = protection(&Object::Address(call.arg(0)));
    let Some(bytes) = protection.map(|protection| protection.descriptor(u32::MAX)) else {
        mem::write(call.arg(1), 0u64).or_fault();
        mem::write(call.arg(2), 0u8).or_fault();
        return SUCCESS;
    };
    let copy = memory::allocate(TAG, bytes.len() as u64, Kind::Paged, true);
    if copy == 0 {
        return status(STATUS_INSUFFICIENT_RESOURCES);
    }
    mem::write_bytes(copy, &bytes).or_fault();
    mem::write(call.arg(1), copy).or_fault();
    mem::write(call.arg(2), 1u8).or_fault();
    SUCCESS
}

fn release(call: &Call<'_>) -> u64 {
    if call.arg(0) != 0 && call.arg_u8(1) != 0 {
        memory::free(call.arg(0), Some(TAG));
    }
    0
}
