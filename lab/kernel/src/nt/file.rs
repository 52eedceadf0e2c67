//! Files: on a disk of the lab's own, which a driver reads and changes as it may.

mod control;
mod folder;
pub(crate) mod seed;
mod store;

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::ob::{self, Object};
use super::{SUCCESS, imports, ke, status};
use crate::abi::constant::{
    DELETE, FILE_APPEND_DATA, FILE_ATTRIBUTE_NORMAL, FILE_CREATE, FILE_CREATED,
    FILE_DELETE_ON_CLOSE, FILE_DIRECTORY_FILE, FILE_DOES_NOT_EXIST, FILE_EXISTS,
    FILE_NON_DIRECTORY_FILE, FILE_OPEN, FILE_OPEN_IF, FILE_OPENED, FILE_OVERWRITE,
    FILE_OVERWRITE_IF, FILE_OVERWRITTEN, FILE_READ_DATA, FILE_SUPERSEDE, FILE_SUPERSEDED,
    FILE_SYNCHRONOUS_IO_ALERT, FILE_SYNCHRONOUS_IO_NONALERT, FILE_USE_FILE_POINTER_POSITION,
    FILE_WRITE_DATA, FILE_WRITE_TO_END_OF_FILE, FileBasicInformation, FileDispositionInformation,
    FileEndOfFileInformation, FileNetworkOpenInformation, FilePositionInformation,
    FileStandardInformation, GENERIC_ALL, GENERIC_READ, GENERIC_WRITE, MAXIMUM_ALLOWED,
    STATUS_ACCESS_DENIED, STATUS_DELETE_PENDING, STATUS_END_OF_FILE, STATUS_FILE_IS_A_DIRECTORY,
    STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_HANDLE, STATUS_INVALID_INFO_CLASS,
    STATUS_INVALID_PARAMETER, STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_OBJECT_PATH_NOT_FOUND, STATUS_SHARING_VIOLATION, SYNCHRONIZE,
};
use crate::abi::nt::{
    FILE_BASIC_INFORMATION as B, FILE_END_OF_FILE_INFORMATION as E,
    FILE_NETWORK_OPEN_INFORMATION as N, FILE_POSITION_INFORMATION as P,
    FILE_STANDARD_INFORMATION as S, IO_STATUS_BLOCK, OBJECT_ATTRIBUTES as O,
};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched;
use crate::watch::OrFault;
use store::{Facts, FileName, Node, Sharing};

imports! {
    "ntoskrnl.exe":
    IoCreateFile => create,
    IoCreateFileEx => create,
    NtCreateFile => create,
    NtReadFile => read,
    NtWriteFile => write,
    ZwCreateFile => create,
    ZwOpenFile => open,
    ZwReadFile => read,
    ZwWriteFile => write,
    ZwFlushBuffersFile => flush,
    ZwQueryInformationFile => query,
    ZwSetInformationFile => set,
    ZwDeviceIoControlFile => control::control,
    ZwQueryDirectoryFile => folder::query,
    ZwQueryFullAttributesFile => query_by_name,
    ZwQueryVolumeInformationFile => folder::query_volume,
    ZwDeleteFile => delete,
}

// <https://learn.microsoft.com/openspecs/windows_protocols/ms-erref/596a1078-e883-4972-9bbc-49e60bebca55>
const STATUS_NOT_A_DIRECTORY: i32 = 0xC000_0103_u32.cast_signed();
const STATUS_DIRECTORY_NOT_EMPTY: i32 = 0xC000_0101_u32.cast_signed();

/// The longest file that the lab keeps, in bytes.
const MOST_BYTES: u64 = 256 << 20;

/// An open file.
#[derive(Clone)]
struct Open {
    name: FileName,
    access: u32,
    sharing: Sharing,
    /// Where the next byte is read or written, if the file keeps that.
    position: Option<u64>,
    /// How far it was read as a list.
    listing: Option<folder::Listing>,
}

per_image! {
    static OPEN: RefCell<BTreeMap<u32, Open>> = const { RefCell::new(BTreeMap::new()) };
}

/// The disk as a run begins, and nothing open.
pub(super) fn reset() {
    OPEN.take();
    store::reset();
}

/// What is wrong with a call, as the status that it gives.
type Outcome<T> = Result<T, i32>;

