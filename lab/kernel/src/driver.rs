//! Calls into the driver, and the objects that it is called with.

use lab_rules::Kind as Event;
use lab_rules::event::{Call, Callback, Lent, PoolEvent};

use crate::rt::mem::{self, BadAddress};
use crate::rt::meter;
use crate::rt::pool::{self, FreeError, Kind, Owner, Request};
use crate::rt::sched::{self, Reason};
use crate::rt::{self};
use crate::watch::{self, Holder};

/// Calls one of the driver's routines that returns nothing.
pub(crate) fn call(callback: Callback, adapter: Option<u32>, address: u64, arguments: &[u64]) {
    if meter::is_on() {
        rt::call_driver(address, arguments);
        return;
    }
    let call = Call { callback, adapter };
    watch::enter(call, address);
    rt::call_driver(address, arguments);
    watch::leave(call, None);
}

/// Calls one of the driver's routines that returns a status.
pub(crate) fn call_status(
    callback: Callback,
    adapter: Option<u32>,
    address: u64,
    arguments: &[u64],
) -> u32 {
    if meter::is_on() {
        return (rt::call_driver(address, arguments) & 0xFFFF_FFFF) as u32;
    }
    let call = Call { callback, adapter };
    watch::enter(call, address);
    let result = rt::call_driver(address, arguments);
    // A status is the lower half of RAX.
    let status = (result & 0xFFFF_FFFF) as u32;
    watch::leave(call, Some(status));
    status
}

/// Calls one of the driver's routines, and gives what it has returned.
pub(crate) fn call_for(callback: Callback, address: u64, arguments: &[u64]) -> u64 {
    let call = Call {
        callback,
        adapter: None,
    };
    watch::enter(call, address);
    let result = rt::call_driver(address, arguments);
    watch::leave(call, None);
    result
}

/// Memory of Windows' own that the driver sees, zeroed.
pub(crate) fn object(size: usize) -> u64 {
    lend(Lent::Other, size)
}

/// The same, of what is lent for a time: a report names it.
pub(crate) fn lend(lent: Lent, size: usize) -> u64 {
    let address = allocate(lent, size, true);
    if has_history(lent) {
        watch::note_object(lent.noun(), address, "lent to the driver", Holder::Driver);
    }
    address
}

/// Whether reports tell what happened to what is lent; packets and requests have events that do.
fn has_history(lent: Lent) -> bool {
    matches!(
        lent,
        Lent::Configuration | Lent::Attach | Lent::Restart | Lent::Status
    )
}

/// The same with rubbish in it.
pub(crate) fn rubbish(lent: Lent, size: usize) -> u64 {
    allocate(lent, size, false)
}

/// The same, for an object that the driver asks for: none is to be had when the pool is empty.
pub(crate) fn rubbish_if_any(lent: Lent, size: usize) -> Option<u64> {
    (!is_short()).then(|| rubbish(lent, size))
}

/// Whether the system has no memory for an object of so many bytes that the driver asks for.
pub(crate) fn is_too_much(size: u32) -> bool {
    /// More than a driver has reason to ask for.
    const MOST: u32 = 256 << 20;
    size > MOST || is_short()
}

/// Whether the driver has taken so much pool that there is none left for what it asks of NDIS.
pub(crate) fn is_short() -> bool {
    pool::is_exhausted()
}

fn allocate(lent: Lent, size: usize, zeroed: bool) -> u64 {
    let request = Request {
        tag: lent.tag(),
        size: size.max(1),
        align: 16,
        kind: Kind::NonPaged,
        zeroed,
        owner: Owner::Lab,
    };
    match pool::allocate(request) {
        Ok(address) => address,
        Err(_) => sched::stop(Reason::Internal("the pool's address space is spent".into())),
    }
}

/// Takes such memory away: touching it is a fault from now on. What the driver has written beside it is found.
pub(crate) fn release(address: u64) {
    let lent = pool::find(address).and_then(|block| Lent::of_tag(block.tag));
    if let Some(lent) = lent.filter(|lent| has_history(*lent)) {
        watch::note_object(lent.noun(), address, "taken back", Holder::Nobody);
    }
    match pool::free(address, None) {
        Ok(_) => {}
        Err(FreeError::Damaged { block, offset }) => {
            watch::emit(Event::Pool(PoolEvent::Damaged {
                block: block.address,
                size: block.size as u64,
                tag: block.tag,
                offset,
            }));
        }
        Err(_) => sched::stop(Reason::Internal(format!(
            "an object of the lab's own at {address:#x} cannot be freed"
        ))),
    }
}

/// A zero-terminated UTF-16 string and the `UNICODE_STRING` that describes it; both are one block,
/// so one [`release`] frees them.
pub(crate) fn unicode_string(lent: Lent, text: &str) -> u64 {
    let units: Vec<u16> = text.encode_utf16().collect();
    let address = lend(lent, 16 + 2 * units.len() + 2);
    let bytes = u16::try_from(2 * units.len()).unwrap_or(u16::MAX - 1);
    let mut image = Vec::with_capacity(16 + 2 * units.len());
    image.extend(bytes.to_le_bytes());
    image.extend((bytes + 2).to_le_bytes());
    image.extend([0; 4]);
    image.extend((address + 16).to_le_bytes());
    image.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    write(address, &image);
    address
}

/// Bytes that are lent for a time; 0 for none.
pub(crate) fn lend_bytes(lent: Lent, bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        return 0;
    }
    let address = lend(lent, bytes.len());
    write(address, bytes);
    address
}

/// Takes back what [`lend_bytes`] has given.
pub(crate) fn take_back(address: u64) {
    if address != 0 {
        release(address);
    }
}

/// Reads a text, up to a zero or at most so many units of UTF-16.
pub(crate) fn read_text(address: u64, limit: Option<usize>) -> Result<String, BadAddress> {
    Ok(String::from_utf16_lossy(&read_units(address, limit)?))
}

/// Its units.
pub(crate) fn read_units(address: u64, limit: Option<usize>) -> Result<Vec<u16>, BadAddress> {
    let mut units = Vec::new();
    while limit.is_none_or(|limit| units.len() < limit) {
        let unit: u16 = mem::read(address.wrapping_add(2 * units.len() as u64))?;
        if unit == 0 {
            break;
        }
        units.push(unit);
    }
    Ok(units)
}

/// Reads a `UNICODE_STRING`.
pub(crate) fn read_unicode_string(address: u64) -> Result<String, BadAddress> {
    use crate::abi::nt::UNICODE_STRING as U;
    let length = usize::from(U::Length.read(address)?);
    let buffer = U::Buffer.read(address)?;
    let bytes = mem::read_bytes(buffer, length & !1)?;
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    Ok(String::from_utf16_lossy(&units))
}

/// Writes to memory of the lab's own.
pub(crate) fn write(address: u64, bytes: &[u8]) {
    if mem::write_bytes(address, bytes).is_err() {
        sched::stop(Reason::Internal(format!(
            "an object of the lab's own at {address:#x} cannot be written"
        )));
    }
}
