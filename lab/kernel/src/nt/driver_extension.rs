//! What the I/O manager keeps for a driver: extensions of its driver object, entries of the error log, who shares a file.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lab_rules::event::Lent;

use super::{SUCCESS, imports, status};
use crate::abi::constant::{DELETE, FILE_ANY_ACCESS, FILE_READ_ACCESS, FILE_WRITE_ACCESS};
use crate::abi::constant::{
    ERROR_LOG_MAXIMUM_SIZE, FILE_APPEND_DATA, FILE_READ_DATA, FILE_SHARE_DELETE, FILE_SHARE_READ,
    FILE_SHARE_WRITE, FILE_WRITE_DATA, SL_READ_ACCESS_GRANTED, SL_WRITE_ACCESS_GRANTED,
    STATUS_ACCESS_DENIED, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_NAME_COLLISION, STATUS_SHARING_VIOLATION,
};
use crate::abi::nt::{DRIVER_OBJECT, FILE_OBJECT as F, IO_STACK_LOCATION as L, IRP};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress, Field};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    IoAllocateDriverObjectExtension => allocate,
    IoGetDriverObjectExtension => extension,
    IoAllocateErrorLogEntry => allocate_entry,
    IoFreeErrorLogEntry => end_entry,
    IoWriteErrorLogEntry => end_entry,
    IoSetShareAccess => set_sharing,
    IoCheckShareAccess => check_sharing,
    IoUpdateShareAccess => update_sharing,
    IoRemoveShareAccess => remove_sharing,
    IoValidateDeviceIoControlAccess => validate_access,
}

per_image! {
    /// By driver object and what the driver tells them apart by.
    static EXTENSIONS: RefCell<BTreeMap<(u64, u64), u64>> = const { RefCell::new(BTreeMap::new()) };
    /// Entries of the error log that are not written.
    static ENTRIES: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    EXTENSIONS.take();
    ENTRIES.take();
}

/// It lasts as long as the driver object does.
fn allocate(call: &Call<'_>) -> u64 {
    let (driver_object, id, size, out) = (call.arg(0), call.arg(1), call.arg_u32(2), call.arg(3));
    DRIVER_OBJECT::Type.read(driver_object).or_fault();
    let key = (driver_object, id);
    mem::write(out, 0_u64).or_fault();
    if EXTENSIONS.with_borrow(|extensions| extensions.contains_key(&key)) {
        return status(STATUS_OBJECT_NAME_COLLISION);
    }
    if driver::is_too_much(size) {
        return status(STATUS_INSUFFICIENT_RESOURCES);
    }
    let address = driver::object(usize::try_from(size).unwrap_or(0));
    EXTENSIONS.with_borrow_mut(|extensions| extensions.insert(key, address));
    mem::write(out, address).or_fault();
    SUCCESS
}

fn extension(call: &Call<'_>) -> u64 {
    let key = (call.arg(0), call.arg(1));
    EXTENSIONS.with_borrow(|extensions| extensions.get(&key).copied().unwrap_or(0))
}

fn allocate_entry(call: &Call<'_>) -> u64 {
    /// `IO_ERROR_LOG_PACKET`.
    const LEAST: u64 = 0x30;
    let size = u64::from(call.arg_u8(1));
    DRIVER_OBJECT::Type.read(call.arg(0)).or_fault();
    if !(LEAST..=ERROR_LOG_MAXIMUM_SIZE).contains(&size) || driver::is_short() {
        return 0;
    }
    let entry = driver::lend(Lent::Other, usize::try_from(size).unwrap_or(0));
    ENTRIES.with_borrow_mut(|entries| entries.insert(entry));
    entry
}

/// Written or not, it is gone.
fn end_entry(call: &Call<'_>) -> u64 {
    let entry = call.arg(0);
    mem::read::<u64>(entry).or_fault();
    if ENTRIES.with_borrow_mut(|entries| entries.remove(&entry)) {
        driver::release(entry);
    }
    0
}

/// `SHARE_ACCESS`: how many have a file open, and how many of them read, write, delete, and let others do so.
const OPENS: Field<u32> = Field::at(0);
const DOES: [Field<u32>; 3] = [Field::at(4), Field::at(8), Field::at(12)];
const LETS: [Field<u32>; 3] = [Field::at(16), Field::at(20), Field::at(24)];

/// What a file object says of itself, as the functions here have noted it.
const FILE_DOES: [Field<u8>; 3] = [F::ReadAccess, F::WriteAccess, F::DeleteAccess];
const FILE_LETS: [Field<u8>; 3] = [F::SharedRead, F::SharedWrite, F::SharedDelete];

/// What somebody wants to do with a file, and lets others do: read, write, delete.
struct Wish {
    does: [bool; 3],
    lets: [bool; 3],
}

