//! `Rtl*SecurityDescriptor`, `Rtl*SD`: what protects an object, with pointers or in one piece.

use super::acl::Acl;
use super::sid::Sid;
use crate::abi::constant::{
    STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_SECURITY_DESCR, STATUS_UNKNOWN_REVISION,
};
use crate::abi::nt::SECURITY_DESCRIPTOR as S;
use crate::nt::{SUCCESS, imports, status};
use crate::rt::Call;
use crate::rt::mem::{self, Field};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlAbsoluteToSelfRelativeSD => to_relative,
    RtlCreateSecurityDescriptor => create,
    RtlGetDaclSecurityDescriptor => dacl,
    RtlGetGroupSecurityDescriptor => group,
    RtlGetOwnerSecurityDescriptor => owner,
    RtlGetSaclSecurityDescriptor => sacl,
    RtlLengthSecurityDescriptor => length,
    RtlSelfRelativeToAbsoluteSD => to_absolute,
    RtlSelfRelativeToAbsoluteSD2 => to_absolute_in_place,
    RtlSetDaclSecurityDescriptor => set_dacl,
    RtlSetGroupSecurityDescriptor => set_group,
    RtlSetOwnerSecurityDescriptor => set_owner,
    RtlSetSaclSecurityDescriptor => set_sacl,
    RtlValidRelativeSecurityDescriptor => is_valid_relative,
    RtlValidSecurityDescriptor => is_valid,
    SeValidSecurityDescriptor => is_valid_for_object,
}

/// `SECURITY_DESCRIPTOR_REVISION`.
const REVISION: u8 = 1;
/// `SECURITY_DESCRIPTOR_RELATIVE`: bytes.
const RELATIVE_SIZE: u64 = 20;
/// `SE_SELF_RELATIVE`.
const SELF_RELATIVE: u16 = 0x8000;
const STATUS_BAD_DESCRIPTOR_FORMAT: u64 = 0xC000_00E7;

/// What a descriptor has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Owner,
    Group,
    Sacl,
    Dacl,
}

/// All of them, in the order in which the two forms name them.
pub(super) const PARTS: [Part; 4] = [Part::Owner, Part::Group, Part::Sacl, Part::Dacl];

impl Part {
    /// Where a descriptor with pointers has it.
    fn pointer(self) -> Field<u64> {
        match self {
            Self::Owner => S::Owner,
            Self::Group => S::Group,
            Self::Sacl => S::Sacl,
            Self::Dacl => S::Dacl,
        }
    }

    /// Where one in one piece has its offset.
    fn offset(self) -> Field<u32> {
        Field::at(4 + 4 * self as u64)
    }

    /// `SE_…_DEFAULTED`.
    pub(super) fn defaulted(self) -> u16 {
        match self {
            Self::Owner => 1,
            Self::Group => 2,
            Self::Sacl => 0x20,
            Self::Dacl => 8,
        }
    }

    /// `SE_…_PRESENT`, for what may be there and empty.
    pub(super) fn present(self) -> Option<u16> {
        match self {
            Self::Owner | Self::Group => None,
            Self::Sacl => Some(0x10),
            Self::Dacl => Some(4),
        }
    }

    /// `…_SECURITY_INFORMATION`.
    pub(super) fn information(self) -> u32 {
        match self {
            Self::Owner => 1,
            Self::Group => 2,
            Self::Dacl => 4,
            Self::Sacl => 8,
        }
    }

    /// Bytes of such a part that is valid.
    fn size(self, address: u64) -> Option<u64> {
        match self {
            Self::Owner | Self::Group => Some(Sid::read(address)?.bytes().len() as u64),
            Self::Sacl | Self::Dacl => Some(Acl::read(address)?.size()),
        }
    }
}

/// A descriptor of the known revision.
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    address: u64,
    control: u16,
}

/// A list of a descriptor.
pub(super) enum List {
    /// There is none, or one that is NULL.
    Nothing,
    /// It is not what it says.
    Invalid,
    /// There is one.
    Entries(Acl),
}

impl Descriptor {
    pub(super) fn read(address: u64) -> Option<Self> {
        let revision = S::Revision.read(address).or_fault();
        let control = S::Control.read(address).or_fault();
        (revision == REVISION).then_some(Self { address, control })
    }

    fn is_relative(self) -> bool {
        self.control & SELF_RELATIVE != 0
    }