/// Writes the status block of a call that has worked, and gives what the call gives.
fn end(block: u64, outcome: Outcome<u64>) -> u64 {
    match outcome {
        Ok(information) => {
            IO_STATUS_BLOCK::Status.write(block, 0).or_fault();
            IO_STATUS_BLOCK::Information
                .write(block, information)
                .or_fault();
            SUCCESS
        }
        Err(refusal) => status(refusal),
    }
}

fn with_open<T>(file: u32, change: impl FnOnce(&mut Open) -> T) -> Outcome<T> {
    OPEN.with_borrow_mut(|open| open.get_mut(&file).map(change).ok_or(STATUS_INVALID_HANDLE))
}

/// The open file of a handle.
fn file_of(handle: u64) -> Outcome<(u32, Open)> {
    match ob::look_up(handle) {
        Some(Object::File(file)) => Ok((file, with_open(file, |open| open.clone())?)),
        _ => Err(STATUS_INVALID_HANDLE),
    }
}

/// The last handle of an open file is closed.
pub(super) fn close(file: u32) {
    let open = OPEN.with_borrow_mut(|open| open.remove(&file));
    if let Some(open) = open {
        store::close(&open.name, open.sharing);
    }
}

/// The file that object attributes name.
fn named(attributes: u64) -> Outcome<FileName> {
    let root = O::RootDirectory.read(attributes).or_fault();
    let name = O::ObjectName.read(attributes).or_fault();
    let name = driver::read_unicode_string(name).or_fault();
    if root == 0 {
        return Ok(FileName::new(&name));
    }
    Ok(file_of(root)?.1.name.below(&name))
}

/// What a call that opens wants.
#[derive(Clone, Copy)]
struct Wish {
    access: u32,
    lets: u32,
    disposition: u32,
    options: u32,
}

impl Wish {
    fn has(self, rights: u32) -> bool {
        self.access & (rights | GENERIC_ALL | MAXIMUM_ALLOWED) != 0
    }

    fn reads(self) -> bool {
        self.has(FILE_READ_DATA | GENERIC_READ)
    }

    fn writes(self) -> bool {
        self.has(FILE_WRITE_DATA | FILE_APPEND_DATA | GENERIC_WRITE)
    }

    fn is_synchronous(self) -> bool {
        self.options & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT) != 0
    }

    /// `FILE_SHARE_READ`, `FILE_SHARE_WRITE` and `FILE_SHARE_DELETE` are these bits.
    fn sharing(self) -> Sharing {
        let bits = [self.reads(), self.writes(), self.has(DELETE)];
        let wants = bits.iter().zip([1, 2, 4]).filter(|(is, _)| **is);
        Sharing {
            wants: wants.map(|(_, bit)| bit).sum(),
            lets: self.lets,
        }
    }
}

fn create(call: &Call<'_>) -> u64 {
    let wish = Wish {
        access: call.arg_u32(1),
        lets: call.arg_u32(6),
        disposition: call.arg_u32(7),
        options: call.arg_u32(8),
    };
    open_as(call, wish)
}

fn open(call: &Call<'_>) -> u64 {
    let wish = Wish {
        access: call.arg_u32(1),
        lets: call.arg_u32(4),
        disposition: FILE_OPEN,
        options: call.arg_u32(5),
    };
    open_as(call, wish)
}

fn open_as(call: &Call<'_>, wish: Wish) -> u64 {
    let (handle_out, attributes, block) = (call.arg(0), call.arg(2), call.arg(3));
    if let Some(result) = control::open(handle_out, attributes, block) {
        return result;
    }
    let open = || {
        let name = named(attributes)?;
        let done = open_node(&name, wish)?;
        let open = Open {
            name,
            access: wish.access,
            sharing: wish.sharing(),
            position: wish.is_synchronous().then_some(0),
            listing: None,
        };
        let file = OPEN.with_borrow_mut(|files| {
            let file = files.last_key_value().map_or(1, |(last, _)| last + 1);
            files.insert(file, open);
            file
        });
        let handle = ob::open_by(attributes, Object::File(file));
        mem::write(handle_out, handle).or_fault();
        Ok(u64::from(done))
    };
    let outcome = open();
    let found = match outcome {
        Err(STATUS_OBJECT_NAME_COLLISION) => Some(FILE_EXISTS),
        Err(STATUS_OBJECT_NAME_NOT_FOUND) => Some(FILE_DOES_NOT_EXIST),
        _ => None,
    };
    if let Some(found) = found {
        let found = u64::from(found);
        IO_STATUS_BLOCK::Information.write(block, found).or_fault();
    }
    end(block, outcome)
}

