//! WMI: devices that provide data blocks, what they say of themselves, and whoever asks for such a block.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::event::{Lent, Registered};

use super::{SUCCESS, imports, ob, registration, status};
use crate::abi::constant::{
    IRP_MN_QUERY_ALL_DATA, IRP_MN_REGINFO_EX, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_HANDLE,
    STATUS_INVALID_PARAMETER, STATUS_OBJECT_NAME_NOT_FOUND,
};
use crate::abi::nt::{WMIREGGUIDW as BLOCK, WMIREGINFOW as INFO};
use crate::device::{self, SystemControl};
use crate::driver;
use crate::memory;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    IoWMIRegistrationControl => control,
    IoWMIWriteEvent => write_event,
    IoWMIOpenBlock => open_block,
    IoWMIQueryAllData => query_all,
}

/// `STATUS_WMI_GUID_NOT_FOUND`, which the table does not have.
const STATUS_WMI_GUID_NOT_FOUND: i32 = 0xC000_0295_u32.cast_signed();

/// `WMIREG_ACTION_…`.
mod action {
    pub(super) const REGISTER: u32 = 1;
    pub(super) const DEREGISTER: u32 = 2;
    pub(super) const REREGISTER: u32 = 3;
    pub(super) const UPDATE_GUIDS: u32 = 4;
    pub(super) const BLOCK_IRPS: u32 = 5;
}

// WNODE_HEADER.
const HEADER_BYTES: usize = 48;
const BUFFER_SIZE: mem::Field<u32> = mem::Field::at(0);
const GUID: u64 = 24;
const FLAGS: mem::Field<u32> = mem::Field::at(44);
/// `WNODE_FLAG_ALL_DATA`, `WNODE_FLAG_TOO_SMALL` and `WNODE_FLAG_TRACED_GUID`.
const ALL_DATA: u32 = 1;
const TOO_SMALL: u32 = 0x20;
const TRACED_GUID: u32 = 0x2_0000;

/// `WMIGUID_QUERY`.
const QUERY: u32 = 1;
/// Bytes behind a block that was opened.
const OBJECT_BYTES: usize = 32;
/// The room that a device gets for what it says of itself, before it has asked for more; and at most.
const ROOM: u32 = 512;
const MOST_ROOM: u32 = 0x10000;

type Guid = [u8; 16];

#[derive(Default)]
struct State {
    /// The blocks of each device that is registered.
    blocks: BTreeMap<u64, Vec<Guid>>,
    /// Blocks that were opened, and for what.
    opened: BTreeMap<u64, (Guid, u32)>,
}

per_image! {
    static STATE: RefCell<State> = RefCell::new(State::default());
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    STATE.take();
}

/// Whether a device is registered.
pub(crate) fn has(device: u64) -> bool {
    STATE.with_borrow(|state| state.blocks.contains_key(&device))
}

fn control(call: &Call<'_>) -> u64 {
    let (device, action) = (call.arg(0), call.arg_u32(1));
    mem::read::<u64>(device).or_fault();
    match action {
        action::REGISTER | action::REREGISTER => {
            registration::add(Registered::Wmi, device, 0, 0);
            describe(device, action == action::REREGISTER);
        }
        action::UPDATE_GUIDS if has(device) => describe(device, true),
        action::UPDATE_GUIDS | action::BLOCK_IRPS => {}
        action::DEREGISTER => {
            // All requests that were sent have ended: each is waited for.
            registration::remove(Registered::Wmi, device);
            STATE.with_borrow_mut(|state| state.blocks.remove(&device));
        }
        _ => return status(STATUS_INVALID_PARAMETER),
    }
    SUCCESS
}

/// Asks a device for the blocks that it provides, with as much room as it wants.
fn describe(device: u64, is_update: bool) {
    STATE.with_borrow_mut(|state| state.blocks.insert(device, Vec::new()));
    let mut room = ROOM;
    loop {
        let buffer = driver::lend(Lent::Other, room as usize);
        let request = SystemControl {
            minor: IRP_MN_REGINFO_EX as u8,
            path: u64::from(is_update),
            buffer,
            size: room,
        };
        let answered = device::system_control(device, &request);
        let blocks = answered
            .filter(|status| *status == 0)
            .map(|_| blocks(buffer, room).or_fault());
        let wanted = mem::read::<u32>(buffer).or_fault();
        driver::release(buffer);
        if answered == Some(STATUS_BUFFER_TOO_SMALL.cast_unsigned())
            && (room + 1..=MOST_ROOM).contains(&wanted)
        {
            room = wanted;
            continue;
        }
        if let Some(blocks) = blocks {
            STATE.with_borrow_mut(|state| state.blocks.insert(device, blocks));
        }
        return;
    }
}