    /// Whether it says that it has one.
    fn has(self, part: Part) -> bool {
        part.present().is_none_or(|bit| self.control & bit != 0)
    }

    /// The address of a part; 0 for none.
    fn part(self, part: Part) -> u64 {
        if !self.has(part) {
            return 0;
        }
        if !self.is_relative() {
            return part.pointer().read(self.address).or_fault();
        }
        match part.offset().read(self.address).or_fault() {
            0 => 0,
            offset => self.address.wrapping_add(offset.into()),
        }
    }

    /// What it has, with its bytes; none where a part is invalid.
    fn sizes(self) -> Option<[(Part, u64, u64); 4]> {
        let mut sizes = PARTS.map(|part| (part, self.part(part), 0));
        for (part, address, size) in &mut sizes {
            if *address != 0 {
                *size = part.size(*address)?;
            }
        }
        Some(sizes)
    }

    /// Its parts.
    pub(super) fn contents(self) -> Option<Contents> {
        self.sizes().map(read)
    }

    pub(super) fn control(self) -> u16 {
        self.control
    }

    pub(super) fn owner(self) -> Option<Sid> {
        match self.part(Part::Owner) {
            0 => None,
            address => Sid::read(address),
        }
    }

    pub(super) fn dacl(self) -> List {
        match self.part(Part::Dacl) {
            0 => List::Nothing,
            address => Acl::read(address).map_or(List::Invalid, List::Entries),
        }
    }

    fn note(self, control: u16) {
        S::Control.write(self.address, control).or_fault();
    }
}

/// The bytes of each part that there is, in the order of [`PARTS`].
pub(super) type Contents = [Option<Vec<u8>>; 4];

fn read(sizes: [(Part, u64, u64); 4]) -> Contents {
    sizes.map(|(_, address, size)| {
        (address != 0).then(|| mem::read_bytes(address, size as usize).or_fault())
    })
}

/// Parts begin at multiples of four bytes.
fn aligned(size: u64) -> u64 {
    size.next_multiple_of(4)
}

fn create(call: &Call<'_>) -> u64 {
    if call.arg_u32(1) != u32::from(REVISION) {
        return status(STATUS_UNKNOWN_REVISION);
    }
    mem::fill(call.arg(0), S::SIZE, 0).or_fault();
    S::Revision.write(call.arg(0), REVISION).or_fault();
    SUCCESS
}

/// The descriptor with pointers that a function changes, or why there is none.
fn changeable(address: u64) -> Result<Descriptor, u64> {
    let descriptor = Descriptor::read(address).ok_or(status(STATUS_UNKNOWN_REVISION))?;
    if descriptor.is_relative() {
        return Err(status(STATUS_INVALID_SECURITY_DESCR));
    }
    Ok(descriptor)
}

fn set_owner(call: &Call<'_>) -> u64 {
    set(call, Part::Owner, 1)
}

fn set_group(call: &Call<'_>) -> u64 {
    set(call, Part::Group, 1)
}

fn set_dacl(call: &Call<'_>) -> u64 {
    set_list(call, Part::Dacl)
}

fn set_sacl(call: &Call<'_>) -> u64 {
    set_list(call, Part::Sacl)
}

/// The second argument says whether there is one.
fn set_list(call: &Call<'_>, part: Part) -> u64 {
    if call.arg_u8(1) != 0 {
        return set(call, part, 2);
    }
    match changeable(call.arg(0)) {
        Ok(descriptor) => {
            descriptor.note(descriptor.control & !part.present().unwrap_or(0));
            SUCCESS
        }
        Err(status) => status,
    }
}

/// Puts in a part that is this argument; the next says whether a default mechanism has given it.
fn set(call: &Call<'_>, part: Part, argument: usize) -> u64 {
    let descriptor = match changeable(call.arg(0)) {
        Ok(descriptor) => descriptor,
        Err(status) => return status,
    };
    let address = call.arg(argument);
    part.pointer().write(call.arg(0), address).or_fault();
    let mut control = descriptor.control & !part.defaulted() | part.present().unwrap_or(0);
    if call.arg_u8(argument + 1) != 0 {
        control |= part.defaulted();
    }
    descriptor.note(control);
    SUCCESS
}

fn owner(call: &Call<'_>) -> u64 {
    give(call, Part::Owner, 1)
}

fn group(call: &Call<'_>) -> u64 {
    give(call, Part::Group, 1)
}