/// Opens or makes what is on the disk; tells which.
fn open_node(name: &FileName, wish: Wish) -> Outcome<u32> {
    // Waiting for the file's requests needs the right to wait.
    if wish.is_synchronous() && !wish.has(SYNCHRONIZE) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    if wish.options & FILE_DELETE_ON_CLOSE != 0 && !wish.has(DELETE) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let sharing = wish.sharing();
    let now_ns = sched::now();
    let known = store::with(name, |node| {
        let refusal = if node.is_doomed {
            Some(STATUS_DELETE_PENDING)
        } else if node.data.is_none() && wish.options & FILE_NON_DIRECTORY_FILE != 0 {
            Some(STATUS_FILE_IS_A_DIRECTORY)
        } else if node.data.is_some() && wish.options & FILE_DIRECTORY_FILE != 0 {
            Some(STATUS_NOT_A_DIRECTORY)
        } else if wish.disposition == FILE_CREATE {
            Some(STATUS_OBJECT_NAME_COLLISION)
        } else if node.refuses(sharing) {
            Some(STATUS_SHARING_VIOLATION)
        } else {
            None
        };
        refusal.map_or(Ok(()), Err)
    });
    let Some(known) = known else {
        return make_node(name, wish);
    };
    known?;
    let (empties, done) = match wish.disposition {
        FILE_SUPERSEDE => (true, FILE_SUPERSEDED),
        FILE_OVERWRITE | FILE_OVERWRITE_IF => (true, FILE_OVERWRITTEN),
        FILE_OPEN | FILE_OPEN_IF => (false, FILE_OPENED),
        _ => return Err(STATUS_INVALID_PARAMETER),
    };
    store::change(name, |node| {
        if let Some(data) = node.data.as_mut().filter(|_| empties) {
            data.clear();
            node.written_ns = now_ns;
        }
        node.opens.push(sharing);
        node.is_doomed |= wish.options & FILE_DELETE_ON_CLOSE != 0;
    });
    Ok(done)
}

fn make_node(name: &FileName, wish: Wish) -> Outcome<u32> {
    if [FILE_OPEN, FILE_OVERWRITE].contains(&wish.disposition) {
        return Err(if store::has_folder(name) {
            STATUS_OBJECT_NAME_NOT_FOUND
        } else {
            STATUS_OBJECT_PATH_NOT_FOUND
        });
    }
    if !store::has_folder(name) {
        return Err(STATUS_OBJECT_PATH_NOT_FOUND);
    }
    let now_ns = sched::now();
    let is_folder = wish.options & FILE_DIRECTORY_FILE != 0;
    let node = Node {
        data: (!is_folder).then(Vec::new),
        created_ns: now_ns,
        read_ns: now_ns,
        written_ns: now_ns,
        is_doomed: wish.options & FILE_DELETE_ON_CLOSE != 0,
        opens: vec![wish.sharing()],
    };
    store::insert(name, node);
    Ok(FILE_CREATED)
}

/// Where a read or write begins: as the call says, or where the file is.
fn offset(open: &Open, place: u64, length: u64) -> Outcome<u64> {
    let given = match place {
        0 => None,
        place => Some(mem::read::<i64>(place).or_fault()),
    };
    let special = |low: u32| Some(i64::from(low) | (-1_i64 << 32));
    let offset = match given {
        None => open.position.ok_or(STATUS_INVALID_PARAMETER)?,
        at if at == special(FILE_USE_FILE_POINTER_POSITION) => {
            open.position.ok_or(STATUS_INVALID_PARAMETER)?
        }
        at if at == special(FILE_WRITE_TO_END_OF_FILE) => length,
        Some(at) => u64::try_from(at).map_err(|_| STATUS_INVALID_PARAMETER)?,
    };
    Ok(offset)
}

/// The length of a file.
fn length_of(name: &FileName) -> Outcome<u64> {
    let length = store::with(name, |node| {
        node.data.as_ref().map(|data| data.len() as u64)
    });
    length.flatten().ok_or(STATUS_INVALID_PARAMETER)
}

/// Signals what a call was given to be told by.
fn signal(event: u64) {
    if event != 0
        && let Some(Object::Address(object)) = ob::look_up(event)
    {
        ke::set_event_at(object).or_fault();
    }
}