impl Wish {
    fn new(access: u32, sharing: u32) -> Self {
        /// `FILE_EXECUTE`.
        const FILE_EXECUTE: u32 = 0x20;
        let rights = [
            FILE_READ_DATA | FILE_EXECUTE,
            FILE_WRITE_DATA | FILE_APPEND_DATA,
            DELETE,
        ];
        let shares = [FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_SHARE_DELETE];
        Self {
            does: rights.map(|right| access & right != 0),
            lets: shares.map(|share| sharing & share != 0),
        }
    }

    /// What a file object was noted with.
    fn of_file(file: u64) -> Result<Self, BadAddress> {
        let mut wish = Self {
            does: [false; 3],
            lets: [false; 3],
        };
        for i in 0..3 {
            wish.does[i] = FILE_DOES[i].read(file)? != 0;
            wish.lets[i] = FILE_LETS[i].read(file)? != 0;
        }
        Ok(wish)
    }

    fn note(&self, file: u64) -> Result<(), BadAddress> {
        for i in 0..3 {
            FILE_DOES[i].write(file, self.does[i].into())?;
            let lets = self.counts() && self.lets[i];
            FILE_LETS[i].write(file, lets.into())?;
        }
        Ok(())
    }

    /// Who neither reads, writes nor deletes is in nobody's way.
    fn counts(&self) -> bool {
        self.does.contains(&true)
    }

    fn is_refused(&self, share: u64) -> Result<bool, BadAddress> {
        if !self.counts() {
            return Ok(false);
        }
        let opens = OPENS.read(share)?;
        for i in 0..3 {
            let others_forbid = self.does[i] && LETS[i].read(share)? < opens;
            let we_forbid = !self.lets[i] && DOES[i].read(share)? > 0;
            if others_forbid || we_forbid {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn add(&self, share: u64, change: impl Fn(u32, bool) -> u32) -> Result<(), BadAddress> {
        if !self.counts() {
            return Ok(());
        }
        OPENS.write(share, change(OPENS.read(share)?, true))?;
        for i in 0..3 {
            DOES[i].write(share, change(DOES[i].read(share)?, self.does[i]))?;
            LETS[i].write(share, change(LETS[i].read(share)?, self.lets[i]))?;
        }
        Ok(())
    }
}

fn more(count: u32, is_one: bool) -> u32 {
    count.saturating_add(is_one.into())
}

fn fewer(count: u32, is_one: bool) -> u32 {
    count.saturating_sub(is_one.into())
}

fn set_sharing(call: &Call<'_>) -> u64 {
    let wish = Wish::new(call.arg_u32(0), call.arg_u32(1));
    let (file, share) = (call.arg(2), call.arg(3));
    let set = || {
        mem::fill(share, 28, 0)?;
        wish.note(file)?;
        wish.add(share, more)
    };
    set().or_fault();
    0
}

fn check_sharing(call: &Call<'_>) -> u64 {
    let wish = Wish::new(call.arg_u32(0), call.arg_u32(1));
    let (file, share, updates) = (call.arg(2), call.arg(3), call.arg_u8(4) != 0);
    wish.note(file).or_fault();
    if wish.is_refused(share).or_fault() {
        return status(STATUS_SHARING_VIOLATION);
    }
    if updates {
        wish.add(share, more).or_fault();
    }
    SUCCESS
}

fn update_sharing(call: &Call<'_>) -> u64 {
    let wish = Wish::of_file(call.arg(0)).or_fault();
    wish.add(call.arg(1), more).or_fault();
    0
}

fn remove_sharing(call: &Call<'_>) -> u64 {
    let wish = Wish::of_file(call.arg(0)).or_fault();
    wish.add(call.arg(1), fewer).or_fault();
    0
}

/// Whether who has sent a control request had opened its file with that access; the kernel may do all.
fn validate_access(call: &Call<'_>) -> u64 {
    let (irp, wanted) = (call.arg(0), call.arg_u32(1));
    if wanted == FILE_ANY_ACCESS || wanted & !(FILE_READ_ACCESS | FILE_WRITE_ACCESS) != 0 {
        return status(STATUS_INVALID_PARAMETER);
    }
    let look = || {
        let location = IRP::Tail_Overlay_CurrentStackLocation.read(irp)?;
        Ok((IRP::RequestorMode.read(irp)?, L::Flags.read(location)?))
    };
    let (mode, flags) = look().or_fault();
    let granted = |flag: u32| u32::from(flags) & flag != 0;
    let reads = wanted & FILE_READ_ACCESS == 0 || granted(SL_READ_ACCESS_GRANTED);
    let writes = wanted & FILE_WRITE_ACCESS == 0 || granted(SL_WRITE_ACCESS_GRANTED);
    if mode == 0 || reads && writes {
        SUCCESS
    } else {
        status(STATUS_ACCESS_DENIED)
    }
}