fn sacl(call: &Call<'_>) -> u64 {
    give_list(call, Part::Sacl)
}

fn dacl(call: &Call<'_>) -> u64 {
    give_list(call, Part::Dacl)
}

fn give_list(call: &Call<'_>, part: Part) -> u64 {
    let Some(descriptor) = Descriptor::read(call.arg(0)) else {
        return status(STATUS_UNKNOWN_REVISION);
    };
    let is_present = descriptor.has(part);
    mem::write(call.arg(1), u8::from(is_present)).or_fault();
    if is_present {
        return give(call, part, 2);
    }
    SUCCESS
}

/// Writes where a part is to where this argument points, and whether it is a default to the next.
fn give(call: &Call<'_>, part: Part, argument: usize) -> u64 {
    let Some(descriptor) = Descriptor::read(call.arg(0)) else {
        return status(STATUS_UNKNOWN_REVISION);
    };
    let is_default = descriptor.control & part.defaulted() != 0;
    mem::write(call.arg(argument), descriptor.part(part)).or_fault();
    mem::write(call.arg(argument + 1), u8::from(is_default)).or_fault();
    SUCCESS
}

/// Bytes of a descriptor with all that it has. Of an invalid part only the descriptor's own are counted.
fn length(call: &Call<'_>) -> u64 {
    let Some(descriptor) = Descriptor::read(call.arg(0)) else {
        return 0;
    };
    let own = if descriptor.is_relative() {
        RELATIVE_SIZE
    } else {
        S::SIZE as u64
    };
    let parts = PARTS.map(|part| match descriptor.part(part) {
        0 => 0,
        address => part.size(address).map_or(0, aligned),
    });
    own + parts.iter().sum::<u64>()
}

fn is_valid(call: &Call<'_>) -> u64 {
    let descriptor = match call.arg(0) {
        0 => None,
        address => Descriptor::read(address),
    };
    u64::from(descriptor.is_some_and(|descriptor| descriptor.sizes().is_some()))
}

fn is_valid_relative(call: &Call<'_>) -> u64 {
    let length = u64::from(call.arg_u32(1));
    u64::from(is_whole(call.arg(0), length, call.arg_u32(2)))
}

fn is_valid_for_object(call: &Call<'_>) -> u64 {
    let length = u64::from(call.arg_u32(0));
    u64::from(is_whole(call.arg(1), length, 0))
}

/// Whether a descriptor in one piece of `length` bytes is valid, and has all the information that is wanted.
fn is_whole(address: u64, length: u64, wanted: u32) -> bool {
    /// The least identifier, and the least list.
    const LEAST: u64 = 8;
    if address == 0 || length < RELATIVE_SIZE {
        return false;
    }
    let Some(descriptor) = Descriptor::read(address).filter(|one| one.is_relative()) else {
        return false;
    };
    PARTS.into_iter().all(|part| {
        let offset = u64::from(part.offset().read(address).or_fault());
        if !descriptor.has(part) || offset == 0 {
            // A list may be NULL; who wants an owner or a group wants one.
            return wanted & part.information() == 0
                || part.present().is_some() && descriptor.has(part);
        }
        // Nothing outside of the piece is looked at.
        let room = length.saturating_sub(offset);
        offset >= RELATIVE_SIZE
            && offset.is_multiple_of(4)
            && room >= LEAST
            && claimed(part, address + offset) <= room
            && part.size(address + offset).is_some()
    })
}

/// Bytes of a part, by what its header says.
fn claimed(part: Part, address: u64) -> u64 {
    match part {
        Part::Owner | Part::Group => super::sid::length_of(address),
        Part::Sacl | Part::Dacl => {
            let size: u16 = mem::read(address.wrapping_add(2)).or_fault();
            size.into()
        }
    }
}

/// A descriptor in one piece, of these parts.
pub(super) fn assemble(control: u16, contents: &Contents) -> Vec<u8> {
    let mut bytes = vec![0; RELATIVE_SIZE as usize];
    bytes[0] = REVISION;
    bytes[2..4].copy_from_slice(&(control | SELF_RELATIVE).to_le_bytes());
    for (part, content) in PARTS.into_iter().zip(contents) {
        if let Some(content) = content {
            let offset = bytes.len() as u32;
            let place = part.offset().offset() as usize;
            bytes[place..place + 4].copy_from_slice(&offset.to_le_bytes());
            bytes.extend(content);
            bytes.resize(aligned(bytes.len() as u64) as usize, 0);
        }
    }
    bytes
}