fn read(call: &Call<'_>) -> u64 {
    let (event, block, buffer) = (call.arg(1), call.arg(4), call.arg(5));
    let wanted = u64::from(call.arg_u32(6));
    let read = || {
        let (file, open) = file_of(call.arg(0))?;
        if open.access & (FILE_READ_DATA | GENERIC_READ | GENERIC_ALL) == 0 {
            return Err(STATUS_ACCESS_DENIED);
        }
        let length = length_of(&open.name)?;
        let at = offset(&open, call.arg(7), length)?;
        if at >= length {
            return if wanted == 0 {
                Ok(0)
            } else {
                Err(STATUS_END_OF_FILE)
            };
        }
        let now_ns = sched::now();
        let bytes = store::change(&open.name, |node| {
            node.read_ns = now_ns;
            let data = node.data.as_deref().unwrap_or_default();
            let first = usize::try_from(at).unwrap_or(usize::MAX).min(data.len());
            let end = usize::try_from(at.saturating_add(wanted)).unwrap_or(usize::MAX);
            data[first..end.min(data.len())].to_vec()
        });
        let bytes = bytes.unwrap_or_default();
        sched::charge_copy(bytes.len());
        mem::write_bytes(buffer, &bytes).or_fault();
        move_to(file, at + bytes.len() as u64)?;
        Ok(bytes.len() as u64)
    };
    let result = end(block, read());
    signal(event);
    result
}