/// The blocks in a WMIREGINFO, as far as its buffer goes.
fn blocks(info: u64, room: u32) -> Result<Vec<Guid>, BadAddress> {
    let count = u64::from(INFO::GuidCount.read(info)?);
    let fit = (u64::from(room) - INFO::SIZE as u64) / BLOCK::SIZE as u64;
    (0..count.min(fit))
        .map(|index| guid(info + INFO::SIZE as u64 + index * BLOCK::SIZE as u64))
        .collect()
}

fn guid(at: u64) -> Result<Guid, BadAddress> {
    let mut guid = [0; 16];
    mem::read_into(at, &mut guid)?;
    Ok(guid)
}

/// The event is given to whoever listens, nobody, and its memory is the system's from now on. One for a trace session
/// stays the caller's; there is no such session.
fn write_event(call: &Call<'_>) -> u64 {
    let item = call.arg(0);
    BUFFER_SIZE.read(item).or_fault();
    if FLAGS.read(item).or_fault() & TRACED_GUID != 0 {
        return status(STATUS_INVALID_HANDLE);
    }
    memory::free(item, None);
    SUCCESS
}

/// The device that provides a block.
fn provider(guid: &Guid) -> Option<u64> {
    STATE.with_borrow(|state| {
        let mut devices = state.blocks.iter();
        devices
            .find(|(_, blocks)| blocks.contains(guid))
            .map(|(device, _)| *device)
    })
}

/// The lab has no blocks but those of the driver's devices.
fn open_block(call: &Call<'_>) -> u64 {
    let (guid, access, out) = (guid(call.arg(0)).or_fault(), call.arg_u32(1), call.arg(2));
    if provider(&guid).is_none() {
        return status(STATUS_WMI_GUID_NOT_FOUND);
    }
    let object = driver::rubbish(Lent::Other, OBJECT_BYTES);
    STATE.with_borrow_mut(|state| state.opened.insert(object, (guid, access)));
    mem::write(out, object).or_fault();
    ob::note_reference(object);
    SUCCESS
}

fn query_all(call: &Call<'_>) -> u64 {
    let (object, size_at, out) = (call.arg(0), call.arg(1), call.arg(2));
    mem::read::<u64>(object).or_fault();
    let opened = STATE.with_borrow(|state| state.opened.get(&object).copied());
    let Some((guid, access)) = opened else {
        return status(STATUS_OBJECT_NAME_NOT_FOUND);
    };
    if access & QUERY == 0 {
        return status(crate::abi::constant::STATUS_ACCESS_DENIED);
    }
    let Some(device) = provider(&guid) else {
        return status(STATUS_WMI_GUID_NOT_FOUND);
    };
    let room = mem::read::<u32>(size_at).or_fault();
    let (answered, node) = ask(device, &guid);
    let size = BUFFER_SIZE.read(node).or_fault().min(MOST_ROOM);
    let result = match answered {
        Some(0) if size <= room && out != 0 => {
            mem::copy(out, node, size as usize).or_fault();
            SUCCESS
        }
        Some(0) => status(STATUS_BUFFER_TOO_SMALL),
        Some(other) => other.into(),
        None => status(STATUS_WMI_GUID_NOT_FOUND),
    };
    if answered == Some(0) {
        mem::write(size_at, size).or_fault();
    }
    driver::release(node);
    result
}

/// Asks a device for all data of a block; gives its status and the WNODE_ALL_DATA.
fn ask(device: u64, guid: &Guid) -> (Option<u32>, u64) {
    let node = driver::lend(Lent::Other, MOST_ROOM as usize);
    let fill = || {
        BUFFER_SIZE.write(node, HEADER_BYTES as u32)?;
        mem::write_bytes(node + GUID, guid)?;
        FLAGS.write(node, ALL_DATA)
    };
    fill().or_fault();
    let request = SystemControl {
        minor: IRP_MN_QUERY_ALL_DATA as u8,
        path: node + GUID,
        buffer: node,
        size: MOST_ROOM,
    };
    let answered = device::system_control(device, &request);
    let is_short = FLAGS.read(node).or_fault() & TOO_SMALL != 0;
    let answered = if is_short {
        Some(STATUS_BUFFER_TOO_SMALL.cast_unsigned())
    } else {
        answered
    };
    (answered, node)
}