fn to_relative(call: &Call<'_>) -> u64 {
    let (source, target, length) = (call.arg(0), call.arg(1), call.arg(2));
    let Some(descriptor) = Descriptor::read(source) else {
        return status(STATUS_UNKNOWN_REVISION);
    };
    if descriptor.is_relative() {
        return STATUS_BAD_DESCRIPTOR_FORMAT;
    }
    let Some(contents) = descriptor.contents() else {
        return status(STATUS_INVALID_SECURITY_DESCR);
    };
    let bytes = assemble(descriptor.control, &contents);
    if !fits(length, bytes.len() as u32) {
        return status(STATUS_BUFFER_TOO_SMALL);
    }
    mem::write_bytes(target, &bytes).or_fault();
    SUCCESS
}

/// Whether there is room for so many bytes as a variable says; if not it tells how many are needed.
fn fits(length: u64, needed: u32) -> bool {
    let fits = mem::read::<u32>(length).or_fault() >= needed;
    if !fits {
        mem::write(length, needed).or_fault();
    }
    fits
}

fn to_absolute(call: &Call<'_>) -> u64 {
    /// Where each part goes, and where its room is told, in the order of the arguments.
    const PLACES: [(Part, usize); 4] = [
        (Part::Dacl, 3),
        (Part::Sacl, 5),
        (Part::Owner, 7),
        (Part::Group, 9),
    ];
    let (source, target) = (call.arg(0), call.arg(1));
    let Some(descriptor) = Descriptor::read(source) else {
        return status(STATUS_UNKNOWN_REVISION);
    };
    if !descriptor.is_relative() {
        return STATUS_BAD_DESCRIPTOR_FORMAT;
    }
    let Some(sizes) = descriptor.sizes() else {
        return status(STATUS_INVALID_SECURITY_DESCR);
    };
    let size_of = |wanted| {
        let found = sizes.iter().find(|(part, ..)| *part == wanted);
        found.map_or(0, |(.., size)| *size)
    };
    let mut fits = true;
    let mut need = |room: u64, needed: u64| {
        fits &= u64::from(mem::read::<u32>(room).or_fault()) >= needed;
        mem::write(room, needed as u32).or_fault();
    };
    need(call.arg(2), S::SIZE as u64);
    for (part, place) in PLACES {
        need(call.arg(place + 1), size_of(part));
    }
    if !fits {
        return status(STATUS_BUFFER_TOO_SMALL);
    }
    mem::fill(target, S::SIZE, 0).or_fault();
    S::Revision.write(target, REVISION).or_fault();
    let control = descriptor.control & !SELF_RELATIVE;
    S::Control.write(target, control).or_fault();
    for (part, place) in PLACES {
        let (address, buffer) = (descriptor.part(part), call.arg(place));
        if address != 0 {
            mem::copy(buffer, address, size_of(part) as usize).or_fault();
            part.pointer().write(target, buffer).or_fault();
        }
    }
    SUCCESS
}

/// The parts move behind a longer beginning.
fn to_absolute_in_place(call: &Call<'_>) -> u64 {
    let (address, length) = (call.arg(0), call.arg(1));
    let Some(descriptor) = Descriptor::read(address) else {
        return status(STATUS_UNKNOWN_REVISION);
    };
    if !descriptor.is_relative() {
        return STATUS_BAD_DESCRIPTOR_FORMAT;
    }
    let Some(sizes) = descriptor.sizes() else {
        return status(STATUS_INVALID_SECURITY_DESCR);
    };
    let needed = S::SIZE as u64 + sizes.iter().map(|(.., size)| aligned(*size)).sum::<u64>();
    if !fits(length, needed as u32) {
        return status(STATUS_BUFFER_TOO_SMALL);
    }
    let contents = read(sizes);
    let mut end = address + S::SIZE as u64;
    for (part, content) in PARTS.into_iter().zip(&contents) {
        part.pointer().write(address, 0).or_fault();
        if let Some(content) = content {
            part.pointer().write(address, end).or_fault();
            mem::write_bytes(end, content).or_fault();
            end += aligned(content.len() as u64);
        }
    }
    descriptor.note(descriptor.control & !SELF_RELATIVE);
    SUCCESS
}