fn write(call: &Call<'_>) -> u64 {
    let (event, block, buffer) = (call.arg(1), call.arg(4), call.arg(5));
    let count = usize::try_from(call.arg_u32(6)).unwrap_or(usize::MAX);
    let write = || {
        let (file, open) = file_of(call.arg(0))?;
        let rights = FILE_WRITE_DATA | FILE_APPEND_DATA | GENERIC_WRITE | GENERIC_ALL;
        if open.access & rights == 0 {
            return Err(STATUS_ACCESS_DENIED);
        }
        let length = length_of(&open.name)?;
        let at = offset(&open, call.arg(7), length)?;
        let last = at.saturating_add(count as u64);
        if last > MOST_BYTES {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let bytes = mem::read_bytes(buffer, count).or_fault();
        sched::charge_copy(count);
        let now_ns = sched::now();
        let (first, last) = (at as usize, last as usize);
        store::change(&open.name, |node| {
            node.written_ns = now_ns;
            if let Some(data) = &mut node.data {
                data.resize(data.len().max(last), 0);
                data[first..last].copy_from_slice(&bytes);
            }
        });
        move_to(file, last as u64)?;
        Ok(count as u64)
    };
    let result = end(block, write());
    signal(event);
    result
}

/// A synchronous file goes on where a call has ended.
fn move_to(file: u32, position: u64) -> Outcome<()> {
    with_open(file, |open| {
        open.position = open.position.map(|_| position);
    })
}

fn flush(call: &Call<'_>) -> u64 {
    let flush = || {
        file_of(call.arg(0))?;
        Ok(0)
    };
    end(call.arg(1), flush())
}

/// `AllocationSize` of so many bytes: whole clusters.
fn allocated(length: u64) -> i64 {
    const CLUSTER: u64 = 4096;
    length.next_multiple_of(CLUSTER).cast_signed()
}

fn attributes_of(node: Facts) -> u32 {
    /// `FILE_ATTRIBUTE_DIRECTORY`.
    const FOLDER: u32 = 0x10;
    if node.is_folder {
        FOLDER
    } else {
        FILE_ATTRIBUTE_NORMAL
    }
}

/// The first member of what has four times: when it was made, read, written and changed.
fn fill_times(out: u64, node: Facts) -> Result<(), BadAddress> {
    let times = [
        (B::CreationTime, node.created_ns),
        (B::LastAccessTime, node.read_ns),
        (B::LastWriteTime, node.written_ns),
        (B::ChangeTime, node.written_ns),
    ];
    times
        .into_iter()
        .try_for_each(|(member, ns)| member.write(out, ke::system_time_at(ns)))
}

fn fill_network_open(out: u64, node: Facts) -> Result<(), BadAddress> {
    fill_times(out, node)?;
    N::AllocationSize.write(out, allocated(node.length))?;
    N::EndOfFile.write(out, node.length.cast_signed())?;
    N::FileAttributes.write(out, attributes_of(node))
}

/// What is asked for or told of a file has its full length, which is given back.
fn full(length: u32, bytes: usize) -> Outcome<u64> {
    let bytes = bytes as u64;
    let is_enough = u64::from(length) >= bytes;
    is_enough
        .then_some(bytes)
        .ok_or(STATUS_INFO_LENGTH_MISMATCH)
}

fn query(call: &Call<'_>) -> u64 {
    let (block, out, length) = (call.arg(1), call.arg(2), call.arg_u32(3));
    let query = || {
        let (_, open) = file_of(call.arg(0))?;
        let node = store::with(&open.name, Node::facts).ok_or(STATUS_DELETE_PENDING)?;
        let class = call.arg_u32(4).cast_signed();
        if class == FileBasicInformation {
            let written = full(length, B::SIZE)?;
            fill_times(out, node).or_fault();
            B::FileAttributes.write(out, attributes_of(node)).or_fault();
            return Ok(written);
        }
        if class == FileStandardInformation {
            let written = full(length, S::SIZE)?;
            let fill = || {
                S::AllocationSize.write(out, allocated(node.length))?;
                S::EndOfFile.write(out, node.length.cast_signed())?;
                S::NumberOfLinks.write(out, 1)?;
                S::DeletePending.write(out, node.is_doomed.into())?;
                S::Directory.write(out, node.is_folder.into())
            };
            fill().or_fault();
            return Ok(written);
        }
        if class == FilePositionInformation {
            let written = full(length, P::SIZE)?;
            let position = open.position.unwrap_or(0).cast_signed();
            P::CurrentByteOffset.write(out, position).or_fault();
            return Ok(written);
        }
        if class == FileNetworkOpenInformation {
            let written = full(length, N::SIZE)?;
            fill_network_open(out, node).or_fault();
            return Ok(written);
        }
        Err(STATUS_INVALID_INFO_CLASS)
    };
    end(block, query())
}

fn set(call: &Call<'_>) -> u64 {
    let (block, given, length) = (call.arg(1), call.arg(2), call.arg_u32(3));
    let set = || {
        let (file, open) = file_of(call.arg(0))?;
        let may = |right: u32| {
            let has = open.access & (right | GENERIC_ALL) != 0;
            has.then_some(()).ok_or(STATUS_ACCESS_DENIED)
        };
        let class = call.arg_u32(4).cast_signed();
        if class == FileDispositionInformation {
            full(length, 1)?;
            may(DELETE)?;
            let is_doomed: u8 = mem::read(given).or_fault();
            if is_doomed != 0 && store::is_full(&open.name) {
                return Err(STATUS_DIRECTORY_NOT_EMPTY);
            }
            store::change(&open.name, |node| node.is_doomed = is_doomed != 0);
            return Ok(0);
        }
        if class == FilePositionInformation {
            full(length, P::SIZE)?;
            let position = P::CurrentByteOffset.read(given).or_fault();
            let position = u64::try_from(position).map_err(|_| STATUS_INVALID_PARAMETER)?;
            move_to(file, position)?;
            return Ok(0);
        }
        if class == FileEndOfFileInformation {
            full(length, E::SIZE)?;
            may(FILE_WRITE_DATA | GENERIC_WRITE)?;
            let end = E::EndOfFile.read(given).or_fault();
            let end = u64::try_from(end).ok().filter(|end| *end <= MOST_BYTES);
            let end = end.ok_or(STATUS_INVALID_PARAMETER)? as usize;
            store::change(&open.name, |node| {
                if let Some(data) = &mut node.data {
                    data.resize(end, 0);
                }
            });
            return Ok(0);
        }
        if class == FileBasicInformation {
            full(length, B::SIZE)?;
            // Times and attributes that a driver sets are not kept.
            B::FileAttributes.read(given).or_fault();
            return Ok(0);
        }
        Err(STATUS_INVALID_INFO_CLASS)
    };
    end(block, set())
}

fn query_by_name(call: &Call<'_>) -> u64 {
    let query = || {
        let name = named(call.arg(0))?;
        let node = store::with(&name, Node::facts).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        fill_network_open(call.arg(1), node).or_fault();
        Ok(SUCCESS)
    };
    query().unwrap_or_else(status)
}

fn delete(call: &Call<'_>) -> u64 {
    let delete = || {
        let name = named(call.arg(0))?;
        if store::is_full(&name) {
            return Err(STATUS_DIRECTORY_NOT_EMPTY);
        }
        match store::delete(&name) {
            None => Err(STATUS_OBJECT_NAME_NOT_FOUND),
            Some(false) => Err(STATUS_SHARING_VIOLATION),
            Some(true) => Ok(SUCCESS),
        }
    };
    delete().unwrap_or_else(status)
}
